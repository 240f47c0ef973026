//! One operation on one node by a Job or a bare Pod: create, wait for its kubelet, read the report.

mod kubelet_liveness;
mod waiting;

use backon::{ConstantBuilder, Retryable};
use etcd_operations::operation::Assignment;
use etcd_operations::report::Report;
use etcd_operations::wire::Progress;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) use kubelet_liveness::Heard;
use waiting::Waiting;

use super::output::{self, NoReport};
use super::podspec::{self, Run};
use super::program::Program;
use super::trouble::{Ending, api_error, electing, ending};
use super::watching::Seen;
use super::{Task, within};
use crate::connection::Connection;
use crate::created::{Created, Object};
use crate::limits;
use crate::outcome::{RunError, RunErrorKind};

/// Job or Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Job,
    Pod,
}

/// Everything one launch needs.
pub(crate) struct Launch<'a> {
    pub connection: &'a Connection,
    pub created: &'a Created,
    pub program: &'a Program,
    pub run: &'a Run,
    pub heard: &'a Heard,
    pub kind: Kind,
    /// Whether a bare Pod may be tried where the Job gets none.
    pub(crate) replaceable: bool,
}

/// An operation whose container has started.
struct Started {
    object: Object,
    pod: String,
    seen: watch::Receiver<Seen>,
}

impl Launch<'_> {
    /// Runs the assignment to its report, and has the file fetched that it holds. The time of the task begins with its
    /// container. What was created is removed again.
    pub(crate) async fn to_report(
        &self,
        assignment: &Assignment,
        seen: watch::Receiver<Seen>,
        task: Task<'_>,
    ) -> Result<Report, RunError> {
        let started = self.start(assignment, seen).await?;
        let mut progress = |progress| (task.progress)(&assignment.target.node, progress);
        let work = async {
            let report = self.report(&started, &mut progress);
            match task.receiver {
                None => report.await,
                Some(receiver) => {
                    let file = receiver.receive(&started.pod);
                    let (report, ()) = futures::try_join!(report, file)?;
                    Ok(report)
                }
            }
        };
        let ended = within(task.limit, work).await;
        match &ended {
            // Beside what comes next.
            Ok(report) => {
                self.heard.reported(report);
                self.created.remove_soon(started.object);
            }
            Err(_) => self.created.remove(&started.object).await,
        }
        ended
    }

    /// Runs the assignment until its container has started. On an error everything is removed again.
    async fn start(
        &self,
        assignment: &Assignment,
        mut seen: watch::Receiver<Seen>,
    ) -> Result<Started, RunError> {
        let object = self.create(assignment).await?;
        let waiting = Waiting::new(self, &assignment.target, &object);
        match waiting.until_started(&mut seen).await {
            Ok(pod) => Ok(Started { object, pod, seen }),
            Err((error, pod)) => {
                self.created.remove(&object).await;
                let silent = matches!(
                    error.kind,
                    RunErrorKind::NodeDown | RunErrorKind::KubeletSilent
                );
                if let Some(pod) = pod.filter(|_| silent) {
                    // Its kubelet will not confirm the deletion, and the pod would stay for as long as the node is off.
                    self.created.remove(&Object::Pod(pod)).await;
                }
                Err(error)
            }
        }
    }

    /// One try to create it.
    async fn post(&self, assignment: &Assignment) -> kube::Result<()> {
        let client = self.connection.stream.clone();
        let namespace = &self.connection.namespace;
        let params = PostParams::default();
        match self.kind {
            Kind::Job => {
                let job = podspec::job(self.run, assignment, self.program);
                let jobs = Api::<Job>::namespaced(client, namespace);
                jobs.create(&params, &job).await.map(drop)
            }
            Kind::Pod => {
                let pod = podspec::pod(self.run, assignment, self.program);
                let pods = Api::<Pod>::namespaced(client, namespace);
                pods.create(&params, &pod).await.map(drop)
            }
        }
    }

    async fn create(&self, assignment: &Assignment) -> Result<Object, RunError> {
        let name = podspec::name(self.run, &assignment.operation, &assignment.target.node);
        let (object, doing) = match self.kind {
            Kind::Job => (Object::Job(name), "creating the Job"),
            Kind::Pod => (Object::Pod(name), "creating the Pod"),
        };
        self.created.add(object.clone());
        let mut tried = false;
        let request = || {
            let again = std::mem::replace(&mut tried, true);
            async move {
                match timeout(limits::CREATE_TRY, self.post(assignment)).await {
                    // A request on its way while the leader was lost is never answered; the next one is.
                    Err(_) => Err(None),
                    // The names are ours: a try whose answer was lost has done it.
                    Ok(Err(kube::Error::Api(status))) if again && status.is_already_exists() => {
                        Ok(())
                    }
                    Ok(ended) => ended.map_err(Some),
                }
            }
        };
        let pauses = ConstantBuilder::new()
            .with_delay(limits::CREATE_PAUSE)
            .with_max_times(limits::CREATE_TRIES - 1);
        let request = request
            .retry(pauses)
            .when(|error| error.as_ref().is_none_or(electing));
        match timeout(limits::CREATE, request).await {
            Ok(Ok(())) => {
                tracing::debug!(?object, "created");
                Ok(object)
            }
            Ok(Err(Some(error))) => {
                if matches!(&error, kube::Error::Api(status) if status.code < 500) {
                    // Refused for certain: there is nothing to remove.
                    self.created.forget(&object);
                } else {
                    self.created.remove(&object).await;
                }
                Err(api_error(doing, error))
            }
            Ok(Err(None)) | Err(_) => Err(RunError::new(
                RunErrorKind::EtcdLost,
                format!("{doing}: the apiserver takes the request and does not answer it"),
            )),
        }
    }

    /// Follows a started operation to its report.
    async fn report(
        &self,
        started: &Started,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Report, RunError> {
        let pods = Api::namespaced(self.connection.stream.clone(), &self.connection.namespace);
        loop {
            let NoReport { last_output } =
                match output::report(&pods, &started.pod, progress).await? {
                    Ok(report) => return Ok(report),
                    Err(no_report) => no_report,
                };
            match started.ending().await {
                // The log of a container that is just starting, or just removed, ends with the kubelet's excuse.
                None => tracing::debug!(?last_output, "the log ended before its program"),
                Some(ending) => {
                    // The program leaves its last line where kubelet keeps it.
                    let left = ending.message.as_deref().and_then(output::last_line);
                    return left.unwrap_or_else(|| Err(without_report(&ending, last_output)));
                }
            }
        }
    }
}

