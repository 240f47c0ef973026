//! Containers ended so that kubelet starts them anew.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::act::{Act, NoRecord, StepContext};
use super::{Done, pods};
use crate::control_plane::ControlPlane;
use crate::failure::Failure;
use crate::kubelet::manifests_folder;
use crate::manifest::Folder;
use crate::runtime::Runtime;
use crate::static_pod::{StaticPod, Wanted};
use crate::work::Events;

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// How long kubelet may take to start one anew: it waits longer each time one has ended shortly after its start.
const AGAIN: Duration = Duration::from_secs(90);

/// Ends the containers of components so that kubelet starts them anew: they then read everything again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndContainers {
    /// The components.
    pub components: Vec<String>,
}

impl Act for EndContainers {
    type Record = NoRecord;

    fn describe(&self) -> String {
        format!("start {} anew", self.components.join(", "))
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<NoRecord, Failure> {
        Ok(NoRecord {})
    }

    async fn apply(&self, _record: &NoRecord, step: &mut StepContext<'_>) -> Result<Done, Failure> {
        let (folder, runtime) = (step.folder()?, pods::runtime().await?);
        let (components, node) = (&self.components, &step.host.node);
        end(&folder, components, node, &runtime).await?;
        await_up(&folder, components, node, &runtime, step.events).await?;
        Ok(Done::Plain)
    }
}

/// Waits until kubelet has started the components anew. One that it does not start in time is no failure: what this is for
/// is done.
async fn await_up(
    folder: &Folder,
    components: &[String],
    node: &str,
    runtime: &Runtime,
    events: &mut Events<'_>,
) -> Result<(), Failure> {
    for component in components {
        let Some(file) = folder.of_component(component)? else {
            continue;
        };
        let pod = StaticPod::of(&file.manifest, component, node)?;
        pods::up_within(&pod, runtime, Wanted::Answers, AGAIN, events)
            .await
            .ok();
    }
    Ok(())
}

/// Ends the containers of components, where a manifest in the folder runs them.
async fn end(
    folder: &Folder,
    components: &[impl AsRef<str>],
    node: &str,
    runtime: &Runtime,
) -> Result<(), Failure> {
    for component in components {
        let component = component.as_ref();
        // A host without it has nothing that would have to notice.
        let Some(file) = folder.of_component(component)? else {
            continue;
        };
        let pod = StaticPod::of(&file.manifest, component, node)?;
        pod.end_containers(runtime, GRACE).await?;
    }
    Ok(())
}

/// Ends the containers of those that watch the apiserver, so that kubelet starts them anew.
pub(super) async fn end_watchers(node: &str, runtime: &Runtime) -> Result<(), Failure> {
    let watchers = [ControlPlane::ControllerManager, ControlPlane::Scheduler];
    let folder = Folder::read(&manifests_folder(Path::new("/")))?;
    end(&folder, &watchers.map(ControlPlane::name), node, runtime).await
}
