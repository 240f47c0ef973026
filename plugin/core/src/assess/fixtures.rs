//! Made-up clusters for tests.

use std::time::Duration;

use etcd_operations::failure::{Answer, Failure, FailureKind};
use etcd_operations::ids::{ClusterId, MemberId};
use etcd_operations::report::{
    Alarm, AlarmKind, Consistency, EndpointStatus, KeptSummary, Member, MemberList, NodeEvidence,
    PeerStatus, StatusReport,
};
use etcd_operations::target::Target;

use super::same::Comparison;
use super::{Asked, Scheduled, Scope, assess, model::Status};
use crate::discovery::{ApiView, Etcd, LeftAlone, Node};
use crate::outcome::{Outcome, RunError};
use crate::via::Via;

/// The time at which everything is assessed.
pub(crate) const NOW: &str = "2026-11-21T12:00:00Z";

/// The cluster everything is in unless said otherwise.
pub const CLUSTER: ClusterId = ClusterId(0xe9c3_af26_4dbe_96fe);

/// A cluster of control-plane nodes `cp-1`, `cp-2`, … whose answers can be changed before they are assessed.
pub struct Cluster {
    /// The control-plane nodes.
    pub nodes: Vec<Node>,
    /// The members, as each of them lists them.
    pub members: Vec<Member>,
    /// What each member says of itself; none: it does not answer.
    pub accounts: Vec<Option<EndpointStatus>>,
    /// What a node's job says when it is not its member's account.
    pub instead: Vec<Option<Instead>>,
    /// The alarms.
    pub alarms: Vec<Alarm>,
    /// What lies in the nodes' folders of snapshots.
    pub kept: Vec<Option<KeptSummary>>,
    /// The schedules for snapshots.
    pub schedules: Vec<Scheduled>,
    /// Whether the members have the same data.
    pub same: Comparison,
    /// Pods that are not believed.
    pub left_alone: Vec<LeftAlone>,
    /// Whether there is a quorum.
    pub quorum: bool,
    /// Which nodes are asked.
    pub scope: Scope,
}

/// A failed account with the node's evidence, or no report at all.
pub(crate) type Instead = Result<(Failure, Option<NodeEvidence>), RunError>;

impl Cluster {
    /// A healthy one of etcd 3.6; `cp-1` leads.
    pub fn of(size: u64) -> Self {
        Self {
            nodes: (1..=size).map(node).collect(),
            members: (1..=size).map(member).collect(),
            accounts: (1..=size).map(|number| Some(account(number))).collect(),
            instead: (0..size).map(|_| None).collect(),
            alarms: Vec::new(),
            kept: Vec::new(),
            schedules: Vec::new(),
            same: Comparison::default(),
            left_alone: Vec::new(),
            quorum: true,
            scope: Scope::All,
        }
    }

    /// The account of a member, to be changed.
    pub fn account(&mut self, number: usize) -> &mut EndpointStatus {
        self.accounts[number - 1].as_mut().unwrap()
    }

    /// A node whose job gave nothing, and whose member does not answer.
    pub fn lost(&mut self, number: usize, error: RunError) {
        self.accounts[number - 1] = None;
        self.instead[number - 1] = Some(Err(error));
    }

    /// A node whose member does not answer.
    pub fn stopped(&mut self, number: usize, failure: Failure, evidence: NodeEvidence) {
        self.accounts[number - 1] = None;
        self.instead[number - 1] = Some(Ok((failure, Some(evidence))));
    }

    /// No quorum: who answers knows no leader.
    pub fn without_quorum(&mut self) {
        self.quorum = false;
        for account in self.accounts.iter_mut().flatten() {
            account.leader = None;
            account.errors = vec!["etcdserver: no leader".to_owned()];
        }
    }

