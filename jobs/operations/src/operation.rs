//! What can be asked of a node's etcd, with everything needed to do it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids::MemberId;
use crate::pack::{BundleParts, Packing};
use crate::report::{
    AlarmKind, AlarmReport, CompactReport, DefragReport, HashReport, HealthReport, KeptList,
    KeptSnapshot, LeaderReport, MemberList, MembershipReport, NodeFiles as PackedNodeFiles,
    PruneReport, RemovedSnapshots, Report, SavedSnapshot, StatusReport, UsageReport,
};
use crate::request::{Wire, request};
use crate::snapshot_name::SnapshotName;
use crate::stored::retention::Rules;
use crate::target::Target;

/// One thing to be done on one control-plane node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum Operation {
    /// See [`Status`].
    Status,
    /// See [`Members`].
    Members,
    /// See [`MemberAdd`].
    MemberAdd(MemberAdd),
    /// See [`MemberRemove`].
    MemberRemove(MemberRemove),
    /// See [`MemberPromote`].
    MemberPromote(MemberPromote),
    /// See [`MoveLeader`].
    MoveLeader(MoveLeader),
    /// See [`Health`].
    Health(Health),
    /// See [`HashKv`].
    HashKv(HashKv),
    /// See [`AlarmList`].
    AlarmList,
    /// See [`AlarmDisarm`].
    AlarmDisarm(AlarmDisarm),
    /// See [`Compact`].
    Compact(Compact),
    /// See [`Defrag`].
    Defrag,
    /// See [`SnapshotSave`].
    SnapshotSave(SnapshotSave),
    /// See [`NodeFiles`].
    NodeFiles(NodeFiles),
    /// See [`SnapshotList`].
    SnapshotList(SnapshotList),
    /// See [`SnapshotVerify`].
    SnapshotVerify(SnapshotVerify),
    /// See [`SnapshotSend`].
    SnapshotSend(SnapshotSend),
    /// See [`SnapshotDelete`].
    SnapshotDelete(SnapshotDelete),
    /// See [`SnapshotPrune`].
    SnapshotPrune(SnapshotPrune),
    /// See [`Usage`].
    Usage(Usage),
}

impl Wire for Operation {
    type Reply = Report;
}

/// What the member knows of itself, its list of members, alarms, and what its peers answer; needs no quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status;

/// The list of members: linearizable when the quorum answers, else this member's own view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Members;

/// Adds a member (needs the quorum). One that was added before under these addresses is it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberAdd {
    /// The name it will have: keeps names apart. etcd learns it when the member starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Whether it has no vote until it is promoted.
    pub learner: bool,
}

/// Removes a member that is not this node's own (needs the quorum). One that is not listed is removed already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRemove {
    /// Which.
    pub member: MemberId,
}

/// Gives a learner a vote (needs the quorum), as soon as it has caught up. One that votes already is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberPromote {
    /// Which.
    pub member: MemberId,
    /// How long to wait until it has caught up, in milliseconds; 0: it is asked for once.
    #[serde(default)]
    pub wait_ms: u64,
}

/// Has this node's member, which has to be the leader, hand the lead over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveLeader {
    /// To whom.
    pub to: MemberId,
}

/// A linearizable read through this member, and the alarms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How long the read may take, in milliseconds.
    pub timeout_ms: u64,
}

/// What this member has up to a revision, as one number (needs the quorum). It reads all of the member's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashKv {
    /// The revision.
    pub revision: i64,
    /// Whether the member is known to have it: then it need not catch up with the quorum before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_it: bool,
}

/// The raised alarms (needs the quorum).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmList;

/// Disarms one alarm (needs the quorum).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmDisarm {
    /// Which alarm.
    pub alarm: AlarmKind,
    /// Whose; all members' when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
}

/// Compacts the cluster's history up to a revision (needs the quorum), and waits until this node's member has removed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compact {
    /// The oldest revision that can still be read afterwards.
    pub revision: i64,
}

/// Defragments this node's member, which does not answer meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defrag;

/// Takes a snapshot from this node's member into a file on the node, checks it, and says what it is. A snapshot
/// that stays there (`hold_seconds` is 0) gets its report beside it, `NAME.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSave {
    /// The folder it is put in: made 0700 when missing.
    pub folder: PathBuf,
    /// The file's name there; while incomplete it is `NAME.part`.
    pub name: String,
    /// How it is packed.
    #[serde(default, skip_serializing_if = "Packing::is_plain")]
    pub packing: Packing,
    /// Where the name is taken, put `_2` and so on before its ending instead of refusing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub numbered: bool,
    /// Stay for so many seconds after the report, so that the file can be fetched; 0: end at once.
    pub hold_seconds: u64,
}

