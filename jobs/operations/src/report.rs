//! What operations found or did. Serialisable; versioned by [`crate::wire::VERSION`].
//!
//! Absent is not zero: what a version of etcd does not tell is `None` (3.5 tells no quota and no storage version).

mod bundle;
mod membership;
mod stored;

use std::path::PathBuf;

pub use bundle::{BundleSummary, BundledFile, Contents, LeftOut, MASTERS};
pub use stored::{
    Checked, Fate, KeptList, KeptSnapshot, KeptState, KeptSummary, PruneReport, PrunedSnapshot,
    Reason, RemovedSnapshots,
};

pub use membership::{LeaderReport, MembershipReport};

use etcd_datadir::status::Status;
use etcd_datadir::usage::Amounts;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Answer;
use crate::ids::{ClusterId, MemberId};

/// `apiVersion` of everything written for programs to read. Within a version fields may be added; nothing is renamed,
/// removed or given another meaning.
pub const API_VERSION: &str = "kubectl-etcd.github.io/v1";

/// What one operation gave back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// Of [`crate::operation::Operation::Status`].
    Status(StatusReport),
    /// Of [`crate::operation::Operation::Members`].
    Members(MemberList),
    /// Of [`crate::operation::Operation::MemberAdd`].
    MemberAdd(MembershipReport),
    /// Of [`crate::operation::Operation::MemberRemove`].
    MemberRemove(MembershipReport),
    /// Of [`crate::operation::Operation::MemberPromote`].
    MemberPromote(MembershipReport),
    /// Of [`crate::operation::Operation::MoveLeader`].
    MoveLeader(LeaderReport),
    /// Of [`crate::operation::Operation::Health`].
    Health(HealthReport),
    /// Of [`crate::operation::Operation::HashKv`].
    HashKv(HashReport),
    /// Of [`crate::operation::Operation::AlarmList`]: the alarms raised.
    AlarmList(AlarmReport),
    /// Of [`crate::operation::Operation::AlarmDisarm`]: the alarms that were raised before and no longer are.
    AlarmDisarm(AlarmReport),
    /// Of [`crate::operation::Operation::Compact`].
    Compact(CompactReport),
    /// Of [`crate::operation::Operation::Defrag`].
    Defrag(DefragReport),
    /// Of [`crate::operation::Operation::SnapshotSave`].
    Snapshot(SavedSnapshot),
    /// Of [`crate::operation::Operation::NodeFiles`].
    NodeFiles(NodeFiles),
    /// Of [`crate::operation::Operation::SnapshotList`].
    SnapshotList(KeptList),
    /// Of [`crate::operation::Operation::SnapshotVerify`]: what it is now known to be.
    SnapshotVerify(KeptSnapshot),
    /// Of [`crate::operation::Operation::SnapshotSend`]: what is sent.
    SnapshotSend(KeptSnapshot),
    /// Of [`crate::operation::Operation::SnapshotDelete`].
    SnapshotDelete(RemovedSnapshots),
    /// Of [`crate::operation::Operation::SnapshotPrune`].
    SnapshotPrune(PruneReport),
    /// Of [`crate::operation::Operation::Usage`].
    Usage(UsageReport),
    /// Of [`crate::routine::Routine`].
    Scheduled(ScheduledReport),
}

/// What a node's member, its disk and its peers say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// The node's own member, asked at its own endpoint.
    pub own: Answer<EndpointStatus>,
    /// The list of members as this node's member has it (its own view: not asked of the quorum).
    pub members: Answer<MemberList>,
    /// The alarms; fails without a quorum.
    pub alarms: Answer<Vec<Alarm>>,
    /// The other members, asked from here at the client addresses they announce.
    pub peers: Vec<PeerStatus>,
    /// What the node itself shows of its etcd when the member does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<NodeEvidence>,
    /// The snapshots kept in the usual folder of the node; none: it was not looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptSummary>,
}

/// One endpoint's own account (Maintenance.Status).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// Where it was asked.
    pub endpoint: String,
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// Its own id.
    pub member_id: MemberId,
    /// etcd's version, such as `3.6.16`.
    pub version: String,
    /// The storage version (from 3.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// What the database takes, as the quota counts it.
    pub db_size_bytes: u64,
    /// What of it is in use; the rest is what a defragmentation frees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_in_use_bytes: Option<u64>,
    /// The quota in force (told from 3.6 on, else from the flag).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// The leader it knows; none: it knows of no leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<MemberId>,
    /// Whether it is a learner.
    pub is_learner: bool,
    /// The raft term.
    pub raft_term: u64,
    /// The last index in its log.
    pub raft_index: u64,
    /// The last index applied.
    pub raft_applied_index: u64,
    /// The revision of its key space.
    pub revision: i64,
    /// What it complains of.
    #[serde(default)]
    pub errors: Vec<String>,
    /// A downgrade under way: the version it goes to (from 3.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade_target: Option<String>,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
}

