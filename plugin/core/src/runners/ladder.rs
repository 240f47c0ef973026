//! The ladder of runners: which one takes over where another one failed, as one table, and what runs an operation through it.
//!
//! The first runner of a session is its first choice: the Job while the apiserver answers; this host, or the hosts that are
//! reached over ssh, while it does not ([`instead_of_apiserver`]). A runner that the user forces is the only one of its
//! session, so nothing takes over from it. What only looks begins with etcdctl, which writes nothing ([`looks`]).

mod looks;

use etcd_operations::advice;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcd_operations::failure::FailureKind;
use etcd_operations::report::Report;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};

use super::{Runner, Task};
use crate::awaited::saying_who_is_awaited;
use crate::discovery::{Etcd, Node};
use crate::format::and;
use crate::outcome::{Notice, NoticeSink, Outcome, RunError, RunErrorKind};
use crate::via::Via;
use looks::Looks;

/// One row of the table.
#[derive(Debug)]
pub(crate) struct HandOver {
    /// The runners that failed.
    pub from: &'static [Via],
    /// What they failed for.
    pub after: &'static [RunErrorKind],
    /// What comes next.
    pub next: Next,
    /// For which nodes.
    pub scope: Scope,
    /// Why that may help.
    pub reason: &'static str,
}

/// What comes after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// This runner takes over, if the session has it and it can run the operation.
    Runner(Via),
    /// The same runner, once more: for an operation that changes nothing.
    Again,
}

/// Which nodes a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Each node that failed, by itself.
    EachNode,
    /// All nodes, once all of them have failed so.
    AllNodes,
}

const LOST: &[RunErrorKind] = &[RunErrorKind::ApiserverLost, RunErrorKind::EtcdLost];
const THROUGH_APISERVER: &[Via] = &[Via::Job, Via::Pod, Via::Exec];

/// The table. The first row that applies counts.
pub(crate) const HAND_OVERS: [HandOver; 5] = [
    HandOver {
        from: &[Via::Job, Via::Pod],
        after: &[RunErrorKind::OperationFailed(FailureKind::Interrupted)],
        next: Next::Again,
        scope: Scope::EachNode,
        reason: "while two controller-managers take turns a Job may get two Pods, of which one is ended",
    },
    HandOver {
        from: &[Via::Job],
        after: &[RunErrorKind::NoController],
        next: Next::Runner(Via::Pod),
        scope: Scope::EachNode,
        reason: "a bare Pod needs no controller",
    },
    HandOver {
        from: &[Via::Job, Via::Pod],
        after: &[
            RunErrorKind::WritesRefused,
            RunErrorKind::AdmissionRefused,
            RunErrorKind::QuotaExceeded,
            RunErrorKind::NoRights,
            RunErrorKind::ImageMissing,
            RunErrorKind::PodNotStarted,
            RunErrorKind::OtherVersion,
        ],
        next: Next::Runner(Via::Exec),
        scope: Scope::EachNode,
        reason: "etcdctl in the etcd pod needs no new object, no image and no program of ours",
    },
    HandOver {
        from: THROUGH_APISERVER,
        after: LOST,
        next: Next::Runner(Via::Local),
        scope: Scope::AllNodes,
        reason: "a control-plane node needs no apiserver to work on itself",
    },
    HandOver {
        from: THROUGH_APISERVER,
        after: LOST,
        next: Next::Again,
        scope: Scope::AllNodes,
        reason: "etcd may have elected another leader meanwhile",
    },
];

/// The runner of a session whose apiserver cannot be used: this host, where that is a control-plane node; none: the error
/// names the hosts to go to and `--ssh`.
pub(crate) fn instead_of_apiserver(forced: Option<Via>, is_control_plane: bool) -> Option<Via> {
    (forced.is_none() && is_control_plane).then_some(Via::Local)
}

impl HandOver {
    /// Whether it is for an operation that failed so.
    fn is_for(&self, via: Via, error: &RunError, task: &Task<'_>) -> bool {
        self.from.contains(&via)
            && self.after.contains(&error.kind)
            && (self.next != Next::Again || task.operation.only_looks())
    }
}

/// The runners of a session, its first choice first.
pub(crate) struct Ladder {
    runners: Vec<Box<dyn Runner>>,
    /// Where looks begin, if not with the first choice.
    looks: Looks,
    /// The runner that took over: used from the beginning by what comes later.
    chosen: Mutex<Option<Via>>,
    notices: NoticeSink,
}

/// What came before on a node.
#[derive(Default)]
struct Before {
    /// What the runners before failed for.
    error: Option<RunError>,
    /// Whether one was used once more.
    again: bool,
}

