//! One operation on one node by a Job or a bare Pod: create, wait for its kubelet, read the report.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_operations::operation::Assignment;
use etcd_operations::report::Report;
use etcd_operations::wire::Progress;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::output::{self, NoReport};
use super::podspec::{self, Run};
use super::program::Program;
use super::trouble::{Stage, api_error, electing, ending, refused, stage};
use super::watching::Seen;
use crate::connection::Connection;
use crate::created::{Created, Object};
use crate::outcome::{RunError, RunErrorKind};

/// How long the request to create may take. An apiserver that has lost its etcd keeps it for longer.
const CREATE_LIMIT: Duration = Duration::from_secs(5);
/// How long after a Job its Pod may come. A controller-manager needs 0.1 s.
const POD_LIMIT: Duration = Duration::from_millis(2500);
/// How long a kubelet may take to say its first word about a pod bound to its node.
const HEARD_LIMIT: Duration = Duration::from_secs(6);
/// How long it may take once another kubelet has spoken: they need about the same.
const HEARD_AFTER_OTHERS: Duration = Duration::from_millis(3500);
/// How often is looked whether others have spoken.
const LOOK: Duration = Duration::from_millis(250);
/// While etcd elects a leader requests fail: how often they are tried again, and after which pause.
const CREATE_TRIES: u32 = 4;
const CREATE_PAUSE: Duration = Duration::from_millis(400);
/// How long from then until the container runs; an image may have to be pulled.
const START_LIMIT: Duration = Duration::from_secs(20);
const PULL_LIMIT: Duration = Duration::from_secs(180);
/// A deleted pod, or an ended one, may still be told about in order: how long to wait for its last state.
const LAST_STATE_LIMIT: Duration = Duration::from_secs(2);

/// Job or Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Job,
    Pod,
}

/// When a kubelet has last taken a pod of ours: whoever is silent for long after that is not merely slow.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<Instant>>);

impl Heard {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether another one has spoken since, and so long ago that this one is overdue.
    fn overdue(&self, since: Instant) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last >= since) && since.elapsed() >= HEARD_AFTER_OTHERS
    }
}

/// Everything one launch needs.
pub(crate) struct Launch<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) created: &'a Created,
    pub(crate) program: &'a Program,
    pub(crate) run: &'a Run,
    pub(crate) heard: &'a Heard,
    pub(crate) kind: Kind,
    /// How long the operation itself may take, from the start of its container.
    pub(crate) limit: Duration,
}

/// An operation that has reported. Its pod may still be there, with what it holds; the object is removed with
/// [`Created::remove`].
pub(crate) struct Launched {
    pub(crate) report: Report,
    pub(crate) object: Object,
}

/// An operation whose container has started.
pub(crate) struct Started {
    pub(crate) object: Object,
    pub(crate) pod: String,
    seen: watch::Receiver<Seen>,
}

#[cfg(test)]
impl Started {
    /// For tests of what happens after the start.
    pub(crate) fn for_test(pod: &str) -> Self {
        let (_, seen) = watch::channel(Seen::Nothing);
        Self {
            object: Object::Job("job".into()),
            pod: pod.to_owned(),
            seen,
        }
    }
}

