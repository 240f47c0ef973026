//! What the loader does, apart from the system calls: know its program, join and inflate the parts, check the digest.
//!
//! Nothing here allocates, calls the system or prints, so all of it is tested on the host with the standard library.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test fails by panicking"
    )
)]

pub mod failure;
#[doc(hidden)]
pub mod fuzz;
pub mod program;
pub mod stamp;
#[cfg(test)]
mod stamp_tests;
