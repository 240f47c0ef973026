//! A component started: its manifest in, perhaps changed, and it is up.

use serde::{Deserialize, Serialize};

use super::super::action::{Done, Until};
use super::pods::{self, OfText};
use super::{Here, Record, Undone};
use crate::failure::{Failure, FailureKind};
use crate::manifest::{Edit, ManifestFile, Start, Stop};
use crate::run::Events;
use crate::static_pod::{StaticPod, Wanted};

/// A component brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Its manifest's way in.
    pub manifest: Start,
    /// The component, with its manifest as it goes in.
    pub of: OfText,
    /// Whether it is another one than the one that was taken out.
    pub changed: bool,
    /// How far it has to be.
    pub until: Until,
}

pub(super) fn prepare(
    component: &str,
    edits: &[Edit],
    until: Until,
    here: &Here<'_>,
) -> Result<Started, Failure> {
    let out = taken_out(component, here)?;
    let before = ManifestFile::read(&out.kept)?.manifest;
    let mut after = before.clone();
    for edit in edits {
        after = after.edit(component, edit)?.manifest;
    }
    let of = OfText::new(component, &after, here);
    of.pod()?;
    Ok(Started {
        manifest: Start::prepare(&out, &after, here.aside, here.now)?,
        changed: before.bytes() != after.bytes(),
        of,
        until,
    })
}

/// The manifest of a component that this plan took out, or else somebody before it.
pub(super) fn taken_out(component: &str, here: &Here<'_>) -> Result<Stop, Failure> {
    let by_plan = here.journal.records().find_map(|(_, record)| match record {
        Record::Stop(stopped) if stopped.of.component == component => Some(&stopped.manifest),
        _ => None,
    });
    if let Some(stop) = by_plan {
        return Ok(stop.clone());
    }
    let known = here.known()?;
    let kept = known.of(component)?.and_then(|found| found.kept);
    let kept = kept.ok_or_else(|| {
        let message = format!(
            "no manifest of {component} was taken out: there is none in {}",
            here.aside.folder().display()
        );
        Failure::new(FailureKind::Missing, message)
            .hint("if it lies elsewhere, move it into the folder of the static pods")
    })?;
    Stop::of_kept(kept, here.pods)
}

impl Started {
    pub(super) async fn apply(&self, events: &mut Events<'_>) -> Result<Done, Failure> {
        let runtime = pods::runtime().await?;
        self.manifest.apply(&self.of.manifest()?)?;
        pods::up(&self.of.pod()?, &runtime, self.until.wanted(), events).await?;
        Ok(Done::Started {
            changed: self.changed,
            manifest: self.manifest.manifest.clone(),
        })
    }

    /// It is stopped again, and its manifest goes aside.
    pub(super) async fn undo(&self, events: &mut Events<'_>) -> Result<Undone, Failure> {
        let runtime = pods::runtime().await?;
        self.manifest.undo()?;
        pods::stop(&self.of.pod()?, &runtime, events).await?;
        Ok(Undone::default())
    }
}

/// Waits for a component whose manifest is in the folder.
pub(super) async fn await_up(
    component: &str,
    until: Until,
    here: &Here<'_>,
    events: &mut Events<'_>,
) -> Result<Done, Failure> {
    let file = here.manifest_of(component)?;
    let pod = StaticPod::of(&file.manifest, component, here.node)?;
    pods::up(&pod, &pods::runtime().await?, until.wanted(), events).await?;
    Ok(Done::Plain)
}

impl Until {
    fn wanted(self) -> Wanted {
        match self {
            Self::Answers => Wanted::Answers,
            Self::Ready => Wanted::Serves,
        }
    }
}
