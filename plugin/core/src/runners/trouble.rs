//! What keeps a pod from running, told from the API's words: the reasons people meet, by name.

use etcd_operations::advice;
use etcd_operations::advice::{Choice, Task};
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod,
};
use kube::Error as KubeError;

use crate::connection::chain;
use crate::outcome::{RunError, RunErrorKind};
use crate::rights;

/// How far a pod is.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// It is bound to its node, and the node's kubelet has not said a word about it.
    Unheard,
    /// The kubelet has taken it, the container does not run yet.
    Starting,
    /// The container runs, or has run: there is or was output.
    Started,
    /// It will not run.
    Trouble(RunError),
}

/// How far this pod is.
pub fn stage(pod: &Pod) -> Stage {
    let Some(status) = &pod.status else {
        return Stage::Unheard;
    };
    let container = status.container_statuses.iter().flatten().next();
    if let Some(state) = container.and_then(|container| container.state.as_ref()) {
        if state.running.is_some() || state.terminated.is_some() {
            return Stage::Started;
        }
        if let Some(trouble) = state
            .waiting
            .as_ref()
            .and_then(|waiting| waiting_trouble(pod, waiting))
        {
            return Stage::Trouble(trouble);
        }
    }
    match status.phase.as_deref() {
        Some("Failed") => Stage::Trouble(RunError::new(
            RunErrorKind::PodNotStarted,
            format!(
                "the node refused the pod: {}",
                [&status.reason, &status.message]
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(": ")
            ),
        )),
        Some("Succeeded") => Stage::Started,
        // kubelet sets the start time with the first thing it says of a pod.
        _ if status.start_time.is_some() => Stage::Starting,
        _ => Stage::Unheard,
    }
}

fn waiting_trouble(pod: &Pod, waiting: &ContainerStateWaiting) -> Option<RunError> {
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let image = spec
        .and_then(|spec| spec.containers.first()?.image.as_deref())
        .unwrap_or("?");
    let node = spec
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or("?");
    match reason {
        "ErrImageNeverPull" => Some(
            RunError::new(
                RunErrorKind::ImageMissing,
                format!("the image {image} is not on {node}, and the pod does not pull it"),
            )
            .hint(advice![
                "name an image that can be pulled with ",
                Choice::Image,
                ", or go through the etcd pod: ",
                Choice::Via.with("exec")
            ]),
        ),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(
            RunError::new(
                RunErrorKind::ImageMissing,
                format!(
                    "the image {image} is not on {node} and cannot be pulled ({reason}): {message}"
                ),
            )
            .hint(advice![
                "leave ",
                Choice::Image,
                " away: the plugin carries the program itself"
            ]),
        ),
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(RunError::new(
                RunErrorKind::PodNotStarted,
                format!("the container does not start on {node} ({reason}): {message}"),
            ))
        }
        _ => None,
    }
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    how: String,
    /// What the program, or kubelet, left to say about it.
    pub message: Option<String>,
}

