//! Which of several members' directories to go on from.
//!
//! What counts is what a directory holds in a form that can be used. The order is raft's own: a log is the better one
//! if its last entry has the higher term, or with equal terms the higher index (the rule by which members elect their
//! leader). An entry that was acknowledged is on a majority of the members, and the log that wins this comparison among
//! any majority has it. So the first of this order holds every acknowledged write that any of them holds; with fewer
//! than a majority of the members at hand, a write may have been acknowledged by the others only.

use std::cmp::Reverse;

use crate::ids::ClusterId;
use crate::raft::LogPosition;

use super::inspect::{DataDir, Verdict};

/// A directory's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Which of those given, from 0.
    pub which: usize,
    /// What it holds; `None` when it cannot be used.
    pub reach: Option<LogPosition>,
    /// Commit index in its hard state.
    pub commit: u64,
    /// Index of the last entry applied to its database.
    pub consistent_index: u64,
    /// Revision of its database.
    pub revision: u64,
}

/// Directories in the order to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Best first; those that cannot be used come last.
    pub order: Vec<Ranked>,
    /// The clusters they belong to. With more than one the order means nothing.
    pub clusters: Vec<ClusterId>,
    /// How many voting members the cluster has, as the best one knows.
    pub voters: usize,
    /// Whether the directories that can be used are a majority of the voters. If not, writes may have been
    /// acknowledged that none of them has.
    pub majority: bool,
}

impl Comparison {
    /// The best one, if any can be used and all are of one cluster.
    #[must_use]
    pub fn best(&self) -> Option<&Ranked> {
        self.order
            .first()
            .filter(|best| best.reach.is_some() && self.clusters.len() <= 1)
    }
}

/// Orders directories: what they hold, then how little has to be done to use it, then commit index, consistent index and
/// revision; a voter before a learner.
#[must_use]
pub fn rank(dirs: &[DataDir]) -> Comparison {
    let mut order: Vec<Ranked> = dirs
        .iter()
        .enumerate()
        .map(|(which, dir)| place(which, dir))
        .collect();
    order.sort_by_key(|ranked| {
        let dir = &dirs[ranked.which];
        let preference = (ranked.commit, ranked.consistent_index, ranked.revision);
        (
            Reverse(ranked.reach),
            effort(&dir.verdict),
            Reverse(preference),
            is_learner(dir),
        )
    });
    let mut clusters: Vec<ClusterId> = dirs.iter().filter_map(|dir| dir.cluster_id).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let voters = order.first().map_or(0, |best| voters(&dirs[best.which]));
    let usable = |ranked: &&Ranked| ranked.reach.is_some() && !is_learner(&dirs[ranked.which]);
    let majority = voters > 0 && order.iter().filter(usable).count() > voters / 2;
    Comparison {
        order,
        clusters,
        voters,
        majority,
    }
}

fn place(which: usize, dir: &DataDir) -> Ranked {
    let facts = dir.database.facts();
    Ranked {
        which,
        reach: dir.reach(),
        commit: dir.wal.as_ref().map_or(0, crate::wal::WalSummary::commit),
        consistent_index: facts.map_or(0, |facts| facts.consistent_index()),
        revision: facts.map_or(0, |facts| facts.revision),
    }
}

fn effort(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Starts(_) => 0,
        Verdict::StartsWithLoss(..) => 1,
        Verdict::RestoreFrom(_) => 2,
        Verdict::Running | Verdict::Empty | Verdict::BeyondUse(_) => 3,
    }
}

fn voters(dir: &DataDir) -> usize {
    let views = &dir.membership.views;
    views.first().map_or(0, |(_, view)| {
        view.members
            .values()
            .filter(|member| !member.is_learner)
            .count()
    })
}

fn is_learner(dir: &DataDir) -> bool {
    let Some(id) = dir.member_id else {
        return false;
    };
    dir.membership.views.iter().any(|(_, view)| {
        view.members
            .get(&id)
            .is_some_and(|member| member.is_learner)
    })
}
