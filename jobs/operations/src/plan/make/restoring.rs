//! What is to be restored, and what is known of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::TakingPart;
use crate::failure::Answer;
use crate::look::{ClusterIdentity, Since};

/// What has to be known of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The sha256 of the whole file, in hex.
    pub sha256: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its revision.
    pub revision: u64,
    /// The names of the members it was taken from.
    pub members: Vec<String>,
    /// Their peer URLs.
    pub peer_urls: BTreeSet<String>,
    /// When it was taken, as far as that is known.
    pub taken: Option<Taken>,
}

/// When a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// When.
    pub at: Timestamp,
    /// What says so.
    pub by: TakenBy,
}

/// What says when a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub enum TakenBy {
    /// What was written about it when it was taken.
    Description,
    /// The date of its file, which may be one of a copy.
    File,
    /// The youngest object in it: it was taken then or later.
    YoungestObject,
}

/// What a host's database has that the snapshot has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The host.
    pub node: String,
    /// What it answered.
    pub since: Answer<Since>,
}

/// What to restore, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Restoring {
    /// The snapshot.
    pub snapshot: SnapshotFacts,
    /// What it is called.
    pub name: String,
    /// The token of the new cluster: a fresh one, the same for all.
    pub token: String,
    /// Control-plane nodes that are left out on purpose.
    pub without: BTreeSet<String>,
    /// Which cluster the snapshot is of, by its objects.
    pub identity: ClusterIdentity,
    /// What the databases on the hosts answered, in the order in which they were asked: that of [`super::revisions`].
    pub databases: Vec<Compared>,
    /// Whether somebody has agreed to a snapshot of another cluster.
    pub another_cluster: bool,
    /// Members and apiservers that answer somewhere else than on the hosts: `m3: etcd answers at https://…`.
    pub alive_elsewhere: Vec<String>,
    /// Whether the hosts are all that take part.
    pub taking_part: TakingPart,
}