impl EndpointStatus {
    /// The alarms it knows of: every member tells all of them among its errors.
    pub fn alarms(&self) -> impl Iterator<Item = Alarm> {
        self.errors
            .iter()
            .filter_map(|error| Alarm::in_error(error))
    }
}

/// Another member as seen from a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// Which one.
    pub member_id: MemberId,
    /// What it answered.
    pub answer: Answer<EndpointStatus>,
}

/// What a node shows of an etcd that does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEvidence {
    /// Whether some process holds the lock on `member/snap/db`: none, when it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_locked: Option<bool>,
    /// The size of `member/snap/db`; none: not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub db_file_bytes: Option<u64>,
    /// The last words of the newest etcd container on the node: its fatal or panic line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
    /// How often the container was restarted, by its log files' numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started for the first time.
    pub client_urls: Vec<String>,
    /// Whether it is a learner.
    pub is_learner: bool,
}

impl Member {
    /// Whether it has ever started: only then has it told its name.
    pub fn started(&self) -> bool {
        !self.name.is_empty()
    }
}

/// Whose view a list of members is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// The quorum's.
    Linearizable,
    /// One member's own, which may be out of date.
    Serializable,
}

/// A list of members, and whose view it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberList {
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// Who answered.
    pub answered_by: MemberId,
    /// Whose view it is.
    pub consistency: Consistency,
    /// The members, as etcd lists them.
    pub members: Vec<Member>,
}

/// Which alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlarmKind {
    /// The database reached its quota: writes are refused.
    NoSpace,
    /// A member's data differs from the others'.
    Corrupt,
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// An alarm that is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Whose.
    pub member_id: MemberId,
    /// Which.
    pub alarm: AlarmKind,
}

impl Alarm {
    /// An alarm as etcd writes it among a member's errors: `memberID:13803658152347727308 alarm:NOSPACE ` (etcd
    /// `maintenance.go`, the text form of the protobuf message; the id is decimal). None: another error.
    pub fn in_error(error: &str) -> Option<Self> {
        let mut member_id = None;
        let mut alarm = None;
        for word in error.split_whitespace() {
            match word.split_once(':')? {
                ("memberID", id) => member_id = id.parse().ok().map(MemberId),
                ("alarm", "NOSPACE") => alarm = Some(AlarmKind::NoSpace),
                ("alarm", "CORRUPT") => alarm = Some(AlarmKind::Corrupt),
                ("alarm", _) => alarm = Some(AlarmKind::Unknown),
                _ => return None,
            }
        }
        Some(Self {
            member_id: member_id?,
            alarm: alarm?,
        })
    }
}

/// Alarms, and who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmReport {
    /// The cluster's id.
    pub cluster_id: ClusterId,
    /// The alarms.
    pub alarms: Vec<Alarm>,
    /// Those that were disarmed and raised again at once, because what raised them is still so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still_raised: Vec<Alarm>,
}

/// Whether a member does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// Who was asked; none: it did not even tell its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// The linearizable read: how long it took, in microseconds.
    pub read_us: Answer<u64>,
    /// The alarms.
    pub alarms: Answer<Vec<Alarm>>,
    /// The members by the list it has; none: not told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// What a member has up to a revision, as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashReport {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The member.
    pub member_id: MemberId,
    /// The revision up to which it was hashed: the one asked for, or the member's own where that is lower.
    pub revision: i64,
    /// The hash (etcd's `HashKV`).
    pub hash: u32,
    /// How far the member was compacted then; none: it was not. Only hashes with the same compaction can be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compact_revision: Option<i64>,
}

/// What a compaction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompactReport {
    /// The member that was asked.
    pub member_id: MemberId,
    /// The oldest revision that can still be read.
    pub revision: i64,
    /// What was in use of that member's database before, in bytes; none: not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use_before_bytes: Option<u64>,
    /// What is in use of it now, in bytes; none: not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_use_after_bytes: Option<u64>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What a defragmentation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefragReport {
    /// The member.
    pub member_id: MemberId,
    /// The database before, in bytes.
    pub before_bytes: u64,
    /// The database after, in bytes, as the member told it afterwards.
    pub after_bytes: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A snapshot that was taken, checked and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedSnapshot {
    /// What it is.
    #[serde(flatten)]
    pub snapshot: SnapshotReport,
    /// What is in its bundle, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

/// What a scheduled run did. It is small in any case: Kubernetes keeps it as the container's last words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledReport {
    /// The node on which the snapshot is kept.
    pub node: String,
    /// What it is.
    pub snapshot: SnapshotReport,
    /// The client URL of the member it was taken from.
    pub source: String,
    /// Why it was not taken from the node's own member; none: it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of_own: Option<String>,
    /// Of what belongs in its bundle and is not, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What became of older ones, or why they were not removed.
    pub pruned: Answer<Pruned>,
}

