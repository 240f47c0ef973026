//! Running an operation that holds a file on its node, and bringing the file here meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::request::{Request, answer_to};
use etcd_operations::wire::Progress;
use tokio::time::{Instant, timeout};

use super::TELL;
use super::receive::{Held, receive};
use super::sink::Sink;
use super::verdict::{Trouble, compare, damaged};
use crate::error::Error;
use crate::outcome::{RunError, RunErrorKind, run_error};
use crate::runners::{self, exec};
use crate::session::round::Round;
use crate::session::{Cluster, Node, Notice, Session};
use crate::via::Via;

/// What is to be brought from where.
#[derive(Clone, Copy)]
pub(super) struct Bring<'b> {
    pub(super) cluster: &'b Cluster,
    pub(super) node: &'b Node,
}

impl Bring<'_> {
    pub(super) fn error(&self, trouble: Trouble, sink: &mut Sink) -> Error {
        let node = &self.node.name;
        match trouble {
            Trouble::Run(error) => run_error(node, &error),
            Trouble::Here(error) => sink.refused(error),
            Trouble::Damaged(failure) => {
                sink.discard();
                run_error(node, &damaged(&failure))
            }
            Trouble::Stream(message) => {
                Error::failed(format!("{node}: fetching the snapshot: {message}"))
                    .hint("keep it on the node instead: --on-node")
            }
        }
    }
}

impl Session {
    /// Runs an operation that holds a file there, and brings it here.
    pub(super) async fn bring<R: Request<Wire = Operation>>(
        &self,
        bring: &Bring<'_>,
        request: &R,
        sink: &mut Sink,
    ) -> Result<R::Answer, Error> {
        let Bring { cluster, node } = *bring;
        let operation = &request.to_wire();
        let via = self.via_for(operation);
        if via == Via::Exec {
            return Err(run_error(&node.name, &exec::not_supported(operation)));
        }
        let mut result = self.fetch(cluster, via, node, operation, sink).await;
        if let Err(Trouble::Run(error)) = &result
            && self.forced.is_none()
            && runners::successor(via, error, operation) == Some(Via::Pod)
        {
            self.choose(Via::Pod, &error.message);
            result = self.fetch(cluster, Via::Pod, node, operation, sink).await;
        }
        let report = result.map_err(|trouble| bring.error(trouble, sink))?;
        answer_to::<R>(report).map_err(|failure| run_error(&node.name, &failure.into()))
    }

    async fn fetch(
        &self,
        cluster: &Cluster,
        via: Via,
        node: &Node,
        operation: &Operation,
        sink: &mut Sink,
    ) -> Result<Report, Trouble> {
        let limit = runners::limit(operation, self.limit);
        let round = Round::begin(cluster, via, &[node], operation, limit).await?;
        let (assignment, seen) = round.prepare(node)?;
        let launcher = round.launcher();
        let started = launcher.start(&assignment, seen).await?;
        let file = operation.held_file().unwrap_or_default();
        let held = Held {
            pod: &started.pod,
            file: &file,
        };
        let total = AtomicU64::new(0);
        let mut saving = |progress: Progress| {
            total.store(progress.total_bytes.unwrap_or(0), Ordering::Relaxed);
            // While bytes arrive, their number tells more than how far the node is.
            if progress.step != "saving" {
                self.tell(node, progress);
            }
        };
        let work = async {
            let report = async {
                launcher
                    .report(&started, &mut saving)
                    .await
                    .map_err(Trouble::Run)
            };
            let mut told = Instant::now();
            let mut fetching = |done: u64| {
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    let total = total.load(Ordering::Relaxed).max(done);
                    self.tell(
                        node,
                        Progress {
                            step: "fetching".into(),
                            done_bytes: done,
                            total_bytes: (total > done).then_some(total),
                        },
                    );
                }
            };
            let bytes = receive(cluster, held, sink, &mut fetching);
            futures::try_join!(report, bytes)
        };
        let result = match timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(Trouble::Run(
                RunError::new(
                    RunErrorKind::TimedOut,
                    format!("not done within {} s", limit.as_secs()),
                )
                .hint("give it longer with --timeout"),
            )),
        };
        cluster.created.remove_soon(started.object.clone());
        let (report, whole) = result?;
        compare(&report, &whole)?;
        Ok(report)
    }

    fn tell(&self, node: &Node, progress: Progress) {
        (self.notices)(Notice::Progress {
            node: node.name.clone(),
            progress,
        });
    }
}
