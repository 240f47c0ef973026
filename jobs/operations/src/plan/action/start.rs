//! A component started: its manifest in, perhaps changed, and it is up.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::act::{Act, ActRecord, OwnManifest, StepContext, Undoing, Undone};
use super::pods::{self, OfText};
use super::stop::StopRecord;
use super::{Action, Done, Readiness};
use crate::failure::Failure;
use crate::manifest::{Edit, Kept, Manifest, ManifestFile, Start, Stop};

/// Brings back a component's manifest that was taken out, changed as asked, and waits for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartComponent {
    /// The component.
    pub component: String,
    /// The manifest that is brought back, where the plan itself has not taken one out; none: the last that was taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<PathBuf>,
    /// What is changed in it, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// How far it has to be.
    pub until: Readiness,
}

/// A component brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartRecord {
    /// Its manifest's way in.
    pub(crate) manifest: Start,
    /// The component, with its manifest as it goes in.
    pub(crate) of: OfText,
    /// Whether it is another one than the one that was taken out.
    pub(crate) changed: bool,
    /// How far it has to be.
    pub(crate) until: Readiness,
}

impl ActRecord for StartRecord {
    const NAME: &'static str = "start";
}

impl Act for StartComponent {
    type Record = StartRecord;

    fn describe(&self) -> String {
        if self.edits.is_empty() {
            return format!("start {}", self.component);
        }
        let edits: Vec<String> = self.edits.iter().map(ToString::to_string).collect();
        format!("start {} with {}", self.component, edits.join(", "))
    }

    async fn prepare(&self, step: &mut StepContext<'_>) -> Result<StartRecord, Failure> {
        let (component, path) = (&self.component, self.manifest.as_deref());
        let own_file = path.filter(|path| Kept::of(path).is_none());
        let (before, out) = match own_file {
            Some(path) if by_plan(component, step)?.is_none() => {
                (ManifestFile::read(path)?.manifest, None)
            }
            _ => {
                let out = taken_out(component, path, step)?;
                (ManifestFile::read(&out.kept_now())?.manifest, Some(out))
            }
        };
        let mut after = before.clone();
        for edit in &self.edits {
            after = after.edit(component, edit)?.manifest;
        }
        let of = OfText::new(component, &after, step);
        of.pod()?;
        let (archive, now) = (&step.host.archive, step.now);
        Ok(StartRecord {
            manifest: match &out {
                Some(out) => Start::prepare(out, &after, archive, now)?,
                None => Start::prepare_new(&place_of(&after, step)?, &after, archive, now)?,
            },
            changed: before.bytes() != after.bytes(),
            of,
            until: self.until,
        })
    }

    async fn apply(
        &self,
        record: &StartRecord,
        step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        let runtime = pods::runtime().await?;
        record.manifest.apply(&record.of.manifest()?)?;
        pods::up(
            &record.of.pod()?,
            &runtime,
            record.until.wanted(),
            step.events,
        )
        .await?;
        Ok(Done::Started {
            changed: record.changed,
            manifest: record.manifest.manifest.clone(),
        })
    }

    /// It is stopped again, and its manifest goes aside.
    async fn undo(&self, record: &StartRecord, undo: &mut Undoing<'_>) -> Result<Undone, Failure> {
        let runtime = pods::runtime().await?;
        record.manifest.undo()?;
        pods::stop(&record.of.pod()?, &runtime, undo.events).await?;
        Ok(Undone::default())
    }

    fn manifest(
        &self,
        record: &StartRecord,
        _was_done: bool,
    ) -> Result<Option<OwnManifest>, Failure> {
        let start = &record.manifest;
        let mut own = vec![start.after.clone()];
        own.extend(start.before()?);
        Ok(Some(OwnManifest {
            path: start.manifest.clone(),
            own,
        }))
    }
}

/// Where in the folder a manifest goes that is somebody's own file: it is named after its pod.
fn place_of(manifest: &Manifest, context: &StepContext<'_>) -> Result<PathBuf, Failure> {
    let pod = manifest.pod().name;
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let begins = pod
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && pod.len() < 200 && pod.bytes().all(fine) {
        return Ok(context.host.pods.join(format!("{pod}.yaml")));
    }
    let message = format!("{pod:?} is no pod's name");
    Err(Failure::refused(message).hint("correct `metadata.name` in the manifest"))
}

/// The manifest of a component that this plan took out.
fn by_plan(component: &str, context: &StepContext<'_>) -> Result<Option<Stop>, Failure> {
    for (action, record) in &context.begun {
        if let Action::Stop(stop) = action
            && stop.component == component
        {
            return Ok(Some(record.read::<StopRecord>()?.manifest));
        }
    }
    Ok(None)
}

/// The manifest of a component that this plan took out, or else the copy that is meant.
fn taken_out(
    component: &str,
    copy: Option<&Path>,
    context: &StepContext<'_>,
) -> Result<Stop, Failure> {
    if let Some(stop) = by_plan(component, context)? {
        return Ok(stop);
    }
    if let Some(copy) = copy.and_then(Kept::of) {
        return Stop::of_kept(&copy, &context.host.pods);
    }
    let known = context.known()?;
    let kept = known.of(component)?.and_then(|found| found.kept);
    let kept = kept.ok_or_else(|| {
        let message = format!(
            "no manifest of {component} was taken out: there is none in {}",
            context.host.archive.folder().display()
        );
        Failure::missing(message)
            .hint("if it lies elsewhere, move it into the folder of the static pods")
    })?;
    Stop::of_kept(kept, &context.host.pods)
}
