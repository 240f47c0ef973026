//! What all answers together show: whose cluster, which members, who leads.

use std::collections::BTreeMap;

use etcd_operations::ids::{ClusterId, MemberId};
use etcd_operations::report::{Alarm, AlarmKind, EndpointStatus, Member, MemberList, StatusReport};

use super::Asked;
use super::majority::Majority;
use crate::outcome::Outcome;

/// A member's account of itself, and from where it was heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account<'a> {
    /// What it said.
    pub(super) status: &'a EndpointStatus,
    /// The node whose job heard it.
    pub(super) heard_on: &'a str,
    /// Whether that node is its own.
    pub(super) own: bool,
}

/// Everything known, looked up by member.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) asked: Asked<'a>,
    /// The nodes that answered, with their answers.
    pub(super) reports: Vec<(&'a str, &'a StatusReport)>,
    /// For each member the best account: its own node's, else a peer's.
    pub(super) accounts: BTreeMap<MemberId, Account<'a>>,
    /// What more than half of the voters say, each on its own node.
    pub(super) majority: Option<Majority<'a>>,
    /// The cluster most answers are from.
    pub(super) cluster_id: Option<ClusterId>,
    /// The list of members to go by.
    pub(super) members: Option<&'a MemberList>,
    /// The alarms raised, each once.
    pub(super) alarms: Vec<Alarm>,
    /// Whether a request that needs the quorum was answered.
    pub(super) quorum_answered: bool,
    /// The leader most members of the newest term follow.
    pub(super) leader: Option<MemberId>,
}

impl<'a> Evidence<'a> {
    pub(super) fn gather(asked: Asked<'a>) -> Self {
        let reports: Vec<_> = asked.outcomes.iter().filter_map(report).collect();
        let accounts = accounts(&reports);
        let majority = Majority::of(asked.nodes, &reports);
        let cluster_id = majority
            .map(Majority::cluster_id)
            .or_else(|| main_cluster(&accounts));
        let of_cluster: Vec<_> = reports
            .iter()
            .filter(|(_, report)| {
                report
                    .own
                    .ok()
                    .is_none_or(|own| Some(own.cluster_id) == cluster_id)
            })
            .copied()
            .collect();
        let leader = leader(&accounts, cluster_id);
        Self {
            asked,
            majority,
            members: best_members(&of_cluster, &accounts, leader, cluster_id),
            alarms: alarms(&of_cluster, &accounts),
            quorum_answered: of_cluster
                .iter()
                .any(|(_, report)| report.alarms.ok().is_some()),
            reports,
            accounts,
            cluster_id,
            leader,
        }
    }

    /// The status report of a node.
    pub(super) fn report_of(&self, node: &str) -> Option<&'a StatusReport> {
        self.reports
            .iter()
            .find(|(name, _)| *name == node)
            .map(|(_, report)| *report)
    }

    /// What became of asking a node.
    pub(super) fn outcome_of(&self, node: &str) -> Option<&'a Outcome<StatusReport>> {
        self.asked
            .outcomes
            .iter()
            .find(|outcome| outcome.node == node)
    }

    /// The members by the list to go by; none, when nobody told one.
    pub(super) fn members(&self) -> &'a [Member] {
        self.members.map_or(&[], |list| &list.members)
    }

    /// The leader's account to compare another one with: heard on the same node and so at the same moment, if possible.
    /// Nodes are asked seconds apart, in which a leader's log grows by more than any follower lags.
    pub(super) fn leader_beside(&self, account: Account<'a>) -> Option<&'a EndpointStatus> {
        let leader = self.leader?;
        let heard = self.report_of(account.heard_on).and_then(|report| {
            let own = report.own.ok();
            let peers = report.peers.iter().filter_map(|peer| peer.answer.ok());
            own.into_iter()
                .chain(peers)
                .find(|status| status.member_id == leader)
        });
        heard.or_else(|| self.accounts.get(&leader).map(|account| account.status))
    }
}

fn report(outcome: &Outcome<StatusReport>) -> Option<(&str, &StatusReport)> {
    let report = outcome.result.as_ref().ok()?;
    Some((outcome.node.as_str(), report))
}

fn accounts<'a>(reports: &[(&'a str, &'a StatusReport)]) -> BTreeMap<MemberId, Account<'a>> {
    let mut accounts = BTreeMap::new();
    for (node, report) in reports {
        if let Some(status) = report.own.ok() {
            accounts.insert(
                status.member_id,
                Account {
                    status,
                    heard_on: node,
                    own: true,
                },
            );
        }
    }
    for (node, report) in reports {
        for peer in &report.peers {
            if let Some(status) = peer.answer.ok() {
                accounts.entry(status.member_id).or_insert(Account {
                    status,
                    heard_on: node,
                    own: false,
                });
            }
        }
    }
    accounts
}

/// The cluster most members belong to, by what each says on its own node, and then by what others were told; on a tie the
/// one that has a leader, then the one with the higher term.
fn main_cluster(accounts: &BTreeMap<MemberId, Account<'_>>) -> Option<ClusterId> {
    let mut clusters: BTreeMap<ClusterId, (usize, usize, bool, u64)> = BTreeMap::new();
    for Account { status, own, .. } in accounts.values() {
        let seen = clusters.entry(status.cluster_id).or_default();
        seen.0 += usize::from(*own);
        seen.1 += 1;
        seen.2 |= status.leader.is_some();
        seen.3 = seen.3.max(status.raft_term);
    }
    clusters
        .into_iter()
        .max_by_key(|(_, weight)| *weight)
        .map(|(id, _)| id)
}

/// The leader of the newest term that anybody knows: a deposed leader that was cut off speaks for an older one.
fn leader(
    accounts: &BTreeMap<MemberId, Account<'_>>,
    cluster: Option<ClusterId>,
) -> Option<MemberId> {
    accounts
        .values()
        .filter(|account| Some(account.status.cluster_id) == cluster)
        .filter_map(|account| Some((account.status.raft_term, account.status.leader?)))
        .max()
        .map(|(_, leader)| leader)
}

/// Lists are each member's own view, so the leader's is preferred, then that of whoever applied most.
fn best_members<'a>(
    reports: &[(&'a str, &'a StatusReport)],
    accounts: &BTreeMap<MemberId, Account<'_>>,
    leader: Option<MemberId>,
    cluster: Option<ClusterId>,
) -> Option<&'a MemberList> {
    reports
        .iter()
        .filter_map(|(_, report)| report.members.ok())
        .filter(|list| cluster.is_none_or(|id| list.cluster_id == id))
        .max_by_key(|list| {
            let applied = accounts
                .get(&list.answered_by)
                .map(|account| account.status.raft_applied_index);
            (Some(list.answered_by) == leader, applied)
        })
}

/// The alarms by the quorum's word, and, as that may be missing, by what each member complains of.
fn alarms(
    reports: &[(&str, &StatusReport)],
    accounts: &BTreeMap<MemberId, Account<'_>>,
) -> Vec<Alarm> {
    let told = reports
        .iter()
        .filter_map(|(_, report)| report.alarms.ok())
        .flatten()
        .copied();
    let complained = accounts
        .values()
        .flat_map(|account| account.status.alarms());
    let mut alarms: Vec<Alarm> = Vec::new();
    for alarm in told.chain(complained) {
        if !alarms.contains(&alarm) {
            alarms.push(alarm);
        }
    }
    alarms.sort_by_key(|alarm| (alarm.member_id, alarm.alarm != AlarmKind::Corrupt));
    alarms
}
