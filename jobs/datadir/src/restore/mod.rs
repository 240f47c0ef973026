//! Making a data directory out of a snapshot: what `etcdutl snapshot restore` does, for one member or for all.
//!
//! The database is copied and hashed in one go, its membership is replaced by appending a few pages (nothing of the
//! copied tree is touched), WAL and `.snap` file are written beside it in the form of etcd 3.5, which every etcd from 3.4
//! to 3.7 starts from. All this happens in a staging directory next to the target. What was written is read back and
//! walked; then everything is flushed and the staging directory gets the target's name. Killed at any moment, the target
//! is either not there or complete.
//!
//! Memory: 8 MiB of buffers for copying, and what [`crate::verify`] needs.

mod copy;
mod error;
mod new_cluster;
mod options;
mod patch;
mod run;
mod runs;
mod stage;
mod storage;

pub use error::RestoreError;
pub use new_cluster::NewCluster;
pub use options::{
    EtcdVersion, MAX_MEMBERS, NewMember, OptionsError, RawDatabase, RestoreOptions, RestoreTarget,
    StoragePolicy, Token,
};
pub use run::{
    RestoreReport, RestoredMember, SnapshotForm, check_request, restore, restore_source,
};
pub use storage::{StorageFinding, storage_finding};
