//! etcd's files without etcd.
//!
//! This crate reads what etcd 3.4 to 3.7 leaves on disk, in plain Rust: no mmap, no unsafe code, no async, memory that
//! does not grow with the file (where it grows with the number of keys, the function says how much a key takes).
//! It prints nothing and asks nothing: results are values, progress is a callback that can also stop the work.
//!
//! The database half, from the bottom up:
//!
//! | module | what it knows |
//! |---|---|
//! | [`source`] | reading bytes at an offset: a file, a file behind a bounded cache, memory |
//! | [`page`] | bbolt's pages: meta, header, leaf, branch, bucket header |
//! | [`tree`] | one open database: its buckets, walked in key order |
//! | [`error`] | what can go wrong, and what is wrong with a damaged file |
//! | [`progress`] | how work tells how far it is, and how it is stopped |
//!
//! Every offset, count and length taken from a file is checked before it is used; a hostile file costs bounded time
//! and memory and ends in an error.

mod check;
mod crc;
pub mod error;
mod freelist;
mod gojson;
pub mod ids;
pub mod lock;
pub mod membership;
pub mod page;
mod plan;
pub mod progress;
pub mod raft;
pub mod records;
pub mod restore;
mod scan;
pub mod snap;
pub mod source;
pub mod status;
pub mod stream;
pub mod tree;
pub mod verify;
pub mod wal;

pub use error::{Damage, Error};
