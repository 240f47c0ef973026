//! The container runtime of this host, asked as kubelet asks it: CRI, `runtime.v1`.
//!
//! It is evidence where Kubernetes is none: what the API says of a static pod is what a kubelet last could tell it. And it
//! stops what a kubelet no longer cares for.

mod images;
mod messages;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::failure::{Failure, FailureKind};
use crate::limits::RUNTIME_LIMIT;
use crate::manifest::PodId;
pub use images::Image;
pub(crate) use messages::Login;
use messages::{
    ContainerFilter, ContainerState, ContainerStatusRequest, ContainerStatusResponse,
    ListContainersRequest, ListContainersResponse, RemoveContainerRequest, RemoveContainerResponse,
    StopContainerRequest, StopContainerResponse,
};

/// Where runtimes listen, by their own defaults: containerd, CRI-O, cri-dockerd.
const SOCKETS: [&str; 3] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
];

/// Which program a container runtime is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// CRI-O.
    Crio,
    /// containerd, and what is not known.
    #[default]
    #[serde(other)]
    Containerd,
}

impl RuntimeKind {
    /// By where it listens.
    pub(crate) fn at(socket: &Path) -> Self {
        match socket.file_name().is_some_and(|name| name == "crio.sock") {
            true => Self::Crio,
            false => Self::Containerd,
        }
    }

    /// Of the host, by what kubelet is told, else by what listens where runtimes do.
    pub(crate) fn of_host(told: Option<&Path>) -> Self {
        socket(told).map(Self::at).unwrap_or_default()
    }

    /// What starts it again.
    pub(crate) fn restart(self) -> &'static str {
        match self {
            Self::Containerd => "systemctl restart containerd",
            Self::Crio => "systemctl restart crio",
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Containerd => "systemctl status containerd",
            Self::Crio => "systemctl status crio",
        }
    }
}

/// Where the runtime listens that kubelet is told to use, else the first that is there.
fn socket(told: Option<&Path>) -> Option<&Path> {
    told.or_else(|| SOCKETS.iter().map(Path::new).find(|socket| socket.exists()))
}

/// CRI's two services.
const CONTAINERS: &str = "RuntimeService";
const IMAGES: &str = "ImageService";

/// The labels kubelet gives containers.
const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_UID: &str = "io.kubernetes.pod.uid";

/// A connection to the runtime.
#[derive(Debug, Clone)]
pub struct Runtime {
    socket: PathBuf,
    channel: Channel,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The runtime's id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// Its number among those of this name that the pod has had.
    pub attempt: u32,
    /// The uid of its pod, which is another one when the manifest is.
    pub pod_uid: String,
    /// Whether it runs.
    pub state: State,
    /// When it was made, in nanoseconds since 1970.
    pub created_at: i64,
    /// Its image as the manifest named it, if kubelet told that.
    pub image: Option<String>,
}

/// Whether a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is made and was not started.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Exited,
    /// The runtime does not know.
    Unknown,
}

/// How a container ended, and where its words are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// The number of its first process on this host, while it runs.
    pub pid: Option<u32>,
    /// What its process ended with.
    pub exit_code: i32,
    /// Why, in the runtime's words.
    pub reason: String,
    /// Its log.
    pub log: PathBuf,
    /// When it was started, in nanoseconds since 1970; 0: it was not.
    pub started_at: i64,
    /// When it ended, in nanoseconds since 1970; 0: it has not.
    pub finished_at: i64,
    /// What its process is started with, as far as the runtime tells that.
    pub launch: Option<Launch>,
}

/// What a container's process is started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// Its command line.
    pub words: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// The paths inside the container, and the host's that are mounted there.
    pub mounts: Vec<(PathBuf, PathBuf)>,
}

impl Runtime {
    /// The runtime that kubelet is told to use, else the first that listens where runtimes do.
    ///
    /// # Errors
    /// [`FailureKind::Missing`] when there is none, [`FailureKind::Unreachable`] when it does not answer.
    pub async fn of_host(told: Option<&Path>) -> Result<Self, Failure> {
        let socket = socket(told).ok_or_else(|| {
            let message = format!("no container runtime listens at {}", SOCKETS.join(", "));
            Failure::missing(message).hint("systemctl status containerd")
        })?;
        Self::connect(socket).await
    }

