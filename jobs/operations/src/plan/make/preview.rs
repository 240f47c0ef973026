//! A plan with what a person has to know before it is begun.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cluster::Revision;
use super::origin::Origin;
use super::restoring::Taken;
use crate::failure::{Answer, Failure};
use crate::ids::ClusterId;
use crate::look::{ArchivedManifest, Changes, Doubt, Fitness, LogPosition};
use crate::plan::{Plan, Stage};

/// A plan and what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanPreview {
    /// What would be done.
    pub plan: Plan,
    /// What was found, in the order of the hosts.
    pub found: Vec<Found>,
    /// What will be lost.
    pub losses: Vec<Loss>,
    /// Of which cluster the snapshot is; none: there is no snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What must not come back, or is not known.
    pub fences: Vec<Fence>,
    /// Manifests that are brought back, which no file in the folder of the static pods vouches for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brought_back: Vec<BroughtBack>,
    /// Why it is not to be begun as things are, and what lifts that. The plan can be shown all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Failure>,
}

impl PlanPreview {
    /// Whether something that somebody has written will be gone, or may be.
    pub fn loses_data(&self) -> bool {
        self.losses.iter().any(Loss::is_data)
    }

    /// Whether who agreed to `agreed` has agreed to this as well: the same is done on the same hosts, and nothing of another
    /// kind is lost. How much is lost may have changed: a cluster that serves is written to.
    pub fn is_as_agreed(&self, agreed: &Self) -> bool {
        let covered = |loss: &Loss| {
            let kind = std::mem::discriminant(loss);
            let mut all = agreed.losses.iter();
            all.any(|one| std::mem::discriminant(one) == kind)
        };
        let (here, there) = (self.plan.stages.iter(), agreed.plan.stages.iter());
        let (back, agreed_back) = (self.brought_back.iter(), agreed.brought_back.iter());
        here.map(in_short).eq(there.map(in_short))
            && self.losses.iter().all(covered)
            && back
                .map(BroughtBack::in_short)
                .eq(agreed_back.map(BroughtBack::in_short))
    }
}

/// A manifest that is brought back on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BroughtBack {
    /// The node's name.
    pub node: String,
    /// The manifest, and what it was compared with.
    pub manifest: ArchivedManifest,
}

impl BroughtBack {
    /// Which manifest it is, and what speaks against it.
    fn in_short(&self) -> (&str, &Path, Vec<&Doubt>) {
        let path = self.manifest.path.as_path();
        (&self.node, path, self.manifest.doubts.iter().collect())
    }
}

/// What a stage does, and where.
fn in_short(stage: &Stage) -> (&str, Vec<&str>) {
    let nodes = stage.steps.iter().map(|step| step.node.as_str());
    (&stage.title, nodes.collect())
}

/// A host as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The node's name.
    pub node: String,
    /// Whether its etcd runs.
    pub running: bool,
    /// What its data is good for; none: it was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitness: Option<Fitness>,
    /// Why it is no good, or what would be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How far its log goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<LogPosition>,
    /// The revision of its database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Whether it is the one that is gone on from.
    pub best: bool,
}

/// Something that will be lost, or may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "loss",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Loss {
    /// Nothing serves while it is done.
    Outage,
    /// Everything after a snapshot.
    SinceSnapshot {
        /// The snapshot's revision.
        revision: u64,
        /// When it was taken, as far as that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken: Option<Taken>,
        /// The newest that was found, if any was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newest: Option<Revision>,
        /// The objects that were changed since, in the database that has the newest, or why they could not be counted.
        /// None: nobody has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changes: Option<Answer<Changes>>,
    },
    /// All that is here, for the snapshot is of another cluster.
    Everything {
        /// The newest that was found, if any was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newest: Option<Revision>,
    },
    /// What is in the log of the member that is gone on from, and not in its database.
    LogBeyondDatabase {
        /// How many entries.
        entries: u64,
    },
    /// What others of the old cluster may have and the one that is gone on from does not.
    MaybeNewerElsewhere {
        /// The hosts whose data could not be seen.
        nodes: Vec<String>,
    },
    /// What the log of a member has that goes further than the one that is gone on from. It may have been acknowledged.
    FurtherLog {
        /// Whose.
        node: String,
        /// How many entries more it has; none: as many, of a later term.
        entries: u64,
    },
    /// What a member that is to rejoin has in its log beyond the one that is gone on from. It was never acknowledged.
    NeverAcknowledged {
        /// Whose.
        node: String,
        /// How many entries.
        entries: u64,
    },
    /// What a member has written in a cluster that the others are not of.
    OtherCluster {
        /// Whose.
        node: String,
        /// The cluster that it leaves.
        cluster_id: ClusterId,
        /// The member's revision there.
        revision: i64,
    },
}

impl Loss {
    /// Whether it is somebody's data.
    pub fn is_data(&self) -> bool {
        match self {
            Self::Outage | Self::NeverAcknowledged { .. } => false,
            Self::SinceSnapshot {
                revision, newest, ..
            } => newest
                .as_ref()
                .is_none_or(|newest| newest.at_most() > *revision),
            Self::LogBeyondDatabase { entries } => *entries > 0,
            Self::MaybeNewerElsewhere { .. }
            | Self::Everything { .. }
            | Self::FurtherLog { .. }
            | Self::OtherCluster { .. } => true,
        }
    }
}

/// Something that has to stay as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "fence",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Fence {
    /// A control-plane node that cannot be reached. It cannot join, but an apiserver there would answer from the past.
    Unreachable {
        /// Its name.
        node: String,
        /// Why it cannot be reached.
        why: String,
    },
    /// A control-plane node on which everything is done by hand: it is stopped there before, and joins afterwards.
    ByHand {
        /// Its name.
        node: String,
    },
    /// The apiserver of a node stops for it and is started again.
    ApiserverStops {
        /// The node's name.
        node: String,
    },
    /// There is no quorum, so an etcd that is started does not get ready.
    NoQuorum {
        /// The node's name.
        node: String,
    },
    /// A control-plane node that is left out. When it comes back it has to be replaced.
    LeftOut {
        /// Its name.
        node: String,
    },
}