impl ScheduledReport {
    /// Why older snapshots were not removed, and that this one is there; none: what was wanted was done.
    pub fn not_pruned(&self) -> Option<String> {
        let failure = self.pruned.failure()?;
        let path = self.snapshot.path.display();
        Some(format!(
            "the snapshot {path} was saved, but older ones were not removed: {failure}"
        ))
    }
}

/// What a scheduled run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// How many older snapshots were removed.
    pub removed: usize,
    /// How many snapshots are there now.
    pub kept: usize,
}

/// A segment of a bundle with one node's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeFiles {
    /// The segment's size.
    pub size_bytes: u64,
    /// Its sha256.
    pub sha256: String,
    /// What is in it.
    pub contents: Contents,
}

/// A snapshot that was taken and checked: sha256 trailer, size and page structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotReport {
    /// Where it lies on the node.
    pub path: PathBuf,
    /// The file's size, trailer included.
    pub size_bytes: u64,
    /// sha256 of the whole file (what `sha256sum` prints), not of the database alone.
    pub sha256: String,
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The member it was taken from.
    pub member_id: MemberId,
    /// The revision the snapshot holds, read from the snapshot itself.
    pub revision: i64,
    /// The raft term when it was begun.
    pub raft_term: u64,
    /// etcd's version.
    pub etcd_version: String,
    /// The storage version (from 3.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// The hash `etcdutl snapshot status` prints.
    pub hash: u32,
    /// Keys alive, as etcdutl counts them from 3.6 on.
    pub total_keys: u64,
    /// Whether an object of Kubernetes is in it, events aside; none: it was not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_objects: Option<bool>,
    /// When it was begun.
    pub taken_at: Timestamp,
    /// How long it took to take and check, in milliseconds.
    pub took_ms: u64,
    /// What the file holds when it is packed; none: it is the snapshot as etcd sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
}

/// What is said of a snapshot that is whole and holds nothing of a cluster.
pub const NO_OBJECTS: &str =
    "no Kubernetes object is in it: it is not of the etcd that holds the cluster";

impl SnapshotReport {
    /// Whether it is known to hold nothing of a cluster: an empty etcd's, or one's that holds events alone.
    pub fn is_empty(&self) -> bool {
        self.has_objects == Some(false)
    }

    /// Whether this is said of the snapshot that has this status.
    pub fn is_of(&self, status: &Status) -> bool {
        status.hash == self.hash && i64::try_from(status.revision) == Ok(self.revision)
    }
}

/// The snapshot inside a packed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Packed {
    /// The unpacked snapshot's size, trailer included.
    pub size_bytes: u64,
    /// The sha256 of the unpacked snapshot, trailer included.
    pub sha256: String,
    /// What else is in it, when it is a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleSummary>,
}

/// What fills the database. Sizes are of keys and values as etcd stores them; page overhead is in `file_bytes` only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// The member it was read from; none for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_id: Option<MemberId>,
    /// The database as a whole.
    pub file_bytes: u64,
    /// What a defragmentation would free.
    pub free_bytes: u64,
    /// The revision it shows.
    pub revision: i64,
    /// Everything there is.
    pub total: UsageRow,
    /// The largest resources, such as `pods` or `example.com/widgets`, by live and history bytes together.
    pub resources: Vec<UsageRow>,
    /// The largest namespaces.
    pub namespaces: Vec<UsageRow>,
    /// The largest objects, by key.
    pub objects: Vec<UsageRow>,
}

/// One line of a usage table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UsageRow {
    /// The resource, namespace or key.
    pub name: String,
    /// Objects alive.
    pub objects: u64,
    /// Revisions kept, live ones included.
    pub revisions: u64,
    /// Bytes of what is alive.
    pub live_bytes: u64,
    /// Bytes of older revisions and tombstones.
    pub history_bytes: u64,
}

impl UsageRow {
    /// What something of this name takes.
    pub fn new(name: impl Into<String>, amounts: &Amounts) -> Self {
        Self {
            name: name.into(),
            objects: amounts.keys,
            revisions: amounts.revisions,
            live_bytes: amounts.live_bytes,
            history_bytes: amounts.history_bytes,
        }
    }
}
