//! What every action is: prepared, applied, undone.

use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::undo::Undo;
use super::{Action, Done};
use crate::advice::Advice;
use crate::failure::Failure;
use crate::manifest::{Aside, Folder, Known, ManifestFile, Selection, holds_another};
use crate::plan_id::PlanId;
use crate::work::Events;

/// An action: one kind of step.
///
/// It becomes a record while nothing is changed yet: which bytes go where, under which names. The record is in the journal
/// before it is applied. Applying and undoing do what is left to do, so both can be called any number of times, also after a
/// process that was killed in the middle.
pub(crate) trait Act: Send + Sync {
    /// What a step will do exactly, with all that is needed to resume or undo it.
    type Record: ActRecord;

    /// What it does, in a few words: `stop etcd`.
    fn describe(&self) -> String;

    /// Checks everything that the step needs, and says what exactly it will do. Changes nothing.
    fn prepare(
        &self,
        step: &mut StepContext<'_>,
    ) -> impl Future<Output = Result<Self::Record, Failure>> + Send;

    /// Does what is left to do.
    fn apply(
        &self,
        record: &Self::Record,
        step: &mut StepContext<'_>,
    ) -> impl Future<Output = Result<Done, Failure>> + Send;

    /// Undoes what was done, where [`Undo`] has that of this action.
    fn undo(
        &self,
        _record: &Self::Record,
        _undo: &mut Undoing<'_>,
    ) -> impl Future<Output = Result<Undone, Failure>> + Send {
        async { Ok(Undone::default()) }
    }

    /// Where [`Undo`] has that nothing is undone: the sentence that says what stays.
    ///
    /// `was_done`: whether the step was done; else it was tried.
    fn what_stays(&self, _was_done: bool) -> Advice {
        format!("{} cannot be undone", self.describe()).into()
    }

    /// Targets that a finished step put there and that no longer exist, so that undo is impossible.
    fn missing_targets(&self, _record: &Self::Record) -> Result<Vec<PathBuf>, Failure> {
        Ok(Vec::new())
    }

    /// The manifest that a step wrote or took out of the static pods' folder; none: the step touched no manifest.
    fn manifest(
        &self,
        _record: &Self::Record,
        _was_done: bool,
    ) -> Result<Option<OwnManifest>, Failure> {
        Ok(None)
    }
}

/// What an action writes into the journal. All fields have a default or are there since version 1.
pub(crate) trait ActRecord: Serialize + DeserializeOwned + Send + Sync {
    /// Its name in the journal. Several actions may have one.
    const NAME: &'static str;
}

/// The record of an action that leaves nothing to undo and prepares nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoRecord {}

impl ActRecord for NoRecord {
    const NAME: &'static str = "nothing";
}

/// A record as the journal has it: its fields, and its name as `record`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Record(Map<String, Value>);

impl Record {
    /// The field with the name.
    const NAME: &'static str = "record";

    pub(crate) fn new<R: ActRecord>(record: &R) -> Result<Self, Failure> {
        match serde_json::to_value(record) {
            Ok(Value::Object(mut fields)) => {
                fields.insert(Self::NAME.to_owned(), R::NAME.into());
                Ok(Self(fields))
            }
            other => Err(Failure::other(format!(
                "the record {} is no object: {other:?}",
                R::NAME
            ))),
        }
    }

    /// # Errors
    /// `FailureKind::Corrupt` when it is another action's.
    pub(crate) fn read<R: ActRecord>(&self) -> Result<R, Failure> {
        let not_one = |what: &dyn std::fmt::Display| {
            let message = format!("the journal has no record of {} here: {what}", R::NAME);
            Failure::corrupt(message)
                .hint("use the release that began the plan to resume or undo it")
        };
        match self.0.get(Self::NAME).and_then(Value::as_str) {
            Some(name) if name == R::NAME => {}
            other => return Err(not_one(&other.unwrap_or("a record without a name"))),
        }
        R::deserialize(&Value::Object(self.0.clone())).map_err(|error| not_one(&error))
    }
}

/// A manifest that a step wrote or took out, and the sha256 of what may lie in its place if nobody else has written there: what
/// the step left, and what an undo brings back, which somebody may have brought back by hand.
#[derive(Debug)]
pub(crate) struct OwnManifest {
    pub(crate) path: PathBuf,
    pub(crate) own: Vec<String>,
}

