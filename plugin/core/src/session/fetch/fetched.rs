//! Running an operation that holds a file on its node, and bringing the file here meanwhile.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use etcd_operations::operation::Operation;
use etcd_operations::request::{Request, answer_to};
use etcd_operations::transfer::Whole;
use etcd_operations::wire::Progress;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::receive::{Held, receive};
use super::sink::Sink;
use super::verdict::{compare, not_a_snapshot};
use crate::error::Error;
use crate::limits;
use crate::outcome::{RunError, only_result};
use crate::runners::FileReceiver;
use crate::session::{Cluster, Node, Session};

/// What is to be brought from where.
#[derive(Clone, Copy)]
pub(super) struct Bring<'b> {
    pub(super) cluster: &'b Cluster,
    pub(super) node: &'b Node,
}

impl Session {
    /// Runs an operation that holds a file there, and brings it here.
    pub(super) async fn bring<R: Request<Wire = Operation>>(
        &self,
        bring: &Bring<'_>,
        request: &R,
        sink: &mut Sink,
    ) -> Result<R::Answer, Error> {
        let node = bring.node;
        let operation = &request.to_wire();
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
            file: operation.held_file().unwrap_or_default(),
            total: &total,
            sink: Mutex::new((sink, None)),
        };
        let mut task = self.task(operation, &tell);
        task.receiver = Some(&into_sink);
        let result = only_result(self.ladder.run(&[node], task).await);
        let (sink, whole) = into_sink.sink.into_inner();
        let checked = result.and_then(|report| {
            compare(&report, &whole.ok_or_else(not_a_snapshot)?)?;
            Ok(answer_to::<R>(report)?)
        });
        checked.map_err(|error| sink.error(&node.name, &error))
    }
}

/// Takes the file into a sink, and tells how much of it has come.
struct IntoSink<'a> {
    session: &'a Session,
    bring: Bring<'a>,
    /// Where the file is in the pod.
    file: PathBuf,
    /// How large the node says the file is.
    total: &'a AtomicU64,
    /// The sink, and what came when it is whole.
    sink: Mutex<(&'a mut Sink, Option<Whole>)>,
}

impl FileReceiver for IntoSink<'_> {
    fn receive<'a>(&'a self, pod: &'a str) -> BoxFuture<'a, Result<(), RunError>> {
        let Bring { cluster, node } = self.bring;
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
            let file = &self.file;
            let held = Held { pod, file };
            let mut to = self.sink.lock().await;
            let (sink, whole) = &mut *to;
            *whole = Some(receive(cluster, held, sink, &mut fetching).await?);
            Ok(())
        })
    }
}
