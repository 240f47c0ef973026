//! What can be asked of a node's etcd, with everything needed to do it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::MemberId;
use crate::report::AlarmKind;
use crate::target::Target;

/// One thing to be done on one control-plane node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "operation",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Operation {
    /// What the member knows of itself, its list of members, alarms, and what its peers answer; needs no quorum.
    Status,
    /// The list of members: linearizable when the quorum answers, else this member's own view.
    Members,
    /// A linearizable read through this member, and the alarms.
    Health {
        /// How long the read may take, in milliseconds.
        timeout_ms: u64,
    },
    /// The raised alarms (needs the quorum).
    AlarmList,
    /// Takes one alarm back (needs the quorum).
    AlarmDisarm {
        /// Which alarm.
        alarm: AlarmKind,
        /// Whose; all members' when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<MemberId>,
    },
    /// Defragments this node's member, which answers nobody meanwhile.
    Defrag,
    /// Takes a snapshot from this node's member into a file on the node, checks it, and says what it is. A snapshot
    /// that stays there (`hold_seconds` is 0) gets its report beside it, `NAME.json`.
    SnapshotSave {
        /// The folder it is put in: made 0700 when missing.
        folder: PathBuf,
        /// The file's name there; while incomplete it is `NAME.part`.
        name: String,
        /// Stay for so many seconds after the report, so that the file can be fetched; 0: end at once.
        hold_seconds: u64,
    },
    /// What fills the database, from a snapshot stream that is stored nowhere.
    Usage {
        /// How many of the largest objects, namespaces and resources are named.
        top: usize,
    },
}

impl Operation {
    /// The name people know it by: that of the command which does it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Members => "members",
            Self::Health { .. } => "health",
            Self::AlarmList => "alarm list",
            Self::AlarmDisarm { .. } => "alarm disarm",
            Self::Defrag => "defrag",
            Self::SnapshotSave { .. } => "snapshot save",
            Self::Usage { .. } => "usage",
        }
    }
}

/// What a job is given on its command line, as JSON: what to do, and to which etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// [`crate::wire::VERSION`] of who wrote it.
    pub version: u32,
    /// What to do.
    pub operation: Operation,
    /// To which etcd.
    pub target: Target,
}
