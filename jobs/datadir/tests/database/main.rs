//! The database half of the library on databases made by hand, sound and damaged.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod dirs;
mod equal;
mod foreign;
mod since;
