//! A component started: its manifest in, perhaps changed, and it is up.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::action::{Done, Until};
use super::pods::{self, OfText};
use super::{Here, Record, Undone};
use crate::failure::{Failure, FailureKind};
use crate::manifest::{Edit, Kept, Manifest, ManifestFile, Start, Stop};
use crate::static_pod::{StaticPod, Wanted};
use crate::work::Events;

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
    manifest: Option<&Path>,
    edits: &[Edit],
    until: Until,
    here: &Here<'_>,
) -> Result<Started, Failure> {
    let own_file = manifest.filter(|path| Kept::of(path).is_none());
    let (before, out) = match own_file {
        Some(path) if by_plan(component, here).is_none() => {
            (ManifestFile::read(path)?.manifest, None)
        }
        _ => {
            let out = taken_out(component, manifest, here)?;
            (ManifestFile::read(&out.kept_now())?.manifest, Some(out))
        }
    };
    let mut after = before.clone();
    for edit in edits {
        after = after.edit(component, edit)?.manifest;
    }
    let of = OfText::new(component, &after, here);
    of.pod()?;
    let (aside, now) = (here.aside, here.now);
    Ok(Started {
        manifest: match &out {
            Some(out) => Start::prepare(out, &after, aside, now)?,
            None => Start::prepare_new(&place_of(&after, here)?, &after, aside, now)?,
        },
        changed: before.bytes() != after.bytes(),
        of,
        until,
    })
}

/// Where in the folder a manifest goes that is somebody's own file: it is named after its pod.
fn place_of(manifest: &Manifest, here: &Here<'_>) -> Result<PathBuf, Failure> {
    let pod = manifest.pod().name;
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let begins = pod
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && pod.len() < 200 && pod.bytes().all(fine) {
        return Ok(here.pods.join(format!("{pod}.yaml")));
    }
    let message = format!("{pod:?} is no pod's name");
    Err(Failure::new(FailureKind::Refused, message).hint("correct `metadata.name` in the manifest"))
}

/// The manifest of a component that this plan took out.
fn by_plan<'h>(component: &str, here: &'h Here<'_>) -> Option<&'h Stop> {
    here.records.iter().find_map(|record| match record {
        Record::Stop(stopped) if stopped.of.component == component => Some(&stopped.manifest),
        _ => None,
    })
}

/// The manifest of a component that this plan took out, or else the copy that is meant.
fn taken_out(component: &str, copy: Option<&Path>, here: &Here<'_>) -> Result<Stop, Failure> {
    if let Some(stop) = by_plan(component, here) {
        return Ok(stop.clone());
    }
    if let Some(copy) = copy.and_then(Kept::of) {
        return Stop::of_kept(&copy, here.pods);
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
