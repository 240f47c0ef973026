//! From what was created to the start of its container: waiting for a Pod, then for its node's kubelet.

use std::time::Duration;

use etcd_operations::target::Target;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, Error as KubeError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Kind, Launch, lost};
use crate::created::Object;
use crate::limits;
use crate::outcome::{RunError, RunErrorKind};
use crate::runners::podspec::CONTAINER;
use crate::runners::program::Program;
use crate::runners::trouble::{Stage, refused, stage};
use crate::runners::watching::Seen;

/// What is waited for, and how far it is.
pub(super) struct Waiting<'a> {
    launch: &'a Launch<'a>,
    target: &'a Target,
    object: &'a Object,
    begun: Instant,
    deadline: Instant,
    /// When it is next looked at what the API does not tell by itself.
    next_look: Instant,
    /// When it is next looked why there is no Pod.
    next_why: Instant,
    /// The Pod's name, and since when it is there.
    pod: Option<(String, Instant)>,
    stage: Stage,
    /// Ends when the kubelet has answered.
    asked: JoinSet<()>,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(launch: &'a Launch<'a>, target: &'a Target, object: &'a Object) -> Self {
        let begun = Instant::now();
        let limit = match (launch.kind, launch.replaceable) {
            (Kind::Job, true) => limits::POD_APPEARS,
            (Kind::Job, false) => limits::POD_APPEARS_ALONE,
            (Kind::Pod, _) => limits::KUBELET,
        };
        Self {
            launch,
            target,
            object,
            begun,
            deadline: begun + limit,
            next_look: begun + limits::LOOK,
            next_why: begun + limits::POD_APPEARS,
            pod: None,
            stage: Stage::Unheard,
            asked: JoinSet::new(),
        }
    }

    /// The pod's name as soon as its container runs or has run; else the error and the pod's name, if there is a pod.
    pub(super) async fn until_started(
        mut self,
        seen: &mut watch::Receiver<Seen>,
    ) -> Result<String, (RunError, Option<String>)> {
        loop {
            let now = seen.borrow_and_update().clone();
            let step = match now {
                Seen::Nothing => Ok(()),
                Seen::Refused(error) => Err(error),
                Seen::Gone => Err(RunError::new(
                    RunErrorKind::Lost,
                    format!("the job's pod on {} was deleted by somebody", self.node()),
                )),
                Seen::Pod(pod) => self.see(&pod),
            };
            if let Err(error) = step {
                return Err((error, self.pod_name()));
            }
            if self.stage == Stage::Started {
                return self.pod_name().ok_or_else(|| (lost(self.node()), None));
            }
            if let Ok(Err(_)) = timeout_at(self.next_look, seen.changed()).await {
                return Err((lost(self.node()), self.pod_name()));
            }
            if Instant::now() >= self.next_look
                && let Some(error) = self.look().await
            {
                return Err((error, self.pod_name()));
            }
        }
    }

    fn pod_name(&self) -> Option<String> {
        self.pod.as_ref().map(|(name, _)| name.clone())
    }

    fn node(&self) -> &str {
        &self.target.node
    }

    /// Takes in what the API says of the Pod.
    fn see(&mut self, pod: &Pod) -> Result<(), RunError> {
        if let (None, Some(name)) = (&self.pod, &pod.metadata.name) {
            self.pod = Some((name.clone(), Instant::now()));
            self.deadline = Instant::now() + limits::KUBELET;
        }
        let stage = stage(pod);
        tracing::debug!(node = self.node(), ?stage, "pod seen");
        match stage {
            Stage::Trouble(error) => return Err(error),
            Stage::Started => {
                self.launch.heard.taken();
                self.stage = Stage::Started;
            }
            Stage::Starting => self.taken(),
            Stage::Unheard => {}
        }
        Ok(())
    }

    /// The kubelet has spoken: from now on the container may take its time.
    fn taken(&mut self) {
        if self.stage == Stage::Unheard {
            self.launch.heard.taken();
            self.stage = Stage::Starting;
            self.deadline = Instant::now() + self.start_limit();
        }
    }

    fn start_limit(&self) -> Duration {
        match self.launch.program {
            Program::Image { .. } => limits::IMAGE_PULLED,
            Program::Carried(_) => limits::CONTAINER_STARTS,
        }
    }

    /// Looks at what the API does not tell by itself; the error when it is no use to wait longer.
    async fn look(&mut self) -> Option<RunError> {
        self.next_look = Instant::now() + limits::LOOK;
        let Some((pod, since)) = self.pod.clone() else {
            return self.look_for_pod().await;
        };
        let overdue = self.stage == Stage::Unheard && self.look_for_kubelet(&pod, since);
        if overdue || Instant::now() >= self.deadline {
            return Some(self.not_started(&pod).await);
        }
        None
    }

    /// Why there is no Pod, as soon as it is refused or its time has passed.
    async fn look_for_pod(&mut self) -> Option<RunError> {
        let passed = Instant::now() >= self.deadline;
        if !passed && Instant::now() < self.next_why {
            return None;
        }
        self.next_why = Instant::now() + limits::POD_APPEARS;
        let refusal = self.refusal(passed).await;
        refusal.or_else(|| passed.then(|| self.without_pod()))
    }

    /// Whether a kubelet is so late that it will not come any more.
    fn look_for_kubelet(&mut self, pod: &str, since: Instant) -> bool {
        if self.asked.try_join_next().is_some() {
            self.taken();
            return false;
        }
        if self.asked.is_empty() && since.elapsed() >= limits::KUBELET_ASKED_AFTER {
            let connection = self.launch.connection;
            let pods = Api::namespaced(connection.control.clone(), &connection.namespace);
            self.asked.spawn(kubelet_has(pods, pod.to_owned()));
        }
        let heard = self.launch.heard;
        if heard.etcd_answers(self.target) || heard.all_are_slow(self.begun) {
            self.deadline = since + limits::KUBELET_ALIVE;
            return false;
        }
        heard.overdue(self.begun, since)
    }

    /// Why the kubelet, or the container, did not come in time.
    async fn not_started(&self, pod: &str) -> RunError {
        let node = self.node();
        if self.stage != Stage::Unheard {
            let why = self.warning(pod).await;
            let why = why
                .map(|message| format!(": {message}"))
                .unwrap_or_default();
            return RunError::new(
                RunErrorKind::PodNotStarted,
                format!("the pod on {node} does not start{why}"),
            );
        }
        if self.launch.heard.etcd_answers(self.target) {
            return RunError::new(
                RunErrorKind::KubeletSilent,
                format!(
                    "the kubelet of {node} has not accepted the pod within {} s, though etcd there answers: kubelet is stopped or very slow",
                    limits::KUBELET_ALIVE.as_secs()
                ),
            );
        }
        RunError::new(
            RunErrorKind::NodeDown,
            format!(
                "the kubelet of {node} has not accepted the pod: the node is off or cut off, or its kubelet reaches no apiserver"
            ),
        )
    }

    /// Nobody has made a Pod, and nobody has said why.
    fn without_pod(&self) -> RunError {
        if self.launch.kind == Kind::Pod {
            return lost(self.node());
        }
        RunError::new(
            RunErrorKind::NoController,
            format!(
                "no Pod appeared for the Job within {} s: no controller-manager is at work, or it is very slow",
                self.begun.elapsed().as_secs()
            ),
        )
    }

    /// What refuses the Job its Pod, which only an Event tells. What may pass, such as an election, is tried again by the
    /// controller, and is a reason only once the time has `passed`.
    async fn refusal(&self, passed: bool) -> Option<RunError> {
        let Object::Job(name) = self.object else {
            return None;
        };
        let message = self.warning(name).await?;
        if !passed && !is_lasting(&message) {
            return None;
        }
        Some(refused(
            "creating the Pod",
            message.trim_start_matches("Error creating: "),
        ))
    }

    /// The last complaint about an object of ours; none when there is none, or Events may not be read.
    async fn warning(&self, name: &str) -> Option<String> {
        let connection = self.launch.connection;
        let events = Api::<Event>::namespaced(connection.control.clone(), &connection.namespace);
        let params =
            ListParams::default().fields(&format!("involvedObject.name={name},type=Warning"));
        let list = timeout(limits::LAST_STATE, events.list(&params))
            .await
            .ok()?
            .ok()?;
        list.items
            .into_iter()
            .next_back()
            .and_then(|event| event.message)
    }
}

