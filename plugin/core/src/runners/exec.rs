//! The exec runner: etcdctl inside the running etcd pod. It needs no write to the cluster and no image of ours, so it
//! works when etcd refuses writes. The etcd image has etcdctl and no shell.

mod beside;
mod status;
pub(crate) mod stream;

use std::time::Duration;

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice};
use etcd_operations::client::CallError;
use etcd_operations::client::etcdctl::{Etcdctl, Printed, RunEtcdctl};
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;
use etcd_operations::run::run_calls;
use etcd_operations::target::Target;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};

use super::{Results, Runner, Task};
use crate::connection::{Connection, is_ready_again};
use crate::discovery::{ExecTarget, Node};
use crate::limits;
use crate::outcome::{RunError, RunErrorKind};
use crate::via::Via;
use stream::{Ending, ExecStream};

/// Whether this runner can do that operation at all.
fn supports(operation: &Operation) -> bool {
    *operation == Operation::Status || operation.is_calls()
}

/// Why it cannot, with the way that can.
fn not_supported(operation: &Operation) -> RunError {
    RunError::new(
        RunErrorKind::NotSupportedByRunner,
        format!(
            "{} cannot be done by etcdctl inside the etcd pod",
            operation.name()
        ),
    )
    .hint(advice![
        "leave ",
        Choice::Via,
        " away, or run it on a control-plane node as root with ",
        Choice::Via.with("local")
    ])
}

/// etcdctl in the etcd pods of a cluster.
pub(crate) struct Exec(pub(crate) Connection);

impl Runner for Exec {
    fn via(&self) -> Via {
        Via::Exec
    }

    fn can_run(&self, task: &Task<'_>, _node: &Node) -> bool {
        supports(task.operation)
    }

    fn run<'a>(&'a self, nodes: &'a [&'a Node], task: Task<'a>) -> Results<'a> {
        let all = run_all(&self.0, nodes, task.operation, task.limit);
        let all = async { futures::stream::iter(all.await).enumerate() };
        all.flatten_stream().boxed()
    }

    fn is_back(&self) -> BoxFuture<'_, bool> {
        is_ready_again(&self.0.control).boxed()
    }
}

/// Runs etcdctl in one node's etcd pod.
#[derive(Clone, Copy)]
struct PodExec<'a> {
    connection: &'a Connection,
    exec: &'a ExecTarget,
    node: &'a str,
    /// How long its start may take.
    starts: Duration,
}

/// Runs an operation on all nodes at once. The answers come in the nodes' order.
async fn run_all(
    connection: &Connection,
    nodes: &[&Node],
    operation: &Operation,
    limit: Duration,
) -> Vec<Result<Report, RunError>> {
    if !supports(operation) {
        return nodes
            .iter()
            .map(|_| Err(not_supported(operation)))
            .collect();
    }
    let reports = match operation {
        Operation::Status => status::of_all(connection, nodes, limit).await,
        _ => {
            let each = nodes.iter();
            join_all(each.map(|node| run_one(connection, node, operation, limit))).await
        }
    };
    match operation {
        Operation::Status | Operation::Health { .. } => {
            beside::completed(connection, nodes, operation, reports).await
        }
        _ => reports,
    }
}

/// Runs an operation on one node.
///
/// # Errors
/// Why there is no report.
async fn run_one(
    connection: &Connection,
    node: &Node,
    operation: &Operation,
    limit: Duration,
) -> Result<Report, RunError> {
    let (etcdctl, target) = etcdctl(connection, node, operation)?;
    let mut no_progress = |_| {};
    let work = run_calls(&etcdctl, target, operation, &mut no_progress);
    match tokio::time::timeout(limit, Box::pin(work)).await {
        Ok(result) => result,
        Err(_) => Err(silent(&target.pod, limit)),
    }
}

/// etcdctl in a node's etcd pod for an operation, and which etcd it is to ask.
fn etcdctl<'a>(
    connection: &'a Connection,
    node: &'a Node,
    operation: &Operation,
) -> Result<(Etcdctl<PodExec<'a>>, &'a Target), RunError> {
    let target = node
        .target()
        .ok_or_else(|| RunError::new(RunErrorKind::NoEtcd, "no etcd on this node"))?;
    let exec = node.exec.as_ref().ok_or_else(|| {
        RunError::new(
            RunErrorKind::NoEtcd,
            format!("{} has no etcd pod to run etcdctl in", node.name),
        )
    })?;
    let pod = PodExec {
        connection,
        exec,
        node: &target.node,
        starts: match operation.only_looks() {
            true => limits::EXEC_LOOKS,
            false => limits::EXEC_STARTS,
        },
    };
    let etcdctl = Etcdctl::new(pod, exec.tls.clone(), target.image.as_deref());
    Ok((etcdctl, target))
}

fn silent(pod: &str, limit: Duration) -> RunError {
    RunError::new(
        RunErrorKind::TimedOut,
        format!(
            "etcdctl in {pod} gave no answer within {} s",
            limit.as_secs()
        ),
    )
}

