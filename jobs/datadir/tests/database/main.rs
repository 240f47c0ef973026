//! The database half of the library on databases made by hand, sound and damaged.

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod equal;
