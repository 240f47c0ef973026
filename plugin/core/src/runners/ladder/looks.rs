//! Where a look begins. A Job costs a cluster some 20 writes on each node, and a second; etcdctl in the etcd pod writes
//! nothing and tells the same of a member that is well. What it cannot tell is asked by the first choice of the session.

use std::sync::atomic::{AtomicBool, Ordering};

use etcd_operations::failure::FailureKind;
use etcd_operations::operation::Operation;
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
        if !begins || !tells_the_same(task.operation) || nodes.is_empty() {
            return None;
        }
        let runner = self.runner(Via::Exec)?;
        let looked = self.run_each(runner, nodes, task).await;
        if !looked.iter().any(is_settled) {
            self.looks.barred.store(true, Ordering::Relaxed);
        }
        Some(looked)
    }

    /// The same outcomes, with those of this runner where etcdctl could not tell all.
    pub(super) async fn complete(
        &self,
        looked: Vec<Outcome>,
        first: &dyn Runner,
        nodes: &[&Node],
        task: Task<'_>,
    ) -> Vec<Outcome> {
        let both = nodes.iter().zip(&looked);
        let open: Vec<&Node> = both
            .filter(|(_, outcome)| !is_settled(outcome))
            .map(|(node, _)| *node)
            .collect();
        let mut more = self.run_each(first, &open, task).await.into_iter();
        let outcome = |looked: Outcome| match is_settled(&looked) {
            true => Some(looked),
            false => more.next().map(|outcome| Outcome {
                took: looked.took + outcome.took,
                ..outcome
            }),
        };
        looked.into_iter().filter_map(outcome).collect()
    }
}

/// Whether etcdctl tells the same of a member that is well as the program on its node does.
fn tells_the_same(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Status | Operation::Members | Operation::Health { .. } | Operation::AlarmList
    )
}

/// Whether another runner would tell no more. Why a member does not answer stands in files that etcdctl does not see.
fn is_settled(outcome: &Outcome) -> bool {
    use FailureKind as Failed;
    match &outcome.result {
        Ok(Report::Status(status)) => status.own.ok().is_some(),
        Ok(_) => true,
        Err(error) => matches!(
            error.kind,
            RunErrorKind::NodeDown
                | RunErrorKind::ApiserverLost
                | RunErrorKind::EtcdLost
                | RunErrorKind::TimedOut
                | RunErrorKind::OperationFailed(
                    Failed::NoQuorum | Failed::NoSpace | Failed::Corrupt | Failed::Unreachable
                )
        ),
    }
}