/// What came of it on the node at a position, and by which runner.
type Results<'a> = BoxStream<'a, (usize, &'a dyn Runner, Result<Report, RunError>)>;

impl Ladder {
    /// Of these runners.
    pub(crate) fn new(runners: Vec<Box<dyn Runner>>, notices: NoticeSink) -> Self {
        Self {
            runners,
            looks: Looks::default(),
            chosen: Mutex::new(None),
            notices,
        }
    }

    /// The runner that is used, as far as it is known by now; none: there is no runner at all.
    pub(crate) fn via(&self) -> Option<Via> {
        let chosen = self.took_over().map(|runner| runner.via());
        chosen.or_else(|| self.runners.first().map(|runner| runner.via()))
    }

    /// Where is told what goes on.
    pub(crate) fn notices(&self) -> &NoticeSink {
        &self.notices
    }

    /// Does it on these nodes, all at once. The outcomes are in the nodes' order.
    pub(crate) async fn run(&self, nodes: &[&Node], task: Task<'_>) -> Vec<Outcome> {
        let able: Vec<&Node> = nodes
            .iter()
            .copied()
            .filter(|node| node.target().is_some())
            .collect();
        let mut ended = self.run_all(&able, task).await.into_iter();
        let outcome = |node: &&Node| match without_etcd(node) {
            None => ended.next(),
            Some(error) => Some(Outcome {
                node: node.name.clone(),
                via: None,
                took: Duration::ZERO,
                result: Err(error),
            }),
        };
        nodes.iter().filter_map(outcome).collect()
    }

    /// On nodes that have an etcd: on each by itself, and then what comes when all have failed.
    async fn run_all(&self, nodes: &[&Node], task: Task<'_>) -> Vec<Outcome> {
        let Some(first) = self.first(nodes, &task) else {
            return Vec::new();
        };
        let mut outcomes = match self.look(nodes, task).await {
            Some(looked) => self.complete(looked, first, nodes, task).await,
            None => self.run_each(first, nodes, task).await,
        };
        let rows = HAND_OVERS.iter();
        for row in rows.filter(|row| row.scope == Scope::AllNodes) {
            let failed_so = |outcome: &Outcome| match (&outcome.via, &outcome.result) {
                (Some(via), Err(error)) => row.is_for(*via, error, &task),
                (None, _) | (_, Ok(_)) => false,
            };
            if outcomes.is_empty() || !outcomes.iter().all(failed_so) {
                continue;
            }
            let (next, able) = match row.next {
                // With the runner that took over, where one did.
                Next::Again if first.is_back().await => {
                    (self.first(nodes, &task).unwrap_or(first), nodes.to_vec())
                }
                Next::Again => continue,
                Next::Runner(via) => {
                    let Some(next) = self.runner(via) else {
                        continue;
                    };
                    let failed = nodes.iter().copied().zip(&outcomes);
                    let mut able = Vec::new();
                    for (node, outcome) in failed.filter(|(node, _)| next.can_run(&task, node)) {
                        if let Err(error) = &outcome.result {
                            self.choose(row, via, &error.message);
                        }
                        able.push(node);
                    }
                    (next, able)
                }
            };
            for second in self.run_each(next, &able, task).await {
                if let Some(first) = outcomes.iter_mut().find(|first| first.node == second.node) {
                    let took = first.took + second.took;
                    *first = Outcome { took, ..second };
                }
            }
        }
        outcomes
    }

    /// On each node, with the runners that take over there.
    async fn run_each<'a>(
        &'a self,
        first: &'a dyn Runner,
        nodes: &'a [&'a Node],
        task: Task<'a>,
    ) -> Vec<Outcome> {
        // A runner of Pods would bring its program into the cluster even for no node at all.
        if nodes.is_empty() {
            return Vec::new();
        }
        let begun = Instant::now();
        let mut before: Vec<Before> = nodes.iter().map(|_| Before::default()).collect();
        let mut outcomes: Vec<Option<Outcome>> = nodes.iter().map(|_| None).collect();
        let mut running = SelectAll::new();
        running.push(results(first, nodes, 0..nodes.len(), task));
        loop {
            let awaited = || {
                let both = nodes.iter().zip(&outcomes);
                let open = both.filter(|(_, outcome)| outcome.is_none());
                let names: Vec<&str> = open.map(|(node, _)| node.name.as_str()).collect();
                and(&names)
            };
            let next = match task.operation.only_looks() {
                true => saying_who_is_awaited(&self.notices, awaited, running.next()).await,
                // What is done there tells of its progress.
                false => running.next().await,
            };
            let Some((position, runner, result)) = next else {
                break;
            };
            let (node, before) = (nodes[position], &mut before[position]);
            let result = result.map_err(|error| before.with(runner.via(), error));
            let failed = result.as_ref().err();
            if let Some(next) =
                failed.and_then(|error| self.next(runner, error, node, &task, before))
            {
                running.push(results(next, nodes, position..position + 1, task));
                continue;
            }
            outcomes[position] = Some(Outcome {
                node: node.name.clone(),
                via: Some(runner.via_on(node)),
                took: begun.elapsed(),
                result,
            });
        }
        outcomes.into_iter().flatten().collect()
    }

    /// The runner that comes after this failure on a node, if there is one.
    fn next<'a>(
        &'a self,
        runner: &'a dyn Runner,
        error: &RunError,
        node: &Node,
        task: &Task<'_>,
        before: &mut Before,
    ) -> Option<&'a dyn Runner> {
        let mut rows = HAND_OVERS.iter();
        let row =
            rows.find(|row| row.scope == Scope::EachNode && row.is_for(runner.via(), error, task))?;
        match row.next {
            Next::Again => {
                let first = !std::mem::replace(&mut before.again, true);
                first.then_some(runner)
            }
            Next::Runner(via) => {
                let next = self.runner(via)?;
                if !next.can_run(task, node) {
                    return None;
                }
                self.choose(row, via, &error.message);
                before.error = Some(error.clone());
                Some(next)
            }
        }
    }

    /// The runner to begin with: one that took over before may not be able to do this.
    fn first(&self, nodes: &[&Node], task: &Task<'_>) -> Option<&dyn Runner> {
        let can = |runner: &&dyn Runner| nodes.iter().all(|node| runner.can_run(task, node));
        let first = || self.runners.first().map(|runner| &**runner);
        self.took_over().filter(can).or_else(first)
    }

    /// The runner that took over, where it is for what comes later too. An apiserver that was lost is tried again: the other
    /// nodes are behind it.
    fn took_over(&self) -> Option<&dyn Runner> {
        let chosen = *self.chosen();
        self.runner(chosen.filter(|via| *via != Via::Local)?)
    }

    fn runner(&self, via: Via) -> Option<&dyn Runner> {
        let mut runners = self.runners.iter().map(|runner| &**runner);
        runners.find(|runner| runner.via() == via)
    }

    /// Remembers that another runner is used from here on, and says so once.
    fn choose(&self, row: &HandOver, via: Via, why: &str) {
        tracing::debug!(%via, why, reason = row.reason, "another runner takes over");
        let before = self.chosen().replace(via);
        if before != Some(via) {
            (self.notices)(Notice::RunnerChosen {
                via,
                why: why.to_owned(),
            });
        }
    }

    fn chosen(&self) -> std::sync::MutexGuard<'_, Option<Via>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Before {
    /// An error of this runner: when none can, what the first one failed for is what has to be put right.
    fn with(&self, via: Via, error: RunError) -> RunError {
        let Some(first) = &self.error else {
            return error;
        };
        if matches!(error.kind, RunErrorKind::OperationFailed(_)) {
            return error;
        }
        RunError {
            message: format!("{}; through {via}: {}", first.message, error.message),
            hint: first.hint.clone().or(error.hint),
            source: first.source.clone(),
            // What keeps a Pod from running tells whether yet another runner can help.
            kind: match via {
                Via::Pod => error.kind,
                Via::Job | Via::Exec | Via::Local | Via::Ssh => first.kind,
            },
        }
    }
}

/// What a runner makes of it on the nodes at these positions.
fn results<'a>(
    runner: &'a dyn Runner,
    nodes: &'a [&'a Node],
    positions: Range<usize>,
    task: Task<'a>,
) -> Results<'a> {
    let begin = positions.start;
    runner
        .run(&nodes[positions], task)
        .map(move |(position, result)| (begin + position, runner, result))
        .boxed()
}

/// Why a node without an etcd is not asked.
fn without_etcd(node: &Node) -> Option<RunError> {
    match &node.etcd {
        Etcd::Found(_) => None,
        Etcd::Absent { why, hint } => {
            Some(RunError::new(RunErrorKind::NoEtcd, why).maybe_hint(hint.clone()))
        }
        Etcd::Unknown { why, hint, .. } => {
            Some(RunError::new(RunErrorKind::NotReached, why).maybe_hint(hint.clone()))
        }
        Etcd::External { servers } => {
            let servers = servers.join(", ");
            let message = format!("its apiserver uses an etcd outside the cluster: {servers}");
            Some(RunError::new(RunErrorKind::NoEtcd, message).hint(advice![
                advice::Task::Same,
                " works on etcd that runs as static pods on the control-plane nodes"
            ]))
        }
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
