//! A cluster in memory, for tests: it is surveyed, changed and defragmented, and fails where it is told to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use etcd_operations::failure::FailureKind;
use etcd_operations::ids::MemberId;
use etcd_operations::operation::{MemberRemove, MoveLeader, Operation};
use etcd_operations::report::{DefragReport, LeaderReport, MembershipReport, Report, StatusReport};
use etcd_operations::request::Request;

use super::{ClusterLock, OperatedCluster};
use kubectl_etcd_core::assess::fixtures::{CLUSTER, Cluster, id};
use kubectl_etcd_core::assess::model::Status;
use kubectl_etcd_core::discovery::{LeftAlone, Node};
use kubectl_etcd_core::error::{Error, ErrorKind};
use kubectl_etcd_core::outcome::{Outcome, RunError, RunErrorKind};

/// Something that happens meanwhile.
type Meanwhile = RefCell<Option<Box<dyn FnOnce(&mut Cluster)>>>;

/// A cluster in memory.
pub(crate) struct MemoryCluster {
    nodes: Vec<Node>,
    pub(crate) cluster: RefCell<Cluster>,
    /// What was asked for beside its status: the node and what.
    asked: RefCell<Vec<String>>,
    /// From which change on they fail.
    fails_from: Cell<usize>,
    /// With which change the lock is lost.
    pub(crate) lock_lost_at: Cell<usize>,
    lock_lost: Rc<Cell<bool>>,
    /// Who holds the lock, if somebody does.
    pub(crate) held_by: Cell<Option<&'static str>>,
    /// What happens right before the lock is there.
    meanwhile: Meanwhile,
    pub(crate) locks: RefCell<Vec<String>>,
}

impl MemoryCluster {
    /// This one.
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            nodes: cluster.nodes.clone(),
            cluster: RefCell::new(cluster),
            asked: RefCell::default(),
            fails_from: Cell::new(usize::MAX),
            lock_lost_at: Cell::new(usize::MAX),
            lock_lost: Rc::default(),
            held_by: Cell::new(None),
            meanwhile: RefCell::new(None),
            locks: RefCell::default(),
        }
    }

    /// From so many changes on none is done.
    pub(crate) fn fails_from(&self, number: usize) {
        self.fails_from.set(number);
    }

    /// Something that happens right before the lock is there.
    pub(crate) fn meanwhile(&self, act: impl FnOnce(&mut Cluster) + 'static) {
        *self.meanwhile.borrow_mut() = Some(Box::new(act));
    }

    /// What was asked for beside its status: the node and what.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    fn status(&self, node: &str) -> Result<StatusReport, RunError> {
        let mut outcomes = self.cluster.borrow().outcomes().into_iter();
        outcomes.find(|one| one.node == node).unwrap().result
    }

    fn change(&self, node: &str, operation: &Operation) -> Result<Report, RunError> {
        let number = self.asked.borrow().len() + 1;
        self.asked
            .borrow_mut()
            .push(format!("{node}: {}", operation.name()));
        if number >= self.lock_lost_at.get() {
            self.lock_lost.set(true);
        }
        if number >= self.fails_from.get() {
            let kind = RunErrorKind::OperationFailed(FailureKind::Other);
            return Err(RunError::new(kind, "etcdserver: request timed out"));
        }
        let mut cluster = self.cluster.borrow_mut();
        match operation {
            Operation::Defrag => {
                let at = cluster
                    .nodes
                    .iter()
                    .position(|one| one.name == node)
                    .unwrap();
                let account = cluster.account(at + 1);
                let before_bytes = account.db_size_bytes;
                account.db_size_bytes = account.db_in_use_bytes.unwrap_or(before_bytes);
                Ok(Report::Defrag(DefragReport {
                    member_id: account.member_id,
                    before_bytes,
                    after_bytes: account.db_size_bytes,
                    took_ms: 800,
                }))
            }
            Operation::MoveLeader(MoveLeader { to }) => {
                for account in cluster.accounts.iter_mut().flatten() {
                    account.leader = Some(*to);
                }
                Ok(Report::MoveLeader(LeaderReport {
                    cluster_id: CLUSTER,
                    from: id(1),
                    to: *to,
                    took_ms: 3,
                }))
            }
            Operation::MemberRemove(MemberRemove { member }) => {
                let at = cluster.members.iter().position(|one| one.id == *member);
                cluster.accounts[at.unwrap()] = None;
                cluster.members.retain(|one| one.id != *member);
                Ok(Report::MemberRemove(changed(*member, &cluster)))
            }
            other => panic!("{} is not done in memory", other.name()),
        }
    }
}

fn changed(member_id: MemberId, cluster: &Cluster) -> MembershipReport {
    MembershipReport {
        cluster_id: CLUSTER,
        member_id,
        changed: true,
        members: cluster.members.clone(),
    }
}

fn at_work(holder: &str) -> Error {
    Error::refused(format!("{holder} is at work on this etcd"))
}

/// A lock in memory.
pub(crate) struct MemoryLock(Rc<Cell<bool>>);

impl ClusterLock for MemoryLock {
    fn is_lost(&self) -> bool {
        self.0.get()
    }
}

impl OperatedCluster for MemoryCluster {
    type Lock = MemoryLock;

    fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn left_alone(&self) -> &[LeftAlone] {
        &[]
    }

    async fn run<R: Request<Wire = Operation>>(
        &self,
        nodes: &[&Node],
        request: &R,
    ) -> Vec<Outcome<R::Answer>> {
        let operation = request.to_wire();
        let outcomes = nodes.iter().map(|node| Outcome {
            node: node.name.clone(),
            via: None,
            took: std::time::Duration::ZERO,
            result: match operation {
                Operation::Status => self.status(&node.name).map(Report::Status),
                _ => self.change(&node.name, &operation),
            },
        });
        outcomes.map(Outcome::of::<R>).collect()
    }

    async fn survey(&self) -> (Vec<Outcome<StatusReport>>, Status) {
        let cluster = self.cluster.borrow();
        (cluster.outcomes(), cluster.assess())
    }

    async fn answered_survey(&self) -> Result<(Vec<Outcome<StatusReport>>, Status), Error> {
        let (outcomes, status) = self.survey().await;
        match outcomes.iter().all(|outcome| outcome.result.is_err()) {
            true => Err(Error::new(ErrorKind::NothingReached, "no node answers")),
            false => Ok((outcomes, status)),
        }
    }

    async fn refused_because(&self, refused: Error) -> Error {
        match (refused.kind, self.held_by.get()) {
            (ErrorKind::Refused, Some(holder)) => at_work(holder),
            _ => refused,
        }
    }

    async fn lock(&self, what: &str) -> Result<MemoryLock, Error> {
        if let Some(holder) = self.held_by.get() {
            return Err(at_work(holder));
        }
        if let Some(act) = self.meanwhile.take() {
            act(&mut self.cluster.borrow_mut());
        }
        self.locks.borrow_mut().push(what.to_owned());
        Ok(MemoryLock(Rc::clone(&self.lock_lost)))
    }
}