impl OwnManifest {
    /// Whether somebody else has written there.
    pub(crate) fn is_changed(&self) -> Result<bool, Failure> {
        for own in &self.own {
            if !holds_another(&self.path, own)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What undoing a step came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undone {
    /// What could not be undone, or is not as it was, in a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Advice>,
    /// Folders that nobody uses any more, and that somebody may have written to while they were in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<PathBuf>,
}

impl Undone {
    pub(crate) fn but(left: impl Into<Advice>) -> Self {
        Self {
            left: vec![left.into()],
            kept: Vec::new(),
        }
    }
}

/// The host on which steps are done.
#[derive(Debug)]
pub(crate) struct ThisHost {
    /// The node's name.
    pub(crate) node: String,
    /// The folder of the static pods.
    pub(crate) pods: PathBuf,
    /// Where manifests go that are taken out.
    pub(crate) archive: Aside,
}

/// What an action needs beside its own fields when it is prepared and applied.
pub(crate) struct StepContext<'a> {
    /// The plan.
    pub(crate) plan: &'a PlanId,
    /// What undo does once this step is done.
    pub(crate) undo: Undo,
    /// The plan's steps that have begun here, the newest first.
    pub(crate) begun: Vec<(&'a Action, &'a Record)>,
    /// The snapshot that was sent for the plan.
    pub(crate) snapshot: PathBuf,
    /// The host.
    pub(crate) host: &'a ThisHost,
    /// The pod that is meant by etcd; none: the one that the apiserver uses.
    pub(crate) etcd: Option<&'a str>,
    /// The time for new names.
    pub(crate) now: Timestamp,
    /// Takes its progress.
    pub(crate) events: &'a mut Events<'a>,
}

/// What an action needs beside its own fields when it is undone.
pub(crate) struct Undoing<'a> {
    /// Whether the learner that the plan added has been removed again.
    pub(crate) learner_removed: bool,
    /// Takes its progress.
    pub(crate) events: &'a mut Events<'a>,
}

impl StepContext<'_> {
    /// What lies in the folder of the static pods.
    pub(super) fn folder(&self) -> Result<Folder, Failure> {
        Ok(Folder::read(&self.host.pods)?.meaning(self.etcd))
    }

    /// The manifest of a component in that folder.
    pub(super) fn manifest_of(&self, component: &str) -> Result<ManifestFile, Failure> {
        let folder = self.folder()?;
        let found = folder.of_component(component)?;
        found.cloned().ok_or_else(|| folder.lacks(component))
    }

    /// What is known of manifests, the archived ones among them.
    pub(super) fn known(&self) -> Result<Known, Failure> {
        let selection = Selection {
            etcd: self.etcd.map(str::to_owned),
            ..Selection::default()
        };
        Known::read_below(Path::new("/"), &self.host.pods, &selection)
    }
}

/// An [`Act`] of any type, with its record as the journal has it: what performs steps knows actions as this.
pub(crate) trait AnyAct: Send + Sync {
    /// See [`Act::describe`].
    fn describe(&self) -> String;

    /// See [`Act::prepare`].
    fn prepare<'a>(
        &'a self,
        step: &'a mut StepContext<'_>,
    ) -> BoxFuture<'a, Result<Record, Failure>>;

    /// See [`Act::apply`].
    fn apply<'a>(
        &'a self,
        record: &'a Record,
        step: &'a mut StepContext<'_>,
    ) -> BoxFuture<'a, Result<Done, Failure>>;

    /// See [`Act::undo`].
    fn undo<'a>(
        &'a self,
        record: &'a Record,
        undo: &'a mut Undoing<'_>,
    ) -> BoxFuture<'a, Result<Undone, Failure>>;

    /// See [`Act::what_stays`].
    fn what_stays(&self, was_done: bool) -> Advice;

    /// See [`Act::missing_targets`].
    fn missing_targets(&self, record: &Record) -> Result<Vec<PathBuf>, Failure>;

    /// See [`Act::manifest`].
    fn manifest(&self, record: &Record, was_done: bool) -> Result<Option<OwnManifest>, Failure>;
}

impl<A: Act> AnyAct for A {
    fn describe(&self) -> String {
        Act::describe(self)
    }

    fn prepare<'a>(
        &'a self,
        step: &'a mut StepContext<'_>,
    ) -> BoxFuture<'a, Result<Record, Failure>> {
        Box::pin(async move { Record::new(&Act::prepare(self, step).await?) })
    }

    fn apply<'a>(
        &'a self,
        record: &'a Record,
        step: &'a mut StepContext<'_>,
    ) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(async move { Act::apply(self, &record.read()?, step).await })
    }

    fn undo<'a>(
        &'a self,
        record: &'a Record,
        undo: &'a mut Undoing<'_>,
    ) -> BoxFuture<'a, Result<Undone, Failure>> {
        Box::pin(async move { Act::undo(self, &record.read()?, undo).await })
    }

    fn what_stays(&self, was_done: bool) -> Advice {
        Act::what_stays(self, was_done)
    }

    fn missing_targets(&self, record: &Record) -> Result<Vec<PathBuf>, Failure> {
        Act::missing_targets(self, &record.read()?)
    }

    fn manifest(&self, record: &Record, was_done: bool) -> Result<Option<OwnManifest>, Failure> {
        Act::manifest(self, &record.read()?, was_done)
    }
}