/// Whether a complaint is a decision of admission: by Pod Security, a quota, a webhook.
fn is_lasting(complaint: &str) -> bool {
    complaint.contains(" is forbidden: ") || complaint.contains(" denied the request")
}

/// Returns once the node's kubelet says that it has the pod. The apiserver hands a request for a log on to the kubelet,
/// which a busy one answers long before it tells the API of a new pod: with the log, or with 400 ("is waiting to start").
/// Everything else may be the words of the apiserver, or of a kubelet that does not know the pod yet. That it answers is
/// enough: the log is not read, since a kubelet that lies may send one without an end.
async fn kubelet_has(pods: Api<Pod>, pod: String) {
    let params = LogParams {
        container: Some(CONTAINER.into()),
        tail_lines: Some(1),
        ..LogParams::default()
    };
    loop {
        match timeout(limits::KUBELET_ANSWER, pods.log_stream(&pod, &params)).await {
            Ok(Ok(_)) => return,
            Ok(Err(KubeError::Api(status))) if status.code == 400 => return,
            Ok(Err(error)) => {
                tracing::debug!(%error, pod, "its kubelet does not say that it has it");
            }
            Err(_) => tracing::debug!(pod, "nobody says whether its kubelet has it"),
        }
        sleep(limits::KUBELET_ASKED_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::is_lasting;

    #[test]
    fn what_the_controller_tries_again_is_no_refusal() {
        for lasting in [
            "Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"",
            "Error creating: pods \"x\" is forbidden: exceeded quota: small",
            "Error creating: admission webhook \"policy.example.com\" denied the request: no",
        ] {
            assert!(is_lasting(lasting), "{lasting}");
        }
        for passing in [
            "Error creating: etcdserver: request timed out",
            "Error creating: Timeout: request did not complete within requested timeout - context deadline exceeded",
        ] {
            assert!(!is_lasting(passing), "{passing}");
        }
    }
}