/// Packs this node's files into a segment of a bundle, and stays so that it can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFiles {
    /// The folder it is put in.
    pub folder: PathBuf,
    /// The file's name there.
    pub name: String,
    /// What to pack.
    pub parts: BundleParts,
    /// For so many seconds.
    pub hold_seconds: u64,
}

/// The snapshots that are kept in a folder of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotList {
    /// The folder.
    pub folder: PathBuf,
}

/// Reads all of a stored snapshot again and notes in its description what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotVerify {
    /// The folder.
    pub folder: PathBuf,
    /// Its name there.
    pub name: SnapshotName,
}

/// Says what a stored snapshot is, and stays so that it can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSend {
    /// The folder.
    pub folder: PathBuf,
    /// Its name there.
    pub name: SnapshotName,
    /// For so many seconds.
    pub hold_seconds: u64,
}

/// Removes stored snapshots, each with its description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotDelete {
    /// The folder.
    pub folder: PathBuf,
    /// Their names there.
    pub names: Vec<SnapshotName>,
}

/// Says which stored snapshots no rule keeps, and removes those of them that are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotPrune {
    /// The folder.
    pub folder: PathBuf,
    /// What to keep.
    pub rules: Rules,
    /// What may be removed: what somebody was shown. What the rules keep by now stays all the same.
    pub remove: Vec<SnapshotName>,
}

/// What fills the database, from a snapshot stream that is stored nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// How many of the largest objects, namespaces and resources are named.
    pub top: usize,
}

request!(unit Status: Operation => StatusReport, Report::Status(found) => found);
request!(unit Members: Operation => MemberList, Report::Members(list) => list);
request!(MemberAdd: Operation => MembershipReport, Report::MemberAdd(added) => added);
request!(MemberRemove: Operation => MembershipReport, Report::MemberRemove(removed) => removed);
request!(MemberPromote: Operation => MembershipReport, Report::MemberPromote(promoted) => promoted);
request!(MoveLeader: Operation => LeaderReport, Report::MoveLeader(moved) => moved);
request!(Health: Operation => HealthReport, Report::Health(health) => health);
request!(HashKv: Operation => HashReport, Report::HashKv(hash) => hash);
request!(unit AlarmList: Operation => AlarmReport, Report::AlarmList(alarms) => alarms);
request!(AlarmDisarm: Operation => AlarmReport, Report::AlarmDisarm(alarms) => alarms);
request!(Compact: Operation => CompactReport, Report::Compact(done) => done);
request!(unit Defrag: Operation => DefragReport, Report::Defrag(done) => done);
request!(SnapshotSave: Operation => SavedSnapshot, Report::Snapshot(saved) => saved);
request!(NodeFiles: Operation => PackedNodeFiles, Report::NodeFiles(files) => files);
request!(SnapshotList: Operation => KeptList, Report::SnapshotList(list) => list);
request!(SnapshotVerify: Operation => KeptSnapshot, Report::SnapshotVerify(kept) => kept);
request!(SnapshotSend: Operation => KeptSnapshot, Report::SnapshotSend(kept) => kept);
request!(SnapshotDelete: Operation => RemovedSnapshots, Report::SnapshotDelete(removed) => removed);
request!(SnapshotPrune: Operation => PruneReport, Report::SnapshotPrune(pruned) => pruned);
request!(Usage: Operation => UsageReport, Report::Usage(usage) => usage);

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
            Self::Compact { .. } => "compact",
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

    /// Whether it is calls to etcd and no more: such an operation needs no program of ours beside etcd.
    pub fn is_calls(&self) -> bool {
        matches!(
            self,
            Self::Members
                | Self::MemberAdd { .. }
                | Self::MemberRemove { .. }
                | Self::MemberPromote { .. }
                | Self::MoveLeader { .. }
                | Self::Health { .. }
                | Self::HashKv { .. }
                | Self::AlarmList
                | Self::AlarmDisarm { .. }
                | Self::Compact { .. }
                | Self::Defrag
        )
    }

    /// The snapshot's file that can be fetched from a job while it stays.
    pub fn held_file(&self) -> Option<PathBuf> {
        match self {
            Self::SnapshotSave(save) => Some(save.folder.join(&save.name)),
            Self::NodeFiles(files) => Some(files.folder.join(&files.name)),
            Self::SnapshotSend(send) => Some(send.name.path_in(&send.folder)),
            _ => None,
        }
    }

    /// For how many seconds a job stays after its report, so that a file can be fetched from it.
    pub fn hold_seconds(&self) -> u64 {
        match self {
            Self::SnapshotSave(save) => save.hold_seconds,
            Self::NodeFiles(files) => files.hold_seconds,
            Self::SnapshotSend(send) => send.hold_seconds,
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
