//! Running an operation that holds a file on its node, and bringing the file here meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::transfer::Whole;
use etcd_operations::wire::Progress;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::receive::{Held, receive};
use super::sink::Sink;
use super::verdict::compare;
use crate::error::Error;
use crate::limits;
use crate::outcome::RunError;
use crate::runners::FileReceiver;
use crate::session::{Cluster, Node, Session, unexpected};

/// What is to be brought from where.
#[derive(Clone, Copy)]
pub(super) struct Bring<'b> {
    pub(super) cluster: &'b Cluster,
    pub(super) node: &'b Node,
    pub(super) operation: &'b Operation,
}

impl Session {
    /// Runs an operation that holds a file there, and brings it here.
    pub(super) async fn bring(&self, bring: &Bring<'_>, sink: &mut Sink) -> Result<Report, Error> {
        let Bring {
            node, operation, ..
        } = *bring;
        let total = AtomicU64::new(0);
        let tell = |node: &str, progress: Progress| {
            total.store(progress.total_bytes.unwrap_or(0), Ordering::Relaxed);
            // While bytes arrive, their number tells more than how far the node is.
            if progress.step != "saving" {
                self.tell(node, progress);
            }
        };
        let into_sink = IntoSink {
            session: self,
            bring: *bring,
            total: &total,
            sink: Mutex::new((sink, None)),
        };
        let mut task = self.task(operation, &tell);
        task.receiver = Some(&into_sink);
        let outcome = self.ladder.run(&[node], task).await.pop();
        let (sink, whole) = into_sink.sink.into_inner();
        let report = match (outcome.map(|outcome| outcome.result), whole) {
            (Some(Ok(report)), Some(whole)) => compare(&report, &whole).map(|()| report),
            (Some(Err(error)), _) => Err(error),
            (None, _) | (Some(Ok(_)), None) => return Err(unexpected(&node.name, operation)),
        };
        report.map_err(|error| sink.error(&node.name, &error))
    }
}

/// Takes the file into a sink, and tells how much of it has come.
struct IntoSink<'a> {
    session: &'a Session,
    bring: Bring<'a>,
    /// How large the node says the file is.
    total: &'a AtomicU64,
    /// The sink, and what came when it is whole.
    sink: Mutex<(&'a mut Sink, Option<Whole>)>,
}

impl FileReceiver for IntoSink<'_> {
    fn receive<'a>(&'a self, pod: &'a str) -> BoxFuture<'a, Result<(), RunError>> {
        let Bring {
            cluster,
            node,
            operation,
        } = self.bring;
        let mut told = Instant::now();
        let mut fetching = move |done: u64| {
            if told.elapsed() >= limits::TELL {
                told = Instant::now();
                let total = self.total.load(Ordering::Relaxed).max(done);
                let progress = Progress {
                    step: "fetching".into(),
                    done_bytes: done,
                    total_bytes: (total > done).then_some(total),
                };
                self.session.tell(&node.name, progress);
            }
        };
        Box::pin(async move {
            let file = operation.held_file().unwrap_or_default();
            let held = Held { pod, file: &file };
            let mut to = self.sink.lock().await;
            let (sink, whole) = &mut *to;
            *whole = Some(receive(cluster, held, sink, &mut fetching).await?);
            Ok(())
        })
    }
}