    async fn connect(socket: &Path) -> Result<Self, Failure> {
        let unreachable = |error: &dyn std::fmt::Display| {
            let message = format!(
                "the container runtime at {} does not answer: {error}",
                socket.display()
            );
            Failure::unreachable(message).hint(RuntimeKind::at(socket).status())
        };
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
            .map_err(|error| unreachable(&error))?;
        let channel = match timeout(RUNTIME_LIMIT, endpoint.connect()).await {
            Ok(connected) => connected.map_err(|error| unreachable(&error))?,
            Err(_) => return Err(unreachable(&"it does not accept the connection")),
        };
        Ok(Self {
            socket: socket.to_owned(),
            channel,
        })
    }

    /// The containers of a pod that the runtime knows, the newest first. A static pod's name ends with the node's.
    ///
    /// # Errors
    /// [`FailureKind::Unreachable`] when it does not answer.
    pub async fn containers(&self, pod: &PodId) -> Result<Vec<Container>, Failure> {
        let labels = [(POD_NAMESPACE, &pod.namespace), (POD_NAME, &pod.name)];
        let request = ListContainersRequest {
            filter: Some(ContainerFilter {
                label_selector: labels
                    .map(|(key, value)| (key.to_owned(), value.clone()))
                    .into(),
            }),
        };
        let response: ListContainersResponse =
            self.call("ListContainers", request, RUNTIME_LIMIT).await?;
        let mut all: Vec<Container> = response
            .containers
            .into_iter()
            .map(Container::from)
            .collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.created_at));
        Ok(all)
    }

    /// What else there is to know of a container.
    ///
    /// # Errors
    /// [`FailureKind::Missing`] when it is gone; else as [`Runtime::containers`].
    pub async fn details(&self, id: &str) -> Result<Details, Failure> {
        let request = ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: true,
        };
        let response: ContainerStatusResponse =
            self.call("ContainerStatus", request, RUNTIME_LIMIT).await?;
        let status = response.status.unwrap_or_default();
        Ok(Details {
            pid: response.info.get("info").and_then(|info| pid(info)),
            exit_code: status.exit_code,
            reason: match status.message.is_empty() {
                true => status.reason,
                false => format!("{}: {}", status.reason, status.message),
            },
            log: status.log_path.into(),
            started_at: status.started_at,
            finished_at: status.finished_at,
            launch: response.info.get("info").and_then(|info| launch(info)),
        })
    }

    /// Ends a container: it is asked to end, and killed when it has not after so long. Zero kills it at once.
    ///
    /// # Errors
    /// When the runtime does not do it. One that is gone already is none.
    pub async fn stop(&self, id: &str, grace: Duration) -> Result<(), Failure> {
        let request = StopContainerRequest {
            container_id: id.to_owned(),
            timeout: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
        };
        let limit = grace + RUNTIME_LIMIT;
        unless_gone(
            self.call::<_, StopContainerResponse>("StopContainer", request, limit)
                .await,
        )
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Removes a container that was made and never started; nobody can start it then.
    ///
    /// # Errors
    /// When the runtime does not do it. One that is gone already is none.
    pub async fn remove(&self, id: &str) -> Result<(), Failure> {
        let request = RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        unless_gone(
            self.call::<_, RemoveContainerResponse>("RemoveContainer", request, RUNTIME_LIMIT)
                .await,
        )
    }

    async fn call<Q, A>(&self, method: &str, request: Q, limit: Duration) -> Result<A, Failure>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        self.ask(CONTAINERS, method, request, limit).await
    }

    async fn ask<Q, A>(
        &self,
        service: &str,
        method: &str,
        request: Q,
        limit: Duration,
    ) -> Result<A, Failure>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let asked = self.send(service, method, request, limit).await;
        asked.map_err(|status| self.failed(method, &status))
    }

    /// The same, with the runtime's own words where it does not do it.
    async fn send<Q, A>(
        &self,
        service: &str,
        method: &str,
        request: Q,
        limit: Duration,
    ) -> Result<A, Status>
    where
        Q: prost::Message + Send + Sync + 'static,
        A: prost::Message + Default + Send + Sync + 'static,
    {
        let path = format!("/runtime.v1.{service}/{method}");
        let call = async {
            let path = PathAndQuery::try_from(path)
                .map_err(|error| Status::internal(error.to_string()))?;
            let mut grpc = Grpc::new(self.channel.clone());
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec = ProstCodec::<Q, A>::default();
            grpc.unary(Request::new(request), path, codec).await
        };
        match timeout(limit, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("it does not answer")),
        }
    }

    fn failed(&self, method: &str, status: &Status) -> Failure {
        let kind = match status.code() {
            Code::NotFound => FailureKind::Missing,
            Code::Unavailable | Code::DeadlineExceeded => FailureKind::Unreachable,
            _ => FailureKind::Other,
        };
        let (socket, words) = (self.socket.display(), status.message());
        let message = format!("the container runtime at {socket} failed at {method}: {words}");
        match kind {
            FailureKind::Unreachable => {
                Failure::new(kind, message).hint(RuntimeKind::at(&self.socket).status())
            }
            _ => Failure::new(kind, message),
        }
    }
}

