//! Where a look begins. A Job costs a cluster some 20 writes on each node, and a second; etcdctl in the etcd pod writes
//! nothing and tells the same of a member that is well. What it cannot tell is asked by the first choice of the session.

use std::sync::atomic::{AtomicBool, Ordering};

use etcd_operations::failure::FailureKind;
use etcd_operations::report::Report;

use super::{Ladder, Task};
use crate::discovery::Node;
use crate::outcome::{Outcome, RunErrorKind};
use crate::runners::Runner;
use crate::via::Via;

/// Whether looks begin with etcdctl.
#[derive(Debug, Default)]
pub(super) struct Looks {
    by_etcdctl: bool,
    /// Nothing came of it on any node: what keeps it (rights, as a rule) keeps it the next time too.
    barred: AtomicBool,
}

impl Ladder {
    /// With looks that begin with etcdctl.
    #[must_use]
    pub(crate) fn looking_by_etcdctl(mut self) -> Self {
        self.looks.by_etcdctl = true;
        self
    }

    /// What etcdctl tells on these nodes; none: looks do not begin there, or this is no look.
    pub(super) async fn look(&self, nodes: &[&Node], task: Task<'_>) -> Option<Vec<Outcome>> {
        let begins = self.looks.by_etcdctl && !self.looks.barred.load(Ordering::Relaxed);
        if !begins || !task.operation.only_looks() {
            return None;
        }
        let runner = self.runner(Via::Exec)?;
        if !nodes.iter().all(|node| runner.can_run(&task, node)) {
            return None;
        }
        let looked = self.run_each(runner, nodes, task).await;
        if !looked.iter().any(|outcome| is_settled(outcome, &looked)) {
            self.looks.barred.store(true, Ordering::Relaxed);
        }
        Some(looked)
    }

    /// What is told of these nodes without writing anything; no other runner takes over. None: only a Job or Pod could tell it.
    pub(crate) async fn glance(&self, nodes: &[&Node], task: Task<'_>) -> Option<Vec<Outcome>> {
        let first = self.first(nodes, &task)?;
        let runner = match (first.via(), self.looks.by_etcdctl) {
            (Via::Exec | Via::Local | Via::Ssh, _) => first,
            (Via::Job | Via::Pod, true) if !self.looks.barred.load(Ordering::Relaxed) => {
                self.runner(Via::Exec)?
            }
            (Via::Job | Via::Pod, _) => return None,
        };
        let able = nodes.iter().all(|node| runner.can_run(&task, node));
        match able {
            true => Some(self.run_each(runner, nodes, task).await),
            false => None,
        }
    }

    /// The same outcomes, with those of this runner where etcdctl could not tell all.
    pub(super) async fn complete(
        &self,
        looked: Vec<Outcome>,
        first: &dyn Runner,
        nodes: &[&Node],
        task: Task<'_>,
    ) -> Vec<Outcome> {
        let settled: Vec<bool> = looked.iter().map(|one| is_settled(one, &looked)).collect();
        let both = nodes.iter().zip(&settled);
        let open: Vec<&Node> = both
            .filter(|(_, settled)| !**settled)
            .map(|(node, _)| *node)
            .collect();
        let mut more = self.run_each(first, &open, task).await.into_iter();
        let outcome = |(looked, settled): (Outcome, bool)| match settled {
            true => Some(looked),
            false => more.next().map(|later| after(looked, later)),
        };
        let both = looked.into_iter().zip(settled);
        both.filter_map(outcome).collect()
    }
}

/// What is told where etcdctl could not tell all: what came later, unless that did not even get to the node.
fn after(looked: Outcome, later: Outcome) -> Outcome {
    let took = looked.took + later.took;
    let kind = |outcome: &Outcome| outcome.result.as_ref().err().map(|error| error.kind);
    let got_nowhere = kind(&later).is_some_and(RunErrorKind::is_out_of_reach);
    match kind(&looked) {
        Some(RunErrorKind::EtcdNotRunning) if got_nowhere => Outcome { took, ..looked },
        _ => Outcome { took, ..later },
    }
}

/// Whether another runner would tell no more. Why a member does not answer stands in files that etcdctl does not see. Where the
/// apiserver reaches no kubelet at all, it may still be reached by them.
fn is_settled(outcome: &Outcome, all: &[Outcome]) -> bool {
    use FailureKind as Failed;
    match &outcome.result {
        Ok(Report::Status(status)) => status.own.ok().is_some(),
        Ok(_) => true,
        Err(error) => match error.kind {
            RunErrorKind::OperationFailed(kind) => matches!(
                kind,
                Failed::NoQuorum | Failed::NoSpace | Failed::Corrupt | Failed::Unreachable
            ),
            RunErrorKind::NodeDown => all.iter().any(|other| other.result.is_ok()),
            kind => kind.is_out_of_reach(),
        },
    }
}
