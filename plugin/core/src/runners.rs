//! Where operations run: a Job or a bare Pod on the node, etcdctl inside the etcd pod, this host, or
//! a host over ssh.

pub(crate) mod exec;
pub mod host;
mod hosts;
pub(crate) mod ladder;
pub(crate) mod launch;
pub mod local;
pub(crate) mod mounts;
pub mod output;
pub(crate) mod payload;
pub(crate) mod podspec;
pub mod program;
pub mod trouble;
pub(crate) mod watching;

use std::future::Future;
use std::time::Duration;

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::wire::Progress;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::discovery::Node;
use crate::outcome::{RunError, RunErrorKind};
use crate::via::Via;
pub(crate) use exec::Exec;
pub(crate) use hosts::Hosts;
pub(crate) use local::Local;

/// One way to do an operation on nodes.
pub(crate) trait Runner: Send + Sync {
    /// Its name.
    fn via(&self) -> Via;

    /// The runner that is named in the outcome of one node.
    fn via_on(&self, _node: &Node) -> Via {
        self.via()
    }

    /// Whether it can do that on this node at all.
    fn can_run(&self, _task: &Task<'_>, _node: &Node) -> bool {
        true
    }

    /// Does it on these nodes, all at once.
    fn run<'a>(&'a self, nodes: &'a [&'a Node], task: Task<'a>) -> Results<'a>;

    /// Whether what this runner goes through is in order again, after it was lost.
    fn is_back(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }
}

/// What came of it on each node, by the node's position, each as soon as it is there.
pub(crate) type Results<'a> = BoxStream<'a, (usize, Result<Report, RunError>)>;

/// What a runner is to do.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// How long it may take on a node.
    pub limit: Duration,
    /// Who is told how far it is on the node of this name.
    pub progress: &'a (dyn Fn(&str, Progress) + Send + Sync),
    /// Who takes the file that the operation holds on the node, for one that holds a file.
    pub receiver: Option<&'a dyn FileReceiver>,
}

/// Takes a file from a Pod while the operation there holds it.
pub(crate) trait FileReceiver: Sync {
    /// Returns when the file is here.
    fn receive<'a>(&'a self, pod: &'a str) -> BoxFuture<'a, Result<(), RunError>>;
}

/// Ends the work on a node after this time.
///
/// # Errors
/// Those of the work; that its time is over.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    let late = || {
        let message = format!("not done within {} s", limit.as_secs());
        RunError::new(RunErrorKind::TimedOut, message)
            .hint(advice!["give it longer with ", Choice::Timeout])
    };
    let ended = tokio::time::timeout(limit, work).await;
    ended.unwrap_or_else(|_| Err(late()))
}