    /// What the nodes answer.
    pub fn outcomes(&self) -> Vec<Outcome<StatusReport>> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(at, node)| self.outcome(at, node))
            .collect()
    }

    /// How it is.
    pub fn assess(&self) -> Status {
        let outcomes = self.outcomes();
        assess(Asked {
            nodes: &self.nodes,
            outcomes: &outcomes,
            left_alone: &self.left_alone,
            scope: self.scope,
            schedules: &self.schedules,
            same: &self.same,
            now: NOW.parse().unwrap(),
        })
    }

    fn outcome(&self, at: usize, node: &Node) -> Outcome<StatusReport> {
        let own = match (
            self.instead.get(at).and_then(Option::as_ref),
            self.accounts.get(at).cloned().flatten(),
        ) {
            (Some(Err(error)), _) => Err(error.clone()),
            (Some(Ok((failure, evidence))), _) => {
                Ok((Answer::Failed(failure.clone()), evidence.clone()))
            }
            (None, Some(account)) => Ok((Answer::Ok(account), None)),
            (None, None) => Ok((Answer::Failed(unreachable()), None)),
        };
        let result = own.map(|(own, evidence)| {
            let alive = own.ok().is_some();
            let answered_by = own.ok().map_or(MemberId(0), |own| own.member_id);
            let cluster_id = own.ok().map_or(CLUSTER, |own| own.cluster_id);
            let failed = |kind| Failure::new(kind, "context deadline exceeded");
            StatusReport {
                own,
                members: if alive {
                    Answer::Ok(MemberList {
                        cluster_id,
                        answered_by,
                        consistency: Consistency::Serializable,
                        members: self.members.clone(),
                    })
                } else {
                    Answer::Failed(unreachable())
                },
                alarms: match (alive, self.quorum) {
                    (true, true) => Answer::Ok(self.alarms.clone()),
                    (true, false) => Answer::Failed(failed(FailureKind::NoQuorum)),
                    (false, _) => Answer::Failed(unreachable()),
                },
                peers: if alive { self.peers(at) } else { Vec::new() },
                evidence,
                kept: self.kept.get(at).cloned().flatten(),
            }
        });
        Outcome {
            node: node.name.clone(),
            via: Some(Via::Job),
            took: Duration::from_millis(900),
            result,
        }
    }

    fn peers(&self, but: usize) -> Vec<PeerStatus> {
        self.members
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != but)
            .map(|(at, member)| PeerStatus {
                member_id: member.id,
                answer: match self.accounts.get(at).cloned().flatten() {
                    Some(account) => Answer::Ok(account),
                    None => Answer::Failed(unreachable()),
                },
            })
            .collect()
    }
}

/// Nobody answers.
pub fn unreachable() -> Failure {
    Failure::unreachable("tcp connect error: Connection refused (os error 111)")
}

/// The id of a member.
pub fn id(number: u64) -> MemberId {
    MemberId(0x1f00_0000_0000_00a0 + number)
}

/// The node `cp-NUMBER`.
pub fn node(number: u64) -> Node {
    Node {
        name: format!("cp-{number}"),
        etcd: Etcd::Found(target(number)),
        api: ApiView::default(),
        exec: None,
    }
}

/// Its etcd.
pub fn target(number: u64) -> Target {
    Target {
        node: format!("cp-{number}"),
        pod: format!("etcd-cp-{number}"),
        member_name: format!("cp-{number}"),
        client_urls: vec![
            "https://127.0.0.1:2379".to_owned(),
            format!("https://10.0.0.{number}:2379"),
        ],
        peer_urls: vec![format!("https://10.0.0.{number}:2380")],
        tls: None,
        data_dir: "/var/lib/etcd".into(),
        wal_dir: None,
        quota_bytes: None,
        image: Some("registry.k8s.io/etcd:3.6.16-0".to_owned()),
    }
}

/// Its member.
pub fn member(number: u64) -> Member {
    Member {
        id: id(number),
        name: format!("cp-{number}"),
        peer_urls: vec![format!("https://10.0.0.{number}:2380")],
        client_urls: vec![format!("https://10.0.0.{number}:2379")],
        is_learner: false,
    }
}

/// What its member says of itself.
pub fn account(number: u64) -> EndpointStatus {
    EndpointStatus {
        endpoint: "https://127.0.0.1:2379".to_owned(),
        cluster_id: CLUSTER,
        member_id: id(number),
        version: "3.6.16".to_owned(),
        storage_version: Some("3.6.0".to_owned()),
        db_size_bytes: (410 + number) << 20,
        db_in_use_bytes: Some(287 << 20),
        quota_bytes: Some(2 << 30),
        leader: Some(id(1)),
        is_learner: false,
        raft_term: 14,
        raft_index: 12_904_120,
        raft_applied_index: 12_904_120 - number + 1,
        revision: 9_118_204,
        errors: Vec::new(),
        downgrade_target: None,
        took_ms: 3,
    }
}

/// An alarm of a member.
pub fn alarm(number: u64, alarm: AlarmKind) -> Alarm {
    Alarm {
        member_id: id(number),
        alarm,
    }
}
