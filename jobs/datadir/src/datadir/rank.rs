//! Which of several members' directories to go on from.
//!
//! What counts is what a directory holds in a form that can be used. The order is raft's own: a log is the better one
//! if its last entry has the higher term, or with equal terms the higher index (the rule by which members elect their
//! leader). An entry that was acknowledged is on a majority of the members, and the log that wins this comparison among
//! any majority has it. So the first of this order holds every acknowledged write that any of them holds; with fewer
//! than a majority of the members at hand, a write may have been acknowledged by the others only.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::ids::{ClusterId, MemberId};
use crate::raft::LogPosition;

use super::finding::Loss;
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
    /// Best first; those that do not say which cluster they are of come behind those that do, and last those that
    /// cannot be used.
    pub order: Vec<Ranked>,
    /// The clusters they belong to. With more than one the order means nothing.
    pub clusters: Vec<ClusterId>,
    /// How many voting members the cluster has, as the best one knows.
    pub voters: usize,
    /// Whether the directories that have all their member ever confirmed are those of a majority of the voters. If
    /// not, writes may have been acknowledged that none of them has.
    pub majority: bool,
    /// Those that do not say which cluster they are of, from 0 as given: whether they belong to the others cannot be
    /// told.
    pub of_unknown_cluster: Vec<usize>,
    /// Members of which several directories were given.
    pub given_twice: Vec<MemberId>,
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
            ranked.reach.is_none(),
            dir.cluster_id.is_none(),
            Reverse(ranked.reach),
            effort(&dir.verdict),
            Reverse(preference),
            is_learner(dir),
        )
    });
    let mut clusters: Vec<ClusterId> = dirs.iter().filter_map(|dir| dir.cluster_id).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let best = order.first().map(|best| &dirs[best.which]);
    let voters = best.map(voters).unwrap_or_default();
    let complete: BTreeSet<MemberId> = dirs
        .iter()
        .filter(|dir| dir.cluster_id.is_some() && has_all_it_confirmed(&dir.verdict))
        .filter(|dir| best.is_some_and(|best| best.cluster_id == dir.cluster_id))
        .filter_map(|dir| dir.member_id)
        .filter(|id| voters.contains(id))
        .collect();
    let of_unknown_cluster = dirs.iter().enumerate();
    Comparison {
        order,
        clusters,
        voters: voters.len(),
        majority: complete.len() > voters.len() / 2,
        of_unknown_cluster: of_unknown_cluster
            .filter(|(_, dir)| dir.cluster_id.is_none() && dir.reach().is_some())
            .map(|(which, _)| which)
            .collect(),
        given_twice: given_twice(dirs),
    }
}

/// Whether all that the member ever confirmed is in the directory: an entry in a torn last record was not confirmed, but
/// the database alone lacks the log's end, and what is behind a hole may have been confirmed.
fn has_all_it_confirmed(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Starts(_) => true,
        Verdict::StartsWithLoss(_, losses) => losses
            .iter()
            .all(|loss| matches!(loss, Loss::TornRecord { .. })),
        Verdict::RestoreFrom(_) | Verdict::Running | Verdict::Empty | Verdict::BeyondUse(_) => {
            false
        }
    }
}

fn given_twice(dirs: &[DataDir]) -> Vec<MemberId> {
    let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for dir in dirs {
        if let (Some(cluster), Some(member)) = (dir.cluster_id, dir.member_id)
            && !seen.insert((cluster, member))
        {
            twice.insert(member);
        }
    }
    twice.into_iter().collect()
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

fn voters(dir: &DataDir) -> BTreeSet<MemberId> {
    let Some((_, view)) = dir.membership.views.first() else {
        return BTreeSet::new();
    };
    let voters = view.members.iter().filter(|(_, m)| !m.is_learner);
    voters.map(|(id, _)| *id).collect()
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

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
