//! Counting votes.

use etcd_operations::ids::MemberId;

use super::evidence::{Account, Evidence};
use super::model::Quorum;
use crate::discovery::Etcd;

/// Who votes, who is healthy, and what may still fail.
pub(super) fn count(evidence: &Evidence<'_>) -> Quorum {
    let members = evidence.members();
    let members_known = !members.is_empty();
    let (voters, learners): (Vec<MemberId>, Vec<MemberId>) = if members_known {
        let ids =
            |learner| move |member: &&etcd_operations::report::Member| member.is_learner == learner;
        (
            members
                .iter()
                .filter(ids(false))
                .map(|member| member.id)
                .collect(),
            members
                .iter()
                .filter(ids(true))
                .map(|member| member.id)
                .collect(),
        )
    } else {
        // Nobody told a list: the members that answered, and at least one for each node that has an etcd.
        let learner = |account: &&Account<'_>| account.status.is_learner;
        let of_cluster =
            |account: &&Account<'_>| Some(account.status.cluster_id) == evidence.cluster_id;
        let answered = || evidence.accounts.values().filter(of_cluster);
        (
            answered()
                .filter(|account| !learner(account))
                .map(|account| account.status.member_id)
                .collect(),
            answered()
                .filter(learner)
                .map(|account| account.status.member_id)
                .collect(),
        )
    };
    let nodes_with_etcd = evidence
        .asked
        .nodes
        .iter()
        // One that nobody could look at is taken to have one.
        .filter(|node| matches!(node.etcd, Etcd::Found(_) | Etcd::Unknown { .. }))
        .count();
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
