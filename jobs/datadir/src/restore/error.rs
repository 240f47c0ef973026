//! Why a restore ended without a result. Nothing of it is left then, unless the process was killed.

use std::path::PathBuf;

use thiserror::Error as ThisError;

use crate::Error;

use super::options::{EtcdVersion, OptionsError};

/// Why a restore ended.
#[derive(Debug, ThisError)]
pub enum RestoreError {
    /// The options contradict themselves.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The source is damaged, or a disk failed.
    #[error(transparent)]
    Files(#[from] Error),
    /// The target is there already. Nothing is ever restored over a directory.
    #[error("{} is there already; move it aside first", .0.display())]
    Exists(PathBuf),
    /// The source has no trailer.
    #[error(
        "{file} has no sha256 trailer: it is a database file and not a snapshot, or its end is missing; nothing proves \
         that it is what etcd wrote"
    )]
    Raw {
        /// The source.
        file: String,
    },
    /// The source is a database some etcd has open.
    #[error("{file} is in use by a running etcd: what is read from it is of no single moment")]
    InUse {
        /// The source.
        file: String,
    },
    /// The etcd that is to run would refuse the storage version.
    #[error("the snapshot has storage version {found}, which etcd {wanted} does not start with")]
    StorageVersion {
        /// In the snapshot.
        found: EtcdVersion,
        /// The etcd that is to run.
        wanted: EtcdVersion,
    },
    /// The etcd that is to run would take itself for a forbidden downgrade.
    #[error(
        "the snapshot is of a cluster of version {found}, which etcd {wanted} takes for a downgrade and does not start with"
    )]
    ClusterVersion {
        /// In the snapshot.
        found: EtcdVersion,
        /// The etcd that is to run.
        wanted: EtcdVersion,
    },
    /// A storage version nobody knows yet.
    #[error("the snapshot has storage version {found:?}; up to 3.7 are known")]
    UnknownStorageVersion {
        /// In the snapshot.
        found: String,
    },
    /// The revision has no room for the bump.
    #[error(
        "revision {revision} cannot be raised by {bump}: revisions end at {}",
        i64::MAX
    )]
    BumpTooLarge {
        /// The snapshot's revision.
        revision: u64,
        /// What was to be added.
        bump: u64,
    },
    /// What was written does not read back as what it should be: a failing disk or memory.
    #[error("{}: what was written reads back differently: {what}", path.display())]
    ReadBack {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
}