/// What is gone needs no end.
fn unless_gone<T>(ended: Result<T, Failure>) -> Result<(), Failure> {
    match ended {
        Err(failure) if failure.kind == FailureKind::Missing => Ok(()),
        ended => ended.map(drop),
    }
}

impl From<messages::Container> for Container {
    fn from(container: messages::Container) -> Self {
        let state = container.state();
        let metadata = container.metadata.unwrap_or_default();
        let image = container.image.unwrap_or_default().user_specified_image;
        Self {
            id: container.id,
            name: metadata.name,
            attempt: metadata.attempt,
            pod_uid: container.labels.get(POD_UID).cloned().unwrap_or_default(),
            state: match state {
                ContainerState::Created => State::Created,
                ContainerState::Running => State::Running,
                ContainerState::Exited => State::Exited,
                ContainerState::Unknown => State::Unknown,
            },
            created_at: container.created_at,
            image: Some(image).filter(|image| !image.is_empty()),
        }
    }
}

/// The process's number in what containerd and CRI-O add.
fn pid(info: &str) -> Option<u32> {
    let info: Value = serde_json::from_str(info).ok()?;
    let pid = u32::try_from(info.get("pid")?.as_u64()?).ok()?;
    (pid > 0).then_some(pid)
}

/// The command line, environment and mounts in what containerd and CRI-O add: the OCI runtime's configuration.
fn launch(info: &str) -> Option<Launch> {
    let info: Value = serde_json::from_str(info).ok()?;
    let spec = info.get("runtimeSpec")?;
    let list = |value: &Value, key: &str| -> Vec<Value> {
        let list = value.get(key).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let process = spec.get("process")?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let variable = |value: &Value| {
        let (name, value) = value.as_str()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let mount = |value: &Value| {
        let path = |key| Some(PathBuf::from(value.get(key)?.as_str()?));
        path("destination").zip(path("source"))
    };
    let words: Vec<String> = list(process, "args").iter().filter_map(text).collect();
    (!words.is_empty()).then(|| Launch {
        words,
        env: list(process, "env").iter().filter_map(variable).collect(),
        mounts: list(spec, "mounts").iter().filter_map(mount).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_was_started_with_is_in_what_the_runtime_adds() {
        let info = r#"{"pid":0,"runtimeSpec":{"process":{"args":["etcd","--name=a"],"env":["PATH=/bin","ETCD_X=1=2","odd"]},
            "mounts":[{"destination":"/var/lib/etcd","source":"/srv/etcd","type":"bind"},{"destination":"/proc"}]}}"#;
        let found = launch(info).unwrap();
        assert_eq!(found.words, ["etcd", "--name=a"]);
        assert_eq!(found.env[1], ("ETCD_X".into(), "1=2".into()));
        assert_eq!(found.mounts, [("/var/lib/etcd".into(), "/srv/etcd".into())]);
        for none in [
            "",
            "{}",
            r#"{"runtimeSpec":{}}"#,
            r#"{"runtimeSpec":{"process":{"args":[]}}}"#,
            r#"{"runtimeSpec":{"process":{"args":7}}}"#,
        ] {
            assert_eq!(launch(none), None, "{none}");
        }
    }

    #[test]
    fn the_process_is_in_what_the_runtime_adds() {
        assert_eq!(pid(r#"{"sandboxID":"x","pid":4711}"#), Some(4711));
        for none in ["", "{}", r#"{"pid":0}"#, r#"{"pid":"1"}"#, r#"{"pid":-1}"#] {
            assert_eq!(pid(none), None, "{none}");
        }
    }

    #[test]
    fn each_runtime_is_started_by_its_own_name() {
        for (socket, restart) in [
            ("/run/crio/crio.sock", "systemctl restart crio"),
            (
                "/run/containerd/containerd.sock",
                "systemctl restart containerd",
            ),
            (
                "/var/lib/criolla/containerd.sock",
                "systemctl restart containerd",
            ),
        ] {
            let kind = RuntimeKind::of_host(Some(Path::new(socket)));
            assert_eq!(kind.restart(), restart);
            let written = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<RuntimeKind>(&written).unwrap(), kind);
        }
    }

    #[tokio::test]
    async fn a_socket_nobody_listens_at_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("none.sock");
        let failure = Runtime::of_host(Some(&socket)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(failure.message.contains("none.sock"), "{failure}");
    }
}
