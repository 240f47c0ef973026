//! raft's messages as etcd keeps them in the WAL and in `.snap` files.
//!
//! Only what a reader of files needs: entries, the hard state, configuration changes and the configuration itself.
//! The messages are `raftpb` of `go.etcd.io/raft`; field numbers stand at each reader. etcd to 3.6 writes zero
//! fields out (gogo-proto), 3.7 leaves them away; both are read.

mod conf;
mod message;
pub(crate) mod wire;

pub use conf::{ConfChange, ConfChangeKind, ConfChanges, ConfState};
pub use message::{Entry, EntryKind, HardState, LogPosition};
pub use wire::WireError;
