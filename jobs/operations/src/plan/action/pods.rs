//! What stopping and starting pods needs of this host.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Readiness;
use super::act::StepContext;
use crate::control_plane::ControlPlane;
use crate::failure::Failure;
use crate::kubelet;
use crate::local;
use crate::manifest::{Folder, Manifest, Selection};
use crate::runtime::Runtime;
use crate::static_pod::{Awaited, StaticPod, Wanted};
use crate::target::is_loopback;
use crate::work::{Events, Progress};

/// How long it may take until nothing is left of a component.
const GONE: Duration = Duration::from_secs(120);

/// How long a component may take to be up: a large database is read first.
const UP: Duration = Duration::from_secs(600);

/// A component of a host by its manifest's text, as a journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfText {
    /// The component.
    pub(crate) component: String,
    /// The node's name.
    pub(crate) node: String,
    /// The text of its manifest.
    pub(crate) text: String,
}

impl OfText {
    pub(super) fn new(component: &str, manifest: &Manifest, context: &StepContext<'_>) -> Self {
        Self {
            component: component.to_owned(),
            node: context.host.node.to_owned(),
            text: String::from_utf8_lossy(manifest.bytes()).into_owned(),
        }
    }

    pub(super) fn manifest(&self) -> Result<Manifest, Failure> {
        Manifest::parse(self.text.as_bytes())
    }

    /// Waits until the etcd is up that an apiserver needs, so far as it is this host's and no other.
    pub(super) async fn await_etcd(
        &self,
        runtime: &Runtime,
        limit: Duration,
        events: &mut Events<'_>,
    ) -> Result<(), Failure> {
        let host = local::host(&Selection::default())?;
        let servers = host.etcd_servers.unwrap_or_default();
        let etcd = ControlPlane::Etcd.name();
        let folder = Folder::read(&host.folder)?;
        match folder.of_component(etcd) {
            Ok(Some(file)) if servers.iter().all(|url| is_loopback(url)) => {
                let pod = StaticPod::of(&file.manifest, etcd, &self.node)?;
                up_within(&pod, runtime, Wanted::Answers, limit, events).await
            }
            _ => Ok(()),
        }
    }

    pub(super) fn pod(&self) -> Result<StaticPod, Failure> {
        StaticPod::of(&self.manifest()?, &self.component, &self.node)
    }
}

/// The container runtime kubelet uses.
pub(super) async fn runtime() -> Result<Runtime, Failure> {
    Runtime::of_host(kubelet::runtime_socket(Path::new("/")).as_deref()).await
}

/// Ends a component whose manifest is out of the folder, and waits until nothing is left of it.
pub(super) async fn stop(
    pod: &StaticPod,
    runtime: &Runtime,
    events: &mut Events<'_>,
) -> Result<(), Failure> {
    pod.stop(runtime, grace(pod), GONE, &mut tell(pod, events))
        .await
}

/// Waits until a component is up whose manifest is in the folder.
pub(super) async fn up(
    pod: &StaticPod,
    runtime: &Runtime,
    wanted: Wanted,
    events: &mut Events<'_>,
) -> Result<(), Failure> {
    pod.up(runtime, wanted, UP, &mut tell(pod, events))
        .await
        .map(drop)
}

/// As [`up`], for so long.
pub(super) async fn up_within(
    pod: &StaticPod,
    runtime: &Runtime,
    wanted: Wanted,
    limit: Duration,
    events: &mut Events<'_>,
) -> Result<(), Failure> {
    pod.up(runtime, wanted, limit, &mut tell(pod, events))
        .await
        .map(drop)
}

/// How long a process may take to end by itself. An apiserver waits for its clients, for half a minute; what it has
/// answered is in etcd, so nothing is lost when it does not. etcd hands the lead over, which it tries for seven seconds when
/// the others are ending too; what it has acknowledged is on its disk however it ends.
fn grace(pod: &StaticPod) -> Duration {
    match pod.component.as_str() {
        "kube-apiserver" => Duration::ZERO,
        _ => Duration::from_secs(2),
    }
}

impl Readiness {
    pub(super) fn wanted(self) -> Wanted {
        match self {
            Self::Answers => Wanted::Answers,
            Self::Ready => Wanted::Serves,
        }
    }
}

fn tell<'a>(pod: &'a StaticPod, events: &'a mut Events<'_>) -> impl FnMut(Awaited) + Send + 'a {
    move |awaited| {
        events(Progress {
            step: format!("{}: {awaited}", pod.component),
            done_bytes: 0,
            total_bytes: None,
        });
    }
}
