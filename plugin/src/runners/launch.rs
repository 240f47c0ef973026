//! One operation on one node by a Job or a bare Pod: create, wait for its kubelet, read the report.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_operations::operation::Assignment;
use etcd_operations::report::{Member, Report, StatusReport};
use etcd_operations::target::Target;
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
use super::trouble::{Ending, Stage, api_error, electing, ending, refused, stage};
use super::watching::Seen;
use crate::connection::Connection;
use crate::created::{Created, Object};
use crate::outcome::{RunError, RunErrorKind};

/// How long the request to create may take. An apiserver that has lost its etcd keeps it for longer.
const CREATE_LIMIT: Duration = Duration::from_secs(5);
/// After which it is sent again.
const CREATE_TRY_LIMIT: Duration = Duration::from_secs(2);
/// How long after a Job its Pod may come before a bare Pod is tried. A controller-manager needs 0.1 s.
const POD_LIMIT: Duration = Duration::from_millis(2500);
/// The same where nothing else is tried, so that only giving up would be faster.
const POD_LIMIT_ALONE: Duration = Duration::from_secs(15);
/// How long a kubelet may take to say its first word about a pod bound to its node.
const HEARD_LIMIT: Duration = Duration::from_secs(6);
/// How long it may take once another node has even reported: kubelets need about the same.
const HEARD_AFTER_OTHERS: Duration = Duration::from_millis(3500);
/// How long it may take when the node's etcd answers the others, so that the node is on and only its kubelet is slow; and
/// while none of those that have taken their pods gets as far as a report, so that everything is.
const HEARD_WHEN_ALIVE: Duration = Duration::from_secs(12);
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

/// What else is known of the nodes while a kubelet is silent: is it merely slow?
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// When a kubelet has last taken a pod of ours.
    taken: Mutex<Option<Instant>>,
    /// When a job of ours has last reported.
    reported: Mutex<Option<Instant>>,
    /// The peer URLs of members that have answered another node's job: their nodes are on.
    alive: Mutex<BTreeSet<String>>,
}

impl Heard {
    fn taken(&self) {
        *held(&self.taken) = Some(Instant::now());
    }

    /// Remembers that a job has reported, and which members have answered it.
    fn reported(&self, report: &Report) {
        if let Report::Status(report) = report {
            self.peers(report);
        }
        *held(&self.reported) = Some(Instant::now());
    }

    /// Whether a job begun together with this one has even reported, so that this one is overdue.
    fn overdue(&self, begun: Instant, pod_seen: Instant) -> bool {
        is_since(&self.reported, begun) && pod_seen.elapsed() >= HEARD_AFTER_OTHERS
    }

    /// Whether others begun together with this one were taken, but got no further: then this one may merely be slow too.
    fn all_are_slow(&self, begun: Instant) -> bool {
        is_since(&self.taken, begun) && !is_since(&self.reported, begun)
    }

    fn peers(&self, report: &StatusReport) {
        let members = report.members.ok().map_or(&[][..], |list| &list.members);
        let answered = |member: &&Member| {
            let mut peers = report.peers.iter();
            peers.any(|peer| peer.member_id == member.id && peer.answer.ok().is_some())
        };
        let urls = members.iter().filter(answered).flat_map(|m| &m.peer_urls);
        held(&self.alive).extend(urls.cloned());
    }

    fn etcd_answers(&self, target: &Target) -> bool {
        let alive = held(&self.alive);
        target.peer_urls.iter().any(|url| alive.contains(url))
    }
}

fn held<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_since(last: &Mutex<Option<Instant>>, since: Instant) -> bool {
    held(last).is_some_and(|last| last >= since)
}

/// Everything one launch needs.
pub(crate) struct Launch<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) created: &'a Created,
    pub(crate) program: &'a Program,
    pub(crate) run: &'a Run,
    pub(crate) heard: &'a Heard,
    pub(crate) kind: Kind,
    /// Whether a bare Pod may be tried where the Job gets none.
    pub(crate) replaceable: bool,
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
            .wait_for_start(&assignment.target, &object, &mut seen)
            .await
        {
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
                // A request on its way while the leader was lost is never answered; the next one is.
                let Ok(ended) = timeout(CREATE_TRY_LIMIT, create()).await else {
                    tries += 1;
                    continue;
                };
                match ended {
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
        target: &Target,
        object: &Object,
        seen: &mut watch::Receiver<Seen>,
    ) -> Result<String, (RunError, Option<String>)> {
        let node = &target.node;
        let begun = Instant::now();
        let mut deadline = begun
            + if self.kind == Kind::Job {
                self.pod_limit()
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
                            self.heard.taken();
                            return name.ok_or_else(|| (lost(node), None));
                        }
                        Stage::Trouble(error) => return Err((error.clone(), name)),
                        Stage::Unheard if first => {
                            first_seen = Some(Instant::now());
                            deadline = Instant::now() + HEARD_LIMIT;
                        }
                        Stage::Starting if last != Stage::Starting => {
                            self.heard.taken();
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
                    let unheard = first_seen.filter(|_| last == Stage::Unheard);
                    let silent = match unheard {
                        Some(since)
                            if self.heard.etcd_answers(target)
                                || self.heard.all_are_slow(begun) =>
                        {
                            deadline = since + HEARD_WHEN_ALIVE;
                            false
                        }
                        Some(since) => self.heard.overdue(begun, since),
                        None => false,
                    };
                    if silent || Instant::now() >= deadline {
                        let pod = name.as_deref();
                        let error = self.not_started(target, &last, pod, object).await;
                        return Err((error, name));
                    }
                }
            }
        }
    }

    fn pod_limit(&self) -> Duration {
        match self.replaceable {
            true => POD_LIMIT,
            false => POD_LIMIT_ALONE,
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
        target: &Target,
        last: &Stage,
        pod: Option<&str>,
        object: &Object,
    ) -> RunError {
        let node = &target.node;
        match (last, pod) {
            (_, None) => self.without_pod(object).await,
            (Stage::Unheard, Some(_)) if self.heard.etcd_answers(target) => RunError::new(
                RunErrorKind::KubeletSilent,
                format!(
                    "the kubelet of {node} does not take the pod within {} s, though etcd there answers: kubelet is stopped or very slow",
                    HEARD_WHEN_ALIVE.as_secs()
                ),
            ),
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
                "no Pod appeared for the Job within {} s: no controller-manager is at work, or it is very slow",
                self.pod_limit().as_secs_f32()
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
        match timeout(self.limit, self.to_the_end(started, progress)).await {
            Ok(ended) => ended.inspect(|report| self.heard.reported(report)),
            Err(_) => Err(RunError::new(
                RunErrorKind::TimedOut,
                format!("no report within {} s", self.limit.as_secs()),
            )
            .hint("give it longer with --timeout")),
        }
    }

    async fn to_the_end(
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
        let ended = timeout(LAST_STATE_LIMIT, async {
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