impl Launch<'_> {
    /// Runs the assignment to its report. On an error everything that was created is removed again.
    pub(crate) async fn to_report(
        &self,
        assignment: &Assignment,
        seen: watch::Receiver<Seen>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Launched, RunError> {
        let started = self.start(assignment, seen).await?;
        match self.report(&started, progress).await {
            Ok(report) => Ok(Launched {
                report,
                object: started.object,
            }),
            Err(error) => {
                self.created.remove(&started.object).await;
                Err(error)
            }
        }
    }

    /// Runs the assignment until its container has started. On an error everything is removed again.
    pub(crate) async fn start(
        &self,
        assignment: &Assignment,
        mut seen: watch::Receiver<Seen>,
    ) -> Result<Started, RunError> {
        let object = self.create(assignment).await?;
        match self
            .wait_for_start(&assignment.target.node, &object, &mut seen)
            .await
        {
            Ok(pod) => Ok(Started { object, pod, seen }),
            Err((error, pod)) => {
                self.created.remove(&object).await;
                if let Some(pod) = pod.filter(|_| error.kind == RunErrorKind::NodeDown) {
                    // Its kubelet will not confirm the deletion, and the pod would stay for as long as the node is off.
                    self.created.remove(&Object::Pod(pod)).await;
                }
                Err(error)
            }
        }
    }

    async fn create(&self, assignment: &Assignment) -> Result<Object, RunError> {
        let name = podspec::name(self.run, &assignment.operation, &assignment.target.node);
        let client = self.connection.stream.clone();
        let namespace = &self.connection.namespace;
        let params = PostParams::default();
        let (object, doing) = match self.kind {
            Kind::Job => (Object::Job(name), "creating the Job"),
            Kind::Pod => (Object::Pod(name), "creating the Pod"),
        };
        self.created.add(object.clone());
        let create = || async {
            match self.kind {
                Kind::Job => {
                    let job = podspec::job(self.run, assignment, self.program);
                    Api::<Job>::namespaced(client.clone(), namespace)
                        .create(&params, &job)
                        .await
                        .map(drop)
                }
                Kind::Pod => {
                    let pod = podspec::pod(self.run, assignment, self.program);
                    Api::<Pod>::namespaced(client.clone(), namespace)
                        .create(&params, &pod)
                        .await
                        .map(drop)
                }
            }
        };
        let request = async {
            let mut tries = 1;
            loop {
                match create().await {
                    // The names are ours: a try whose answer was lost has done it.
                    Err(kube::Error::Api(status)) if tries > 1 && status.is_already_exists() => {
                        return Ok(());
                    }
                    Err(error) if tries < CREATE_TRIES && electing(&error) => {
                        tries += 1;
                        sleep(CREATE_PAUSE).await;
                    }
                    ended => return ended,
                }
            }
        };
        match timeout(CREATE_LIMIT, request).await {
            Ok(Ok(())) => {
                tracing::debug!(?object, "created");
                Ok(object)
            }
            Ok(Err(error)) => {
                if matches!(&error, kube::Error::Api(status) if status.code < 500) {
                    // Refused for certain: there is nothing to remove.
                    self.created.forget(&object);
                } else {
                    self.created.remove(&object).await;
                }
                Err(api_error(doing, &error))
            }
            Err(_) => Err(RunError::new(
                RunErrorKind::ApiserverLost,
                format!("{doing}: the apiserver takes the request and does not answer it"),
            )),
        }
    }

    /// The pod's name as soon as its container runs or has run; else the error and the pod's name, if there is a pod.
    async fn wait_for_start(
        &self,
        node: &str,
        object: &Object,
        seen: &mut watch::Receiver<Seen>,
    ) -> Result<String, (RunError, Option<String>)> {
        let mut deadline = Instant::now()
            + if self.kind == Kind::Job {
                POD_LIMIT
            } else {
                HEARD_LIMIT
            };
        let mut last = Stage::Unheard;
        let mut name = None;
        let mut first_seen = None;
        loop {
            let now = seen.borrow_and_update().clone();
            match now {
                Seen::Nothing => {}
                Seen::Refused(error) => return Err((error, name)),
                Seen::Gone => {
                    let error = RunError::new(
                        RunErrorKind::Lost,
                        format!("the job's pod on {node} was deleted by somebody"),
                    );
                    return Err((error, name));
                }
                Seen::Pod(pod) => {
                    let first = name.is_none();
                    name = pod.metadata.name.clone();
                    let stage = stage(&pod);
                    tracing::debug!(node, ?stage, "pod seen");
                    match &stage {
                        Stage::Started => {
                            self.heard.now();
                            return name.ok_or_else(|| (lost(node), None));
                        }
                        Stage::Trouble(error) => return Err((error.clone(), name)),
                        Stage::Unheard if first => {
                            first_seen = Some(Instant::now());
                            deadline = Instant::now() + HEARD_LIMIT;
                        }
                        Stage::Starting if last != Stage::Starting => {
                            self.heard.now();
                            deadline = Instant::now() + self.start_limit();
                        }
                        Stage::Unheard | Stage::Starting => {}
                    }
                    last = stage;
                }
            }
            match timeout_at(deadline.min(Instant::now() + LOOK), seen.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err((lost(node), name)),
                Err(_) => {
                    let silent = last == Stage::Unheard
                        && first_seen.is_some_and(|since| self.heard.overdue(since));
                    if silent || Instant::now() >= deadline {
                        let error = self.not_started(node, &last, name.as_deref(), object).await;
                        return Err((error, name));
                    }
                }
            }
        }
    }

    fn start_limit(&self) -> Duration {
        match self.program {
            Program::Image { .. } => PULL_LIMIT,
            Program::Carried(_) => START_LIMIT,
        }
    }

    /// Why nothing started in time.
    async fn not_started(
        &self,
        node: &str,
        last: &Stage,
        pod: Option<&str>,
        object: &Object,
    ) -> RunError {
        match (last, pod) {
            (_, None) => self.without_pod(object).await,
            (Stage::Unheard, Some(_)) => RunError::new(
                RunErrorKind::NodeDown,
                format!(
                    "the kubelet of {node} does not take the pod: the node is off, frozen or cut off"
                ),
            ),
            (_, Some(pod)) => {
                let why = self
                    .warning(pod)
                    .await
                    .map(|message| format!(": {message}"))
                    .unwrap_or_default();
                RunError::new(
                    RunErrorKind::PodNotStarted,
                    format!("the pod on {node} does not start{why}"),
                )
            }
        }
    }

    /// Why a Job has no Pod: nobody tries to make one, or it is refused, which only an Event tells.
    async fn without_pod(&self, object: &Object) -> RunError {
        if let Object::Job(name) = object
            && let Some(message) = self.warning(name).await
        {
            return refused(
                "creating the Pod",
                message.trim_start_matches("Error creating: "),
            );
        }
        RunError::new(
            RunErrorKind::NoController,
            format!(
                "no Pod appeared for the Job within {} s: no controller-manager is at work",
                POD_LIMIT.as_secs_f32()
            ),
        )
    }

    /// The last complaint about an object of ours; none when there is none, or Events may not be read.
    async fn warning(&self, name: &str) -> Option<String> {
        let events =
            Api::<Event>::namespaced(self.connection.control.clone(), &self.connection.namespace);
        let params =
            ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
        let list = timeout(LAST_STATE_LIMIT, events.list(&params))
            .await
            .ok()?
            .ok()?;
        list.items
            .into_iter()
            .next_back()
            .and_then(|event| event.message)
    }

    /// Follows a started operation to its report. The object stays.
    pub(crate) async fn report(
        &self,
        started: &Started,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Report, RunError> {
        let pods = Api::namespaced(self.connection.stream.clone(), &self.connection.namespace);
        let read = timeout(self.limit, output::report(&pods, &started.pod, progress)).await;
        match read {
            Ok(Ok(Ok(report))) => Ok(report),
            Ok(Ok(Err(no_report))) => Err(self.without_report(started, no_report).await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RunError::new(
                RunErrorKind::TimedOut,
                format!("no report within {} s", self.limit.as_secs()),
            )
            .hint("give it longer with --timeout")),
        }
    }

    async fn without_report(&self, started: &Started, no_report: NoReport) -> RunError {
        let mut seen = started.seen.clone();
        let ended = timeout(LAST_STATE_LIMIT, async {
            loop {
                if let Seen::Pod(pod) = &*seen.borrow_and_update()
                    && let Some(ending) = ending(pod)
                {
                    return Some(ending);
                }
                seen.changed().await.ok()?;
            }
        });
        let how = ended
            .await
            .ok()
            .flatten()
            .unwrap_or_else(|| "it was ended".into());
        let output = no_report
            .last_output
            .map(|text| format!(": {text}"))
            .unwrap_or_default();
        // FallbackToLogsOnError repeats the output in the termination message.
        let output = if how.contains(output.trim_start_matches(": ")) {
            String::new()
        } else {
            output
        };
        RunError::new(
            RunErrorKind::Lost,
            format!("the job's program ended without a report ({how}){output}"),
        )
    }
}

fn lost(node: &str) -> RunError {
    RunError::new(
        RunErrorKind::Lost,
        format!("the job's pod on {node} was lost sight of"),
    )
}