impl Ending {
    /// Of a container nobody can be asked about any more.
    pub fn unknown() -> Self {
        Self {
            how: "it was ended".to_owned(),
            message: None,
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.how)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

/// How the container ended; none when it has not.
pub fn ending(pod: &Pod) -> Option<Ending> {
    let status = pod.status.as_ref()?;
    let container: &ContainerStatus = status.container_statuses.as_ref()?.first()?;
    let ended: &ContainerStateTerminated = container.state.as_ref()?.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("ended");
    let message = ended.message.as_deref().map(str::trim);
    Some(Ending {
        how: format!("{reason}, exit code {}", ended.exit_code),
        message: message.filter(|text| !text.is_empty()).map(str::to_owned),
    })
}

/// What an error of the API means to an operation. `doing` is a fragment such as `creating the Job`.
pub fn api_error(doing: &str, error: KubeError) -> RunError {
    meaning(doing, &error).caused_by(error)
}

/// What is said of a kubelet that denies the apiserver what every apiserver may do.
pub(crate) const NOT_ACCEPTED: &str = "the node's kubelet does not accept the apiserver yet";

/// Whether the denial is kubelet's own, not the apiserver's. It asks its own apiserver, and remembers a denial for half a minute:
/// also one that came of it that this apiserver had only just started.
pub(crate) fn is_denied_by_kubelet(message: &str) -> bool {
    message.contains("Forbidden (user=") && message.contains("resource=nodes")
}

fn meaning(doing: &str, error: &KubeError) -> RunError {
    let KubeError::Api(status) = error else {
        return RunError::new(
            RunErrorKind::ApiserverLost,
            format!(
                "{doing}: the apiserver does not answer any more: {}",
                chain(error)
            ),
        )
        .hint(advice![
            "as root on a control-plane node: ",
            Choice::Via.with("local")
        ]);
    };
    let message = &status.message;
    let said = |kind| RunError::new(kind, format!("{doing}: {message}"));
    if let Some(error) = by_words(doing, message) {
        return error;
    }
    let lost = match (message.contains("etcdserver:"), status.code) {
        (true, _) => Some(RunErrorKind::EtcdLost),
        (false, 503 | 504) => Some(RunErrorKind::ApiserverLost),
        (false, _) => None,
    };
    if let Some(kind) = lost {
        return said(kind).hint(advice![
            "as root on a control-plane node: ",
            Choice::Via.with("local")
        ]);
    }
    match status.code {
        401 => said(RunErrorKind::NoRights),
        403 if rights::Denied::parse(message).is_some() => {
            said(RunErrorKind::NoRights).hint(rights::grant(message))
        }
        403 if is_denied_by_kubelet(message) => RunError::new(
            RunErrorKind::KubeletSilent,
            format!(
                "{doing}: {NOT_ACCEPTED}: after its own apiserver's start that takes up to 30 seconds"
            ),
        ),
        403 => said(RunErrorKind::AdmissionRefused),
        404 if message.contains("namespaces") => said(RunErrorKind::Other)
            .hint("kubectl apply -f manifests/, or another namespace with -n"),
        _ => said(RunErrorKind::Other),
    }
}

/// What a refusal means that is only known by its words: of a controller that may not create a Pod, say.
pub fn refused(doing: &str, message: &str) -> RunError {
    by_words(doing, message).unwrap_or_else(|| {
        RunError::new(
            RunErrorKind::AdmissionRefused,
            format!("{doing}: {message}"),
        )
    })
}

/// Whether etcd is electing a leader: the same request will be answered in a moment.
pub(crate) fn electing(error: &KubeError) -> bool {
    let passing = [
        "leader changed",
        "no leader",
        "etcdserver: request timed out",
    ];
    matches!(error, KubeError::Api(status) if passing.iter().any(|words| status.message.contains(words)))
}

/// The refusals that have names of their own.
fn by_words(doing: &str, message: &str) -> Option<RunError> {
    let said = |kind| RunError::new(kind, format!("{doing}: {message}"));
    let has = |words: &str| message.contains(words);
    Some(if has("database space exceeded") {
        said(RunErrorKind::WritesRefused).hint(advice![
            Task::ListAlarms,
            "; ",
            Task::Defragment,
            "; ",
            Task::DisarmAlarms
        ])
    } else if has("exceeded quota") || has("failed quota") {
        said(RunErrorKind::QuotaExceeded).hint("use a namespace without a quota: -n kube-system")
    } else if has("violates PodSecurity") {
        said(RunErrorKind::AdmissionRefused)
            .hint("use a namespace that admits privileged pods: -n kube-system, or manifests/namespace.yaml")
    } else if has("error looking up service account") {
        said(RunErrorKind::AdmissionRefused)
            .hint("the namespace is new and no controller-manager has made its service account: use -n kube-system")
    } else if has("denied request") || has("denied the request") {
        // Admission policies and webhooks, with whatever code they like.
        said(RunErrorKind::AdmissionRefused)
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use serde_json::json;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "`json!` is written where it is used"
    )]
    fn pod(status: serde_json::Value) -> Pod {
        let spec =
            json!({"nodeName": "cp-1", "containers": [{"name": "etcd-job", "image": "img:1"}]});
        serde_json::from_value(json!({"spec": spec, "status": status})).unwrap()
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "`json!` is written where it is used"
    )]
    fn with_state(state: serde_json::Value) -> Pod {
        pod(
            json!({"phase": "Pending", "startTime": "2026-11-21T14:00:00Z", "containerStatuses": [{
            "name": "etcd-job", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state}]}),
        )
    }

    #[test]
    fn a_pod_nobody_took_is_told_from_one_that_starts() {
        assert_eq!(stage(&pod(json!({"phase": "Pending"}))), Stage::Unheard);
        assert_eq!(
            stage(&pod(
                json!({"phase": "Pending", "startTime": "2026-11-21T14:00:00Z"})
            )),
            Stage::Starting
        );
        assert_eq!(
            stage(&with_state(
                json!({"waiting": {"reason": "ContainerCreating"}})
            )),
            Stage::Starting
        );
        assert_eq!(stage(&with_state(json!({"running": {}}))), Stage::Started);
    }

    #[test]
    fn a_missing_image_is_named() {
        for reason in [
            "ErrImageNeverPull",
            "ErrImagePull",
            "ImagePullBackOff",
            "InvalidImageName",
        ] {
            let Stage::Trouble(error) = stage(&with_state(json!({"waiting": {"reason": reason}})))
            else {
                panic!("{reason}")
            };
            assert_eq!(error.kind, RunErrorKind::ImageMissing);
            assert!(
                error.message.contains("img:1") && error.message.contains("cp-1"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_pod_the_node_refuses_says_why() {
        let evicted = pod(
            json!({"phase": "Failed", "reason": "Evicted", "message": "node was low on memory"}),
        );
        let Stage::Trouble(error) = stage(&evicted) else {
            panic!()
        };
        assert_eq!(
            error.message,
            "the node refused the pod: Evicted: node was low on memory"
        );
    }

    #[test]
    fn an_ended_container_tells_its_last_words() {
        let ended = with_state(
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "boom\n"}}),
        );
        assert_eq!(stage(&ended), Stage::Started);
        assert_eq!(
            ending(&ended).unwrap().to_string(),
            "OOMKilled, exit code 137: boom"
        );
    }

    #[test]
    fn what_the_apiserver_said_is_kept_and_said_once() {
        let mut status = Status::failure("no such thing", "NotFound");
        status.code = 404;
        let error = api_error("creating the Job", KubeError::Api(status.boxed()));
        assert!(error.source.as_ref().unwrap().get().is::<KubeError>());
        let whole = crate::outcome::run_error("cp-1", &error);
        assert_eq!(whole.chain(), "cp-1: creating the Job: no such thing");
        assert!(whole.causes().is_empty() && whole.source.is_some());
    }

    #[test]
    fn refusals_are_told_apart() {
        let kind = |code, message: &str| {
            let mut status = Status::failure(message, "");
            status.code = code;
            api_error("creating the Job", KubeError::Api(status.boxed())).kind
        };
        let rbac = "jobs.batch is forbidden: User \"jane\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"kube-system\"";
        assert_eq!(kind(403, rbac), RunErrorKind::NoRights);
        let quota = "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0";
        assert_eq!(kind(403, quota), RunErrorKind::QuotaExceeded);
        let security =
            "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": privileged";
        assert_eq!(kind(403, security), RunErrorKind::AdmissionRefused);
        let account = "pods \"x\" is forbidden: error looking up service account ns/default: serviceaccount \"default\" not found";
        assert_eq!(kind(403, account), RunErrorKind::AdmissionRefused);
        assert_eq!(
            kind(500, "etcdserver: mvcc: database space exceeded"),
            RunErrorKind::WritesRefused
        );
        assert_eq!(kind(500, "etcdserver: no leader"), RunErrorKind::EtcdLost);
        assert_eq!(kind(503, "try again later"), RunErrorKind::ApiserverLost);
        assert_eq!(kind(404, "namespaces \"x\" not found"), RunErrorKind::Other);
        let kubelet = "Forbidden (user=kube-apiserver-kubelet-client, verb=get, resource=nodes, subresource(s)=[proxy])";
        assert_eq!(kind(403, kubelet), RunErrorKind::KubeletSilent);
        let policy = "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        assert_eq!(kind(422, policy), RunErrorKind::AdmissionRefused);
    }

    #[test]
    fn an_election_is_waited_for_and_a_full_database_is_not() {
        let error = |message: &str| KubeError::Api(Status::failure(message, "").boxed());
        assert!(electing(&error("etcdserver: leader changed")));
        assert!(!electing(&error(
            "etcdserver: mvcc: database space exceeded"
        )));
    }
}
