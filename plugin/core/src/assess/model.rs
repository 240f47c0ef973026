//! How a cluster is: what `status` shows and what it prints as JSON.

use std::fmt;

use etcd_operations::advice::Advice;
use etcd_operations::report::AlarmKind;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::Standing;
use crate::error::Verdict;

/// How a cluster is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`etcd_operations::report::API_VERSION`].
    pub api_version: &'static str,
    /// `Status`.
    pub kind: &'static str,
    /// The verdict: decides the exit code.
    pub verdict: VerdictWord,
    /// The verdict in a sentence.
    #[schemars(with = "String")]
    pub summary: Summary,
    /// Members, votes and what may still fail.
    pub quorum: Quorum,
    /// The cluster's id; absent when nobody told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// One row a control-plane node, then the members that are on none of them.
    pub rows: Vec<Row>,
    /// What should be known, most important first.
    pub warnings: Vec<Warning>,
    /// The newest verified snapshot, on the nodes that told or by a schedule; absent when there is none or nobody told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_snapshot: Option<LastSnapshot>,
}

/// The newest verified snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastSnapshot {
    /// Where it was seen, or who says so.
    #[serde(flatten)]
    pub source: SnapshotSource,
    /// When it was begun; of a schedule's, when it was done (RFC 3339).
    pub taken_at: String,
    /// How old it is, in seconds.
    pub age_seconds: u64,
}

/// By what the newest verified snapshot is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SnapshotSource {
    /// It is kept on a control-plane node, which has told so.
    Kept {
        /// The node.
        node: String,
        /// Its name there.
        name: String,
        /// Its revision.
        revision: i64,
    },
    /// No node was asked; Kubernetes says that a run of this schedule succeeded.
    Scheduled {
        /// The name of its CronJob.
        schedule: String,
    },
}

/// The verdict as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictWord {
    /// Nothing is wrong.
    Healthy,
    /// It works, but something is wrong.
    Degraded,
    /// No quorum: nothing can be written, and linearizable reads fail.
    QuorumLost,
    /// A CORRUPT alarm is raised, or members have different data.
    Damaged,
    /// No node and no etcd answered.
    NothingReached,
}

impl VerdictWord {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::QuorumLost => "quorum lost",
            Self::Damaged => "damaged",
            Self::NothingReached => "nothing reached",
        }
    }

    /// The ending that belongs to it.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Healthy => Verdict::Healthy,
            Self::Degraded => Verdict::Degraded,
            Self::QuorumLost | Self::Damaged => Verdict::QuorumLostOrDamaged,
            Self::NothingReached => Verdict::NothingReached,
        }
    }
}

/// A verdict in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The verdict in a word or two.
    pub word: &'static str,
    /// What it is made of.
    pub details: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word, self.details)
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Members and votes. Learners have no vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quorum {
    /// Members with a vote.
    pub voters: usize,
    /// Members without.
    pub learners: usize,
    /// Voters that answered and know the leader.
    pub healthy_voters: usize,
    /// How many voters make a quorum.
    pub needed: usize,
    /// Whether there is one; absent when nothing answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// How many more healthy voters may fail before it is lost.
    pub may_fail: usize,
    /// Whether the number of members is etcd's own word, not guessed from the nodes.
    pub members_known: bool,
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows a leader.
    Follower,
    /// It follows without a vote.
    Learner,
    /// It answers but knows of no leader.
    NoLeader,
    /// It was added and has never started.
    NotStarted,
    /// It was asked and does not answer.
    Down,
    /// Nobody could ask it.
    Unknown,
    /// There is no etcd on this node.
    NoEtcd,
}

impl Role {
    /// As tables show it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::NoLeader => "no leader",
            Self::NotStarted => "not started",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::NoEtcd => "no etcd",
        }
    }
}

/// Where the quota is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaSource {
    /// etcd told it, or its flags did.
    Told,
    /// No flag is given, so etcd's default is in force.
    Default,
}

