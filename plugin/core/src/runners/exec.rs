//! The exec runner: etcdctl inside the running etcd pod. It needs no write to the cluster and no image of ours, so it
//! works when etcd refuses writes. The etcd image has etcdctl and no shell.

mod etcdctl;
mod membership;
mod operate;
mod questions;
pub(crate) mod stream;

use std::time::Duration;

use etcd_operations::failure::{Answer, Failure, FailureKind};
use etcd_operations::operation::Operation;
use etcd_operations::report::{EndpointStatus, Report};
use etcd_operations::target::Target;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};

use super::{Results, Runner, Task};
use crate::connection::{Connection, is_ready_again};
use crate::discovery::{ExecTarget, Node};
use crate::outcome::{RunError, RunErrorKind};
use crate::via::Via;
use stream::{Ending, ExecStream};

/// How long the apiserver may take to reach the node's kubelet and that to start the program.
const START_LIMIT: Duration = Duration::from_secs(5);

/// How long one etcdctl may take to hear all members. A healthy cluster's are heard in a fraction of it; with one that
/// is silent no more time is lost.
const TOGETHER_LIMIT: Duration = Duration::from_millis(800);

/// Whether this runner can do that operation at all.
fn supports(operation: &Operation) -> bool {
    match operation {
        Operation::Status
        | Operation::Members
        | Operation::MemberAdd { .. }
        | Operation::MemberRemove { .. }
        | Operation::MemberPromote { .. }
        | Operation::MoveLeader { .. }
        | Operation::Health { .. }
        | Operation::AlarmList
        | Operation::AlarmDisarm { .. }
        | Operation::Defrag => true,
        Operation::HashKv { .. }
        | Operation::SnapshotSave { .. }
        | Operation::NodeFiles { .. }
        | Operation::SnapshotList { .. }
        | Operation::SnapshotVerify { .. }
        | Operation::SnapshotSend { .. }
        | Operation::SnapshotDelete { .. }
        | Operation::SnapshotPrune { .. }
        | Operation::Usage { .. } => false,
    }
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
    .hint("leave --via away, or run it on a control-plane node as root with --via local")
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

/// etcdctl in one node's etcd pod.
pub(crate) struct Etcdctl<'a> {
    connection: &'a Connection,
    exec: &'a ExecTarget,
    target: &'a Target,
    /// How long one call may take.
    limit: Duration,
}

/// What a call printed, and what it complained of when its exit code was not 0.
struct Printed {
    stdout: String,
    failure: Option<Failure>,
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
    if *operation == Operation::Status {
        return status_of_all(connection, nodes, limit).await;
    }
    join_all(
        nodes
            .iter()
            .map(|node| run_one(connection, node, operation, limit)),
    )
    .await
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
    let etcdctl = Etcdctl::new(connection, node, limit)?;
    operate::operate(&etcdctl, operation).await
}

/// Each call starts a program on a node, and that is what takes the time. So one call asks all members for their
/// accounts, and each that it did not hear is asked on its own node. The list of members and the alarms, which are the
/// same everywhere, come from the first node that tells them. Members on none of these nodes are asked from there too.
async fn status_of_all(
    connection: &Connection,
    nodes: &[&Node],
    limit: Duration,
) -> Vec<Result<Report, RunError>> {
    let own = async {
        let told = told_by_one(connection, nodes).await;
        let rest = nodes.iter().zip(told).map(|(node, told)| async move {
            match told {
                Some(status) => Ok(Answer::Ok(status)),
                None => questions::own_status(&Etcdctl::new(connection, node, limit)?).await,
            }
        });
        join_all(rest).await
    };
    let lists = async {
        for (number, node) in nodes.iter().enumerate() {
            let Ok(etcdctl) = Etcdctl::new(connection, node, limit) else {
                continue;
            };
            match questions::lists(&etcdctl).await {
                questions::Asked::Told(lists) => return Some((number, lists)),
                questions::Asked::WithoutQuorum => return None,
                questions::Asked::Silent => {}
            }
        }
        None
    };
    let (own, lists) = futures::join!(own, lists);
    let Some((teller, lists)) = lists else {
        let report =
            |own| questions::status_report(own, questions::Shared::not_asked(None), Vec::new());
        return own.into_iter().map(|own| own.map(report)).collect();
    };
    let asked: Vec<&str> = nodes
        .iter()
        .filter_map(|node| node.target())
        .flat_map(|target| target.client_urls.iter().map(String::as_str))
        .collect();
    let mut peers = match Etcdctl::new(connection, nodes[teller], limit) {
        Ok(etcdctl) => questions::peers(&etcdctl, &lists, &asked).await,
        Err(_) => Vec::new(),
    };
    let name = nodes[teller].name.as_str();
    let accounts = own.iter().filter_map(|own| own.as_ref().ok()?.ok());
    let mut shared = Some(lists.with(accounts));
    let mut reports = Vec::new();
    for (number, own) in own.into_iter().enumerate() {
        let (shared, peers) = match shared.take_if(|_| number == teller) {
            Some(shared) => (shared, std::mem::take(&mut peers)),
            None => (questions::Shared::not_asked(Some(name)), Vec::new()),
        };
        reports.push(own.map(|own| questions::status_report(own, shared, peers)));
    }
    reports
}

