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
//! | [`records`] | the records in etcd's buckets |
//! | [`verify`] | is this a whole, undamaged snapshot, and what `etcdutl snapshot status` says of it |
//! | [`stream`] | the same of the trailer and the size while a snapshot is received |
//! | [`hash`] | the hash etcd's members compare |
//! | [`inspect`] | what is in a snapshot, without its values |
//! | [`usage`] | what fills it, from a file or from a stream |
//! | [`since`] | which objects were changed after a revision |
//! | [`identity`] | which Kubernetes cluster it is |
//! | [`kubernetes`] | the apiserver's keys and values, as far as these need them |
//! | [`error`] | what can go wrong, and what is wrong with a damaged file |
//! | [`progress`] | how work tells how far it is, and how it is stopped |
//!
//! The log half, and what needs both:
//!
//! | module | what it knows |
//! |---|---|
//! | [`raft`] | raft's messages: entries, hard state, changes of the configuration |
//! | [`wal`] | the write-ahead log: read as etcd reads it, written as a restore needs it |
//! | [`snap`] | `.snap` files and the members in them |
//! | [`ids`] | member and cluster ids, peer URLs |
//! | [`disk`] | files and folders made, named and flushed |
//! | [`membership`] | who is a member by WAL, `.snap` file and database, and whether they agree |
//! | [`lock`] | whether an etcd runs on a file |
//! | [`datadir`] | a stopped member's directory: would etcd start, with what loss; ranking of survivors |
//! | [`restore`] | new data directories out of a snapshot |
//!
//! Every offset, count and length taken from a file is checked before it is used; a hostile file costs bounded time
//! and memory and ends in an error.

mod bitmap;
mod changes;
mod check;
mod crc;
pub mod datadir;
pub mod disk;
pub mod error;
mod freelist;
#[doc(hidden)]
pub mod fuzz;
mod gojson;
pub mod hash;
pub mod identity;
pub mod ids;
pub mod inspect;
pub mod kubernetes;
mod latest;
pub mod lock;
pub mod membership;
pub mod page;
mod plan;
pub mod progress;
pub mod raft;
pub mod records;
pub mod restore;
mod scan;
pub mod since;
pub mod snap;
pub mod source;
pub mod status;
pub mod stream;
pub mod tree;
pub mod usage;
pub mod verify;
pub mod wal;

pub use error::{Damage, Error};
