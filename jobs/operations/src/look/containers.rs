//! What the container runtime knows of the control plane: containers, their last lines, images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LastRan;
use super::read::Read;
use crate::container_log;
use crate::control_plane::ControlPlane;
use crate::evidence;
use crate::failure::{Answer, Failure};
use crate::kubelet;
use crate::manifest::{Place, PodId};
use crate::root;
use crate::runtime::{Container, Runtime, State};

/// So many containers of a pod are told, the newest ones.
const MOST_CONTAINERS: usize = 3;

/// So many lines of a log are told.
const LINES: usize = 12;

/// The container runtime, which answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeLook {
    /// Where it listens.
    pub socket: PathBuf,
    /// The pods of the control plane: those that a manifest is there for, in the folder or moved aside.
    pub pods: Vec<PodContainers>,
    /// The images that the manifests in the folder name, each once.
    pub images: Vec<ImageLook>,
}

impl RuntimeLook {
    /// The newest container of a component that the runtime knows.
    pub fn newest(&self, component: ControlPlane) -> Option<&ContainerLook> {
        let pod = self.pods.iter().find(|pod| pod.component == component)?;
        pod.containers.ok()?.first()
    }

    /// What ran last of a component whose manifest is not in the static pods' folder.
    pub fn last_ran(&self, component: ControlPlane) -> Option<&LastRan> {
        let pod = self.pods.iter().find(|pod| pod.component == component)?;
        pod.last_ran.as_ref()
    }
}

/// The containers of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodContainers {
    /// Which.
    pub component: ControlPlane,
    /// Its pod, as the runtime knows it: with the node's name.
    pub pod: PodId,
    /// Its containers, the newest first. kubelet keeps one that has ended; of more, the newest three are told.
    pub containers: Answer<Vec<ContainerLook>>,
    /// What the newest of them was started with, where its manifest is not in the static pods' folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ran: Option<LastRan>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerLook {
    /// The runtime's id.
    pub id: String,
    /// The uid of its pod, which is another one when the manifest is.
    pub pod_uid: String,
    /// Its number among those that the pod has had: how often it was started again.
    pub attempt: u32,
    /// Whether it runs.
    pub state: State,
    /// What its process ended with; none: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why it ended, in the runtime's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it was started; none: it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended; none: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Its log on this host.
    pub log: PathBuf,
    /// The line of the log that says why it ended, without what a terminal would act on; none: there is no such line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
    /// The last lines of the log, the oldest first, cut to a bearable length.
    pub last_lines: Vec<String>,
}

/// An image that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLook {
    /// As the manifest names it.
    pub name: String,
    /// The pods that want it, by their manifests' names.
    pub wanted_by: Vec<String>,
    /// Whether the runtime has it.
    pub present: Answer<bool>,
}

/// Asks the runtime for what the manifests name.
///
/// # Errors
/// When it does not answer.
pub(super) async fn look(root: &Path, read: &Read, node: &str) -> Result<RuntimeLook, Failure> {
    let told = kubelet::runtime_socket(root);
    let told = told.map(|socket| root::below(root, &socket).unwrap_or(socket));
    let runtime = Runtime::of_host(told.as_deref()).await?;
    let mut pods = Vec::new();
    for component in ControlPlane::ALL {
        let Some(found) = read.of(component) else {
            continue;
        };
        let pod = found.file.manifest.pod();
        let pod = PodId {
            name: format!("{}-{node}", pod.name),
            ..pod
        };
        let name = found.file.manifest.component(component.name());
        let name = name.map_or_else(|_| component.name().to_owned(), |one| one.name().to_owned());
        let last_ran = match found.place {
            Place::Folder => None,
            Place::Aside | Place::Named | Place::Elsewhere => {
                last_ran(&runtime, component, &pod, &name).await
            }
        };
        pods.push(PodContainers {
            component,
            containers: containers(root, &runtime, &pod, &name).await.into(),
            pod,
            last_ran,
        });
    }
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in read.pods() {
        for component in file.manifest.components() {
            let Some(image) = component.image() else {
                continue;
            };
            let by = wanted.entry(image.to_owned()).or_default();
            let pod = file.manifest.pod().name;
            if !by.contains(&pod) {
                by.push(pod);
            }
        }
    }
    let mut images = Vec::new();
    for (name, wanted_by) in wanted {
        images.push(ImageLook {
            present: runtime.has_image(&name).await.into(),
            name,
            wanted_by,
        });
    }
    Ok(RuntimeLook {
        socket: runtime.socket().to_owned(),
        pods,
        images,
    })
}

/// The containers of a pod that have this name.
async fn containers(
    root: &Path,
    runtime: &Runtime,
    pod: &PodId,
    name: &str,
) -> Result<Vec<ContainerLook>, Failure> {
    let all = runtime.containers(pod).await?.into_iter();
    let mut told = Vec::new();
    for container in all.filter(|one| one.name == name).take(MOST_CONTAINERS) {
        // One that is removed meanwhile is nobody's loss.
        if let Ok(details) = runtime.details(&container.id).await {
            told.push(told_of(root, container, details));
        }
    }
    Ok(told)
}

/// What the newest container of a pod that has this name was started with, if the runtime still knows one.
async fn last_ran(
    runtime: &Runtime,
    component: ControlPlane,
    pod: &PodId,
    name: &str,
) -> Option<LastRan> {
    let all = runtime.containers(pod).await.ok()?;
    let newest = all.into_iter().find(|one| one.name == name)?;
    let details = runtime.details(&newest.id).await.ok()?;
    let (created_at, launch) = (time(newest.created_at), details.launch?);
    Some(LastRan::new(component, created_at, newest.image, &launch))
}

fn told_of(root: &Path, container: Container, details: crate::runtime::Details) -> ContainerLook {
    let ended = container.state == State::Exited;
    let log = root::below(root, &details.log).ok();
    let lines = |log: &PathBuf| container_log::last_lines(log, LINES).ok();
    ContainerLook {
        id: container.id,
        pod_uid: container.pod_uid,
        attempt: container.attempt,
        state: container.state,
        exit_code: ended.then_some(details.exit_code),
        reason: Some(details.reason).filter(|reason| !reason.is_empty()),
        created_at: time(container.created_at),
        started_at: time(details.started_at),
        finished_at: time(details.finished_at).filter(|_| ended),
        log: details.log,
        last_words: log.as_ref().and_then(|log| evidence::last_words(log)),
        last_lines: log.as_ref().and_then(lines).unwrap_or_default(),
    }
}

/// A time in nanoseconds since 1970; 0 is none.
fn time(nanoseconds: i64) -> Option<Timestamp> {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    (nanoseconds > 0).then_some(time)
}