impl Started {
    /// How the container ended; none when it has not.
    async fn ending(&self) -> Option<Ending> {
        let mut seen = self.seen.clone();
        let ended = timeout(limits::LAST_STATE, async {
            loop {
                match &*seen.borrow_and_update() {
                    Seen::Pod(pod) => {
                        if let Some(ending) = ending(pod) {
                            return ending;
                        }
                    }
                    Seen::Gone | Seen::Refused(_) => return Ending::unknown(),
                    Seen::Nothing => {}
                }
                if seen.changed().await.is_err() {
                    return Ending::unknown();
                }
            }
        });
        ended.await.ok()
    }
}

fn without_report(ending: &Ending, last_output: Option<String>) -> RunError {
    let how = ending.to_string();
    // FallbackToLogsOnError repeats the output in the termination message.
    let output = last_output
        .filter(|output| !how.contains(output.as_str()))
        .map(|output| format!(": {output}"))
        .unwrap_or_default();
    RunError::new(
        RunErrorKind::Lost,
        format!("the job's program ended without a report ({how}){output}"),
    )
}

fn lost(node: &str) -> RunError {
    RunError::new(
        RunErrorKind::Lost,
        format!("the job's pod on {node} was lost sight of"),
    )
}

#[cfg(test)]
#[path = "launch/tests.rs"]
mod tests;
