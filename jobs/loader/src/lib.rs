//! What the loader does, apart from the system calls: read the command line, join and inflate the parts, check the digest.
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

pub mod arguments;
pub mod failure;
pub mod program;
