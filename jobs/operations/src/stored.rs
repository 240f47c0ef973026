//! Snapshots that are kept in a folder of a control-plane node: their names, what describes them, which may go.
//!
//! A stored snapshot is a file `NAME` and beside it `NAME.json`, which says what it is and when it was last checked (see
//! [`description`]). Everything is decided by the description of a snapshot that was found whole; a file without one is
//! listed, and otherwise somebody else's.

pub mod description;
pub mod folder;
pub mod part;
pub mod retention;

/// Where snapshots are kept on a node unless another folder is named.
pub const FOLDER: &str = "/var/lib/etcd-snapshots";