/// One node, one member. What is not known is absent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The node; absent for a member that is on no known node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The member's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The member's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// The cluster it says it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// What it does.
    pub role: Role,
    /// The other node this is known from, when the node's own answer is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_from: Option<String>,
    /// The runner that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
    /// etcd's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The storage version (etcd 3.6 and later).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// The database, as the quota counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_size_bytes: Option<u64>,
    /// What of it is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_in_use_bytes: Option<u64>,
    /// The quota in force; absent when unknown or switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// Where the quota is known from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_source: Option<QuotaSource>,
    /// The raft term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raft_term: Option<u64>,
    /// The last index in its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raft_index: Option<u64>,
    /// The last index applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raft_applied_index: Option<u64>,
    /// How many entries behind the leader's log it has applied; absent without a known leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// The revision of its key space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// A downgrade under way: the version it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downgrade_target: Option<String>,
    /// Its alarms.
    pub alarms: Vec<String>,
    /// What else it complains of.
    pub errors: Vec<String>,
    /// What is wrong with it or with asking it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// How long its answer took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// What it is by the word of the majority. Not for programs: a snapshot's source is chosen by it.
    #[serde(skip)]
    #[schemars(skip)]
    pub standing: Standing,
    /// The static pods on the node that run an etcd which is not the cluster's, by their manifests' names: left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_etcds: Vec<String>,
}

/// What is wrong, short for the table and in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A few words.
    pub short: String,
    /// A sentence.
    pub detail: String,
    /// What would help: a command or a flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub hint: Option<Advice>,
}

/// How much a warning matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The cluster is degraded by it.
    Warning,
    /// Worth knowing; nothing is wrong.
    Note,
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Reason {
    /// No node could be asked through the apiserver.
    NodesNotReached,
    /// An alarm is raised.
    AlarmRaised,
    /// Members have different data.
    DataDiffers,
    /// Whether members have the same data was not compared.
    DataNotCompared,
    /// Members belong to different clusters.
    ClusterIdsDiffer,
    /// A member is on no control-plane node.
    MemberWithoutNode,
    /// A control-plane node has no member.
    NodeWithoutMember,
    /// A member was added and has never started.
    MemberNotStarted,
    /// Members have different lists of members.
    MemberListsDiffer,
    /// A database is near its quota.
    NearQuota,
    /// A member is far behind the leader.
    Lagging,
    /// A member complains of something.
    MemberError,
    /// A node could not be asked, though its member answers others.
    NodeNotAsked,
    /// Members run different versions.
    VersionsDiffer,
    /// A downgrade is under way.
    DowngradeUnderWay,
    /// A member has no vote yet.
    Learner,
    /// Much of a database is free space.
    WorthDefragmenting,
    /// The last snapshot of a schedule is older than twice its interval.
    SnapshotOverdue,
    /// A pod says it is an etcd and is not believed.
    PodLeftAlone,
}

/// What a warning is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An alarm.
    Alarm(AlarmKind),
    /// A node.
    Node(String),
    /// The member of this id, which has no vote.
    Learner(String),
    /// The member of this id, which has one.
    Voter(String),
}

/// Something that should be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub reason: Reason,
    /// What is so, as a fragment.
    pub message: String,
    /// What would help: a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub hint: Option<Advice>,
    /// What it is about, where that decides what helps.
    #[serde(skip)]
    pub about: Option<About>,
}

impl Warning {
    fn new(severity: Severity, reason: Reason, message: String) -> Self {
        Self {
            severity,
            reason,
            message,
            hint: None,
            about: None,
        }
    }

    /// One that degrades the cluster.
    pub(super) fn degrading(reason: Reason, message: String) -> Self {
        Self::new(Severity::Warning, reason, message)
    }

    /// One that is only worth knowing.
    pub(super) fn note(reason: Reason, message: String) -> Self {
        Self::new(Severity::Note, reason, message)
    }

    /// About this.
    pub(super) fn about(mut self, about: About) -> Self {
        self.about = Some(about);
        self
    }

    /// With what would help.
    pub(super) fn hint(mut self, hint: impl Into<Advice>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
