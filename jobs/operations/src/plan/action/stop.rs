//! A component stopped: its manifest out, everything of it gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Done;
use super::act::{Act, ActRecord, OwnManifest, StepContext, Undoing, Undone};
use super::end_containers::end_watchers;
use super::pods::{self, OfText};
use crate::advice;
use crate::advice::Task;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, FailureKind};
use crate::manifest::Stop;
use crate::static_pod::Wanted;
use crate::work::Events;

/// How long a component that comes back is waited for.
const BACK: Duration = Duration::from_secs(60);

/// Takes a component's manifest out of the static pods' folder and waits until nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopComponent {
    /// The component.
    pub component: String,
}

/// A component taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StopRecord {
    /// Its manifest's way out.
    pub(crate) manifest: Stop,
    /// The component.
    pub(crate) of: OfText,
    /// Whether it answered before. One that did not, an apiserver without its etcd, say, will not when it is back.
    pub(crate) answered: bool,
}

impl ActRecord for StopRecord {
    const NAME: &'static str = "stop";
}

impl Act for StopComponent {
    type Record = StopRecord;

    fn describe(&self) -> String {
        format!("stop {}", self.component)
    }

    async fn prepare(&self, step: &mut StepContext<'_>) -> Result<StopRecord, Failure> {
        let component = &self.component;
        let file = step.manifest_of(component).map_err(|failure| {
            let start = Task::StartComponent.of(component);
            match failure.kind {
                FailureKind::Missing => {
                    failure.hint(advice!["if it was taken out, ", start, " brings it back"])
                }
                _ => failure,
            }
        })?;
        let of = OfText::new(component, &file.manifest, step);
        // What cannot be proved stopped is not begun with.
        let answered = of.pod()?.answers().await;
        Ok(StopRecord {
            answered,
            of,
            manifest: Stop::prepare(&file, &step.host.archive, step.now)?,
        })
    }

    async fn apply(
        &self,
        record: &StopRecord,
        step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        let runtime = pods::runtime().await?;
        record.manifest.apply()?;
        pods::stop(&record.of.pod()?, &runtime, step.events).await?;
        Ok(Done::Plain)
    }

    /// It runs again with the same bytes, and answers if it did before.
    async fn undo(&self, record: &StopRecord, undo: &mut Undoing<'_>) -> Result<Undone, Failure> {
        if record.manifest.never_left()? {
            // It failed before anything was done: there is nothing to bring back, and nobody to wait for.
            return Ok(Undone::default());
        }
        record.manifest.undo()?;
        Ok(match record.await_back(undo.events).await? {
            Ok(()) => Undone::default(),
            Err(failure) => Undone::but(format!(
                "the manifest of {} is back, but {failure}",
                self.component
            )),
        })
    }

    fn manifest(
        &self,
        record: &StopRecord,
        was_done: bool,
    ) -> Result<Option<OwnManifest>, Failure> {
        let stop = &record.manifest;
        // One that failed before it moved the manifest: what is in its place is not the plan's.
        if !was_done && stop.never_left()? {
            return Ok(None);
        }
        Ok(Some(OwnManifest {
            path: stop.manifest.clone(),
            own: vec![stop.sha256.clone()],
        }))
    }
}

impl StopRecord {
    /// Waits until the component whose manifest is back is as far as it was before; the inner error says that it is not.
    async fn await_back(&self, events: &mut Events<'_>) -> Result<Result<(), Failure>, Failure> {
        let runtime = pods::runtime().await?;
        let is_apiserver = self.of.component == ControlPlane::Apiserver.name();
        if is_apiserver {
            // What it tells may be older than what they have seen.
            end_watchers(&self.of.node, &runtime).await?;
        }
        let wanted = match self.answered {
            true => Wanted::Answers,
            false => Wanted::Runs,
        };
        if is_apiserver && self.answered {
            // It was brought back before.
            let etcd = self.of.await_etcd(&runtime, BACK, events).await;
            if etcd.is_err() {
                return Ok(etcd);
            }
        }
        Ok(pods::up_within(&self.of.pod()?, &runtime, wanted, BACK, events).await)
    }
}