impl RunEtcdctl for PodExec<'_> {
    type Error = RunError;

    async fn run(&self, arguments: Vec<String>, limit: Duration) -> Result<Printed, RunError> {
        let command = [vec!["etcdctl".to_owned()], arguments].concat();
        let open = ExecStream::open(
            &self.connection.stream,
            "kube-system",
            &self.exec.pod,
            &self.exec.container,
            &command,
            false,
        );
        let node = self.node;
        let mut stream = match tokio::time::timeout(self.starts, open).await {
            Ok(opened) => opened.map_err(|error| exec_error(node, error))?,
            Err(_) => return Err(self.not_started().await),
        };
        let output = match tokio::time::timeout(limit, stream.collect()).await {
            Err(_) => return Err(silent(&self.exec.pod, limit)),
            Ok(Err(error)) => {
                let message = format!("exec in {}: {error}", self.exec.pod);
                return Err(RunError::new(RunErrorKind::Lost, message).caused_by(error));
            }
            Ok(Ok(output)) => output,
        };
        let exit_code = match output.ending {
            Ending::Success => 0,
            Ending::ExitCode(code) => code,
            Ending::Failure(message) => return Err(exec_failure(node, &message)),
        };
        Ok(Printed {
            stdout: output.stdout,
            stderr: output.stderr,
            exit_code,
        })
    }
}

impl PodExec<'_> {
    /// Why nothing came of an exec. An apiserver that has lost its etcd holds it as it holds every request.
    async fn not_started(&self) -> RunError {
        if is_ready_again(&self.connection.control).await {
            let silent = format!("no answer within {} s", self.starts.as_secs());
            return kubelet_out_of_reach(self.node, &silent);
        }
        RunError::new(
            RunErrorKind::EtcdLost,
            "running etcdctl in the etcd pod: the apiserver takes the request and does not answer it",
        )
    }
}

/// What opening an exec failed with.
fn exec_error(node: &str, error: kube::Error) -> RunError {
    match &error {
        kube::Error::Api(status) if status.code != 403 => {
            exec_failure(node, &status.message).caused_by(error)
        }
        _ => super::trouble::api_error("running etcdctl in the etcd pod", error),
    }
}

/// What the apiserver or the kubelet says about an exec that did not take place.
fn exec_failure(node: &str, message: &str) -> RunError {
    if let Some((_, why)) = message.split_once("dial tcp ") {
        return kubelet_out_of_reach(node, why);
    }
    if message.contains("error dialing backend") {
        return kubelet_out_of_reach(node, message);
    }
    let gone = ["not found", "not running", "does not exist"];
    if gone.iter().any(|words| message.contains(words)) {
        let message = format!("etcd does not run on {node}: {message}");
        return RunError::new(RunErrorKind::EtcdNotRunning, message);
    }
    let message = format!("running etcdctl on {node}: {message}");
    RunError::new(RunErrorKind::Other, message)
}

/// The apiserver was to pass an exec on to a node's kubelet, and that did not take it.
fn kubelet_out_of_reach(node: &str, why: &str) -> RunError {
    RunError::new(
        RunErrorKind::NodeDown,
        format!("the apiserver does not reach the kubelet of {node} ({why})"),
    )
}

impl CallError for RunError {
    fn kind(&self) -> FailureKind {
        match self.kind {
            RunErrorKind::OperationFailed(kind) => kind,
            // Where the answer got lost it may have been done.
            RunErrorKind::NodeDown
            | RunErrorKind::TimedOut
            | RunErrorKind::EtcdNotRunning
            | RunErrorKind::Lost
            | RunErrorKind::ApiserverLost
            | RunErrorKind::EtcdLost => FailureKind::Unreachable,
            _ => FailureKind::Other,
        }
    }

    fn message(&self) -> &str {
        &self.message
    }

    fn with_hint(self, hint: Advice) -> Self {
        self.hint(hint)
    }

    fn is_transport(&self) -> bool {
        !matches!(self.kind, RunErrorKind::OperationFailed(_))
    }
}

impl From<RunError> for Failure {
    /// One call of several failed on the way: a part of the report is missing.
    fn from(error: RunError) -> Self {
        let failure = Failure::new(error.kind(), error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_out_of_reach_is_told_from_an_etcd_that_does_not_run() {
        // As Kubernetes 1.36 words them.
        let refused =
            "error dialing backend: dial tcp 10.0.0.13:10250: connect: connection refused";
        let error = exec_failure("m3", refused);
        assert_eq!(error.kind, RunErrorKind::NodeDown);
        assert_eq!(
            error.message,
            "the apiserver does not reach the kubelet of m3 (10.0.0.13:10250: connect: connection refused)"
        );
        let no_tunnel = "error dialing backend: No agent available";
        assert_eq!(exec_failure("m3", no_tunnel).kind, RunErrorKind::NodeDown);
        let stopped = "container not found (\"etcd\")";
        let without_pod = "unable to upgrade connection: pod does not exist";
        for message in [stopped, without_pod] {
            assert_eq!(
                exec_failure("m3", message).kind,
                RunErrorKind::EtcdNotRunning
            );
        }
        let other = "unable to upgrade connection: Forbidden";
        assert_eq!(exec_failure("m3", other).kind, RunErrorKind::Other);
    }
}
