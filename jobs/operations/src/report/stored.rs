//! Of snapshots that are kept on a node.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::SnapshotReport;
use crate::snapshot_name::SnapshotName;

/// The snapshots in a folder of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptList {
    /// The folder, which may not be there: then there are none.
    pub folder: PathBuf,
    /// By name.
    pub snapshots: Vec<KeptSnapshot>,
}

/// The snapshots in a folder of a node, in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptSummary {
    /// The folder.
    pub folder: PathBuf,
    /// The newest one that is verified and not of a time that has not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Box<KeptSnapshot>>,
}

/// A snapshot that lies on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptSnapshot {
    /// Its file's name.
    pub name: SnapshotName,
    /// The file's size.
    pub size_bytes: u64,
    /// What its description says; none: it has none that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotReport>,
    /// Whether it may be relied on.
    pub state: KeptState,
}

/// Whether a stored snapshot may be relied on, as far as is known without reading it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum KeptState {
    /// All of it was read and found to be what etcd sent.
    Verified {
        /// When, the last time.
        at: Timestamp,
        /// On which occasion.
        how: Checked,
    },
    /// It is not what it was.
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// There is no telling.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// On which occasion a snapshot was read to the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checked {
    /// While it was taken.
    WhileSaving,
    /// From the disk, later.
    Again,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedSnapshots {
    /// Their names.
    pub removed: Vec<SnapshotName>,
}

/// What becomes of the snapshots in a folder by rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneReport {
    /// All of them: those that nobody touches, then each cluster's, newest first.
    pub snapshots: Vec<PrunedSnapshot>,
    /// Those that were removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<SnapshotName>,
}

/// A snapshot, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunedSnapshot {
    /// Its file's name.
    pub name: SnapshotName,
    /// The file's size.
    pub size_bytes: u64,
    /// When it was begun, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// It stays.
    Stays {
        /// By which rules.
        reasons: Vec<Reason>,
    },
    /// No rule keeps it.
    Goes,
    /// It is not judged, and stays.
    Untouched {
        /// Why.
        why: String,
    },
}

/// Why a snapshot stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The newest one always stays.
    Newest,
    /// [`Rules::last`](crate::stored::retention::Rules::last).
    Last,
    /// [`Rules::daily`](crate::stored::retention::Rules::daily).
    Daily,
    /// [`Rules::weekly`](crate::stored::retention::Rules::weekly).
    Weekly,
    /// [`Rules::within_seconds`](crate::stored::retention::Rules::within_seconds).
    Within,
    /// It is of a time that has not come: some clock was or is wrong, so its age says nothing.
    InFuture,
}

impl PrunedSnapshot {
    /// One that the rules were asked about.
    pub(crate) fn judged(snapshot: &KeptSnapshot, reasons: Vec<Reason>) -> Self {
        let fate = if reasons.is_empty() {
            Fate::Goes
        } else {
            Fate::Stays { reasons }
        };
        Self::with(snapshot, fate)
    }

    /// One that was not found whole: only those are judged, and nothing else is counted as one.
    pub(crate) fn untouched(snapshot: &KeptSnapshot) -> Self {
        let why = match &snapshot.state {
            KeptState::Verified { .. } => "nothing describes it".to_owned(),
            KeptState::Damaged { what } => format!("damaged: {what}"),
            KeptState::Unknown { why } => why.clone(),
        };
        Self::with(snapshot, Fate::Untouched { why })
    }

    fn with(snapshot: &KeptSnapshot, fate: Fate) -> Self {
        Self {
            name: snapshot.name.clone(),
            size_bytes: snapshot.size_bytes,
            taken_at: snapshot.snapshot.as_ref().map(|s| s.taken_at),
            fate,
        }
    }
}
