//! What can be asked of a node's etcd, with everything needed to do it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::MemberId;
use crate::kept::retention::Rules;
use crate::pack::{BundleParts, Packing};
use crate::report::AlarmKind;
use crate::snapshot_name::SnapshotName;
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
    /// Adds a member (needs the quorum). One that was added before under these addresses is it.
    MemberAdd {
        /// The name it will have: keeps names apart. etcd learns it when the member starts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Where other members reach it.
        peer_urls: Vec<String>,
        /// Whether it has no vote until it is promoted.
        learner: bool,
    },
    /// Removes a member that is not this node's own (needs the quorum). One that is not listed is removed already.
    MemberRemove {
        /// Which.
        member: MemberId,
    },
    /// Gives a learner a vote (needs the quorum), as soon as it has caught up. One that votes already is left alone.
    MemberPromote {
        /// Which.
        member: MemberId,
        /// How long to wait until it has caught up, in milliseconds; 0: it is asked for once.
        #[serde(default)]
        wait_ms: u64,
    },
    /// Has this node's member, which has to be the leader, hand the lead over.
    MoveLeader {
        /// To whom.
        to: MemberId,
    },
    /// A linearizable read through this member, and the alarms.
    Health {
        /// How long the read may take, in milliseconds.
        timeout_ms: u64,
    },
    /// What this member has up to a revision, as one number (needs the quorum). It reads all of the member's data.
    HashKv {
        /// The revision.
        revision: i64,
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
    /// Defragments this node's member, which does not answer meanwhile.
    Defrag,
    /// Takes a snapshot from this node's member into a file on the node, checks it, and says what it is. A snapshot
    /// that stays there (`hold_seconds` is 0) gets its report beside it, `NAME.json`.
    SnapshotSave {
        /// The folder it is put in: made 0700 when missing.
        folder: PathBuf,
        /// The file's name there; while incomplete it is `NAME.part`.
        name: String,
        /// How it is packed.
        #[serde(default, skip_serializing_if = "Packing::is_plain")]
        packing: Packing,
        /// Where the name is taken, put `_2` and so on before its ending instead of refusing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        numbered: bool,
        /// Stay for so many seconds after the report, so that the file can be fetched; 0: end at once.
        hold_seconds: u64,
    },
    /// Packs this node's files into a segment of a bundle, and stays so that it can be fetched.
    NodeFiles {
        /// The folder it is put in.
        folder: PathBuf,
        /// The file's name there.
        name: String,
        /// What to pack.
        parts: BundleParts,
        /// For so many seconds.
        hold_seconds: u64,
    },
    /// The snapshots that are kept in a folder of the node.
    SnapshotList {
        /// The folder.
        folder: PathBuf,
    },
    /// Reads all of a stored snapshot again and notes in its description what was found.
    SnapshotVerify {
        /// The folder.
        folder: PathBuf,
        /// Its name there.
        name: SnapshotName,
    },
    /// Says what a stored snapshot is, and stays so that it can be fetched.
    SnapshotSend {
        /// The folder.
        folder: PathBuf,
        /// Its name there.
        name: SnapshotName,
        /// For so many seconds.
        hold_seconds: u64,
    },
    /// Removes stored snapshots, each with its description.
    SnapshotDelete {
        /// The folder.
        folder: PathBuf,
        /// Their names there.
        names: Vec<SnapshotName>,
    },
    /// Says which stored snapshots no rule keeps, and removes those of them that are named.
    SnapshotPrune {
        /// The folder.
        folder: PathBuf,
        /// What to keep.
        rules: Rules,
        /// What may be removed: what somebody was shown. What the rules keep by now stays all the same.
        remove: Vec<SnapshotName>,
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
            Self::MemberAdd { .. } => "member add",
            Self::MemberRemove { .. } => "member remove",
            Self::MemberPromote { .. } => "member promote",
            Self::MoveLeader { .. } => "member move-leader",
            Self::Health { .. } => "health",
            Self::HashKv { .. } => "hash",
            Self::AlarmList => "alarm list",
            Self::AlarmDisarm { .. } => "alarm disarm",
            Self::Defrag => "defrag",
            Self::SnapshotSave { .. } => "snapshot save",
            Self::NodeFiles { .. } => "node files",
            Self::SnapshotList { .. } => "snapshot list",
            Self::SnapshotVerify { .. } => "snapshot verify",
            Self::SnapshotSend { .. } => "snapshot get",
            Self::SnapshotDelete { .. } => "snapshot delete",
            Self::SnapshotPrune { .. } => "snapshot prune",
            Self::Usage { .. } => "usage",
        }
    }

    /// Whether it only looks: nothing changes by it, and it may be asked for again at any time.
    pub fn only_looks(&self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::Members
                | Self::Health { .. }
                | Self::HashKv { .. }
                | Self::AlarmList
                | Self::SnapshotList { .. }
        )
    }

    /// The snapshot's file that can be fetched from a job while it stays.
    pub fn held_file(&self) -> Option<PathBuf> {
        match self {
            Self::SnapshotSave { folder, name, .. } | Self::NodeFiles { folder, name, .. } => {
                Some(folder.join(name))
            }
            Self::SnapshotSend { folder, name, .. } => Some(name.path_in(folder)),
            _ => None,
        }
    }

    /// For how many seconds a job stays after its report, so that a file can be fetched from it.
    pub fn hold_seconds(&self) -> u64 {
        match self {
            Self::SnapshotSave { hold_seconds, .. }
            | Self::NodeFiles { hold_seconds, .. }
            | Self::SnapshotSend { hold_seconds, .. } => *hold_seconds,
            _ => 0,
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