/// The accounts of these nodes' members as far as one etcdctl, on the last node, hears them at once over the network.
async fn told_by_one(connection: &Connection, nodes: &[&Node]) -> Vec<Option<EndpointStatus>> {
    let nobody = vec![None; nodes.len()];
    let [_, .., teller] = nodes else {
        return nobody;
    };
    let Ok(etcdctl) = Etcdctl::new(connection, teller, TOGETHER_LIMIT) else {
        return nobody;
    };
    let targets: Vec<_> = nodes.iter().map(|node| node.target()).collect();
    let heard = questions::accounts(&etcdctl, &targets);
    tokio::time::timeout(TOGETHER_LIMIT, heard)
        .await
        .unwrap_or(nobody)
}

impl<'a> Etcdctl<'a> {
    fn new(connection: &'a Connection, node: &'a Node, limit: Duration) -> Result<Self, RunError> {
        let target = node
            .target()
            .ok_or_else(|| RunError::new(RunErrorKind::NoEtcd, "no etcd on this node"))?;
        let exec = node.exec.as_ref().ok_or_else(|| {
            RunError::new(
                RunErrorKind::NoEtcd,
                format!("{} has no etcd pod to run etcdctl in", node.name),
            )
        })?;
        Ok(Self {
            connection,
            exec,
            target,
            limit,
        })
    }

    /// Runs etcdctl with these arguments. An exit code that is not 0 is the failure etcdctl names.
    async fn call(&self, arguments: &[&str]) -> Result<Printed, RunError> {
        self.call_within(self.limit, arguments).await
    }

    /// As [`Etcdctl::call`], in no more than this time.
    async fn call_within(&self, limit: Duration, arguments: &[&str]) -> Result<Printed, RunError> {
        let url = self.target.client_urls.first();
        self.call_at(url.map_or("", String::as_str), limit, arguments)
            .await
    }

    /// As [`Etcdctl::call`], of the member that listens there.
    async fn call_at(
        &self,
        url: &str,
        limit: Duration,
        arguments: &[&str],
    ) -> Result<Printed, RunError> {
        let command = self.command(url, limit, arguments);
        let open = ExecStream::open(
            &self.connection.stream,
            "kube-system",
            &self.exec.pod,
            &self.exec.container,
            &command,
            false,
        );
        let node = &self.target.node;
        let mut stream = match tokio::time::timeout(START_LIMIT, open).await {
            Ok(opened) => opened.map_err(|error| exec_error(node, &error))?,
            Err(_) => {
                return Err(RunError::new(
                    RunErrorKind::NodeDown,
                    format!(
                        "the kubelet of {node} does not answer: the node is off, frozen or cut off"
                    ),
                ));
            }
        };
        match tokio::time::timeout(limit, stream.collect()).await {
            Err(_) => Err(RunError::new(
                RunErrorKind::TimedOut,
                format!(
                    "etcdctl in {} gave no answer within {} s",
                    self.exec.pod,
                    limit.as_secs()
                ),
            )),
            Ok(Err(error)) => Err(RunError::new(
                RunErrorKind::Lost,
                format!("exec in {}: {error}", self.exec.pod),
            )),
            Ok(Ok(output)) => match output.ending {
                Ending::Success => Ok(Printed {
                    stdout: output.stdout,
                    failure: None,
                }),
                Ending::ExitCode(code) => Ok(Printed {
                    stdout: output.stdout,
                    failure: Some(etcdctl::failure(&output.stderr, code)),
                }),
                Ending::Failure(message) => Err(exec_failure(node, &message)),
            },
        }
    }

    fn command(&self, url: &str, limit: Duration, arguments: &[&str]) -> Vec<String> {
        let seconds = limit.as_secs().max(2);
        let mut command = vec![
            "etcdctl".to_owned(),
            format!("--endpoints={url}"),
            "--dial-timeout=2s".to_owned(),
            // Below our own limit, so that etcdctl says itself what it waited for.
            format!("--command-timeout={}s", seconds.saturating_sub(1).max(1)),
        ];
        if let Some(tls) = &self.exec.tls {
            command.push(format!("--cacert={}", tls.ca));
            command.push(format!("--cert={}", tls.cert));
            command.push(format!("--key={}", tls.key));
        }
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        command
    }
}

/// What opening an exec failed with.
fn exec_error(node: &str, error: &kube::Error) -> RunError {
    if let kube::Error::Api(status) = error {
        if status.code == 403 {
            return super::trouble::api_error("running etcdctl in the etcd pod", error);
        }
        return exec_failure(node, &status.message);
    }
    super::trouble::api_error("running etcdctl in the etcd pod", error)
}

/// What the apiserver or the kubelet says about an exec that did not take place.
fn exec_failure(node: &str, message: &str) -> RunError {
    let kind = if message.contains("container not found")
        || message.contains("not running")
        || message.contains("not found")
    {
        RunErrorKind::EtcdNotRunning
    } else if message.contains("dial tcp") || message.contains("error dialing backend") {
        RunErrorKind::NodeDown
    } else {
        RunErrorKind::Other
    };
    RunError::new(kind, format!("running etcdctl on {node}: {message}"))
}

impl From<RunError> for Failure {
    /// One call of several failed on the way: a part of the report is missing.
    fn from(error: RunError) -> Self {
        let kind = match error.kind {
            RunErrorKind::OperationFailed(kind) => kind,
            RunErrorKind::NodeDown | RunErrorKind::TimedOut | RunErrorKind::EtcdNotRunning => {
                FailureKind::Unreachable
            }
            _ => FailureKind::Other,
        };
        let failure = Failure::new(kind, error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
