//! A component stopped: its manifest out, everything of it gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::action::Done;
use super::containers::end_watchers;
use super::pods::{self, OfText};
use super::{Here, Undone};
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, FailureKind};
use crate::manifest::Stop;
use crate::shell::CommandLine;
use crate::static_pod::Wanted;
use crate::work::Events;

/// A component taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// Its manifest's way out.
    pub manifest: Stop,
    /// The component.
    pub of: OfText,
    /// Whether it answered before. One that did not, an apiserver without its etcd, say, will not when it is back.
    pub answered: bool,
}

pub(super) async fn prepare(component: &str, here: &Here<'_>) -> Result<Stopped, Failure> {
    let file = here.manifest_of(component).map_err(|failure| {
        let start = CommandLine::new("kubectl etcd manifest start").operand(component);
        match failure.kind {
            FailureKind::Missing => {
                failure.hint(format!("if it was taken out, {start} brings it back"))
            }
            _ => failure,
        }
    })?;
    let of = OfText::new(component, &file.manifest, here);
    // What cannot be proved stopped is not begun with.
    let answered = of.pod()?.answers().await;
    Ok(Stopped {
        answered,
        of,
        manifest: Stop::prepare(&file, here.aside, here.now)?,
    })
}

impl Stopped {
    pub(super) async fn apply(&self, events: &mut Events<'_>) -> Result<Done, Failure> {
        let runtime = pods::runtime().await?;
        self.manifest.apply()?;
        pods::stop(&self.of.pod()?, &runtime, events).await?;
        Ok(Done::Plain)
    }

    /// It runs again with the same bytes, and answers if it did before.
    pub(super) async fn undo(&self, events: &mut Events<'_>) -> Result<Undone, Failure> {
        if self.manifest.never_left()? {
            // It failed before anything was done: there is nothing to bring back, and nobody to wait for.
            return Ok(Undone::default());
        }
        self.manifest.undo()?;
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
        let needed = match is_apiserver && self.answered {
            // It was brought back before.
            true => self.of.await_etcd(&runtime, BACK, events).await,
            false => Ok(()),
        };
        let up = match needed {
            Ok(()) => pods::up_within(&self.of.pod()?, &runtime, wanted, BACK, events).await,
            failed => failed,
        };
        Ok(match up {
            Ok(()) => Undone::default(),
            Err(failure) => Undone::but(format!(
                "the manifest of {} is back, but {failure}",
                self.of.component
            )),
        })
    }
}

/// How long a component that comes back is waited for.
const BACK: Duration = Duration::from_secs(60);
