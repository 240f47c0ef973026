//! Counting votes.

use etcd_operations::ids::MemberId;

use super::evidence::Evidence;
use super::model::Quorum;
use crate::discovery::Etcd;

/// Who votes, who is healthy, and what may still fail.
pub(super) fn count(evidence: &Evidence<'_>) -> Quorum {
    let members_known = !evidence.members().is_empty();
    let (voters, learners) = voters_and_learners(evidence);
    let nodes_with_etcd = evidence
        .asked
        .nodes
        .iter()
        // One that nobody could look at is taken to have one.
        .filter(|node| matches!(node.etcd, Etcd::Found(_) | Etcd::Unknown { .. }))
        .count();
    // Where nobody told a list, there is at least one for each node that has an etcd.
    let voter_count = if members_known {
        voters.len()
    } else {
        voters.len().max(nodes_with_etcd)
    };
    let healthy_voters = voters.iter().filter(|id| healthy(evidence, **id)).count();
    let needed = voter_count / 2 + 1;
    let holds = told(evidence, nodes_with_etcd)
        .then_some(voter_count > 0 && (evidence.quorum_answered || healthy_voters >= needed));
    Quorum {
        voters: voter_count,
        learners: learners.len(),
        healthy_voters,
        needed,
        holds,
        may_fail: if holds == Some(true) {
            healthy_voters.saturating_sub(needed)
        } else {
            0
        },
        members_known,
    }
}

/// The members by the list that one told. Where nobody did: those that answered.
fn voters_and_learners(evidence: &Evidence<'_>) -> (Vec<MemberId>, Vec<MemberId>) {
    let listed = evidence.members().iter();
    let mut members: Vec<(MemberId, bool)> = listed.map(|one| (one.id, one.is_learner)).collect();
    if members.is_empty() {
        let answered = evidence.accounts.values().map(|account| account.status);
        let of_cluster = answered.filter(|status| Some(status.cluster_id) == evidence.cluster_id);
        members.extend(of_cluster.map(|status| (status.member_id, status.is_learner)));
    }
    let of = |wanted: bool| {
        let members = members
            .iter()
            .filter(move |(_, learner)| *learner == wanted);
        members.map(|(id, _)| *id).collect()
    };
    (of(false), of(true))
}

/// Whether enough was heard to judge the quorum: a member's account, or, where none gave one, the word of every node.
fn told(evidence: &Evidence<'_>, nodes_with_etcd: usize) -> bool {
    let every_node = evidence.asked.scope.is_all() && evidence.reports.len() >= nodes_with_etcd;
    !evidence.accounts.is_empty() || every_node && !evidence.reports.is_empty()
}

/// A member is healthy when it answers, is of this cluster, and follows or is the leader of the newest term.
pub(super) fn healthy(evidence: &Evidence<'_>, id: MemberId) -> bool {
    evidence.accounts.get(&id).is_some_and(|account| {
        Some(account.status.cluster_id) == evidence.cluster_id
            && account.status.leader.is_some()
            && account.status.leader == evidence.leader
    })
}
