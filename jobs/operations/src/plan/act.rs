//! The actions: how each is prepared, done and taken back.
//!
//! An action becomes a [`Record`] while nothing is changed yet: which bytes go where, under which names. The record goes into
//! the journal, then it is applied. Applying and taking back do what is left to do, so that both can be done again.

mod alone;
mod containers;
mod copy;
mod data;
mod member;
mod pods;
mod restore;
mod start;
mod stop;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, Done};
use crate::failure::{Failure, FailureKind};
use crate::manifest::{Aside, Folder, Known, ManifestFile, Selection};
use crate::plan_id::{PlanId, PlanKind};
use crate::work::Events;

pub use alone::Alone;
pub use copy::CopyData;
pub use data::{Move, Moves};
pub use member::Added;
pub use pods::OfText;
pub use restore::Restored;
pub use start::Started;
pub use stop::Stopped;

/// What a step will do exactly, with what is needed to take it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// It leaves nothing to take back.
    Nothing,
    /// A manifest is taken out.
    Stop(Stopped),
    /// A manifest is brought back.
    Start(Started),
    /// Folders are moved.
    Moves(Moves),
    /// A data directory is restored.
    Restore(Restored),
    /// The data is copied.
    Copy(CopyData),
    /// etcd runs alone.
    Alone(Alone),
    /// A learner is added.
    AddLearner(Added),
}

/// How far a step was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undone {
    /// What could not be taken back, or is not as it was, in a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// Folders that nobody uses any more, and that somebody may have written to while they were in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<PathBuf>,
}

impl Undone {
    fn but(left: impl Into<String>) -> Self {
        Self {
            left: vec![left.into()],
            kept: Vec::new(),
        }
    }
}

/// Where a step is done.
pub(super) struct Here<'a> {
    /// The plan.
    pub(super) id: &'a PlanId,
    /// What it does.
    pub(super) kind: PlanKind,
    /// The records of its steps here, the newest first.
    pub(super) records: Vec<&'a Record>,
    /// The snapshot that was sent for it.
    pub(super) snapshot: PathBuf,
    /// The node's name.
    pub(super) node: &'a str,
    /// The folder of the static pods.
    pub(super) pods: &'a Path,
    /// The pod that is meant by etcd; none: the one that the apiserver uses.
    pub(super) etcd: Option<&'a str>,
    /// Where manifests go that are taken out.
    pub(super) aside: &'a Aside,
    /// The time for new names.
    pub(super) now: Timestamp,
}

impl Here<'_> {
    /// What lies in the folder of the static pods.
    pub(super) fn folder(&self) -> Result<Folder, Failure> {
        Ok(Folder::read(self.pods)?.meaning(self.etcd))
    }

    /// The manifest of a component in that folder.
    pub(super) fn manifest_of(&self, component: &str) -> Result<ManifestFile, Failure> {
        let folder = self.folder()?;
        let found = folder.of_component(component)?;
        found.cloned().ok_or_else(|| {
            let message = format!("no manifest in {} runs {component}", self.pods.display());
            Failure::new(FailureKind::Missing, message)
        })
    }

    /// What is known of manifests, those that were taken out among it.
    pub(super) fn known(&self) -> Result<Known, Failure> {
        let selection = Selection {
            etcd: self.etcd.map(str::to_owned),
            ..Selection::default()
        };
        Known::read_below(Path::new("/"), self.pods, &selection)
    }
}

impl Action {
    /// Looks at everything this needs and says what exactly will be done. Changes nothing.
    pub(super) async fn prepare(&self, here: &Here<'_>) -> Result<Record, Failure> {
        match self {
            Self::Stop { component } => stop::prepare(component, here).await.map(Record::Stop),
            Self::Start {
                component,
                manifest,
                edits,
                until,
            } => start::prepare(component, manifest.as_deref(), edits, *until, here)
                .map(Record::Start),
            Self::SwapData { target, restored } => {
                data::prepare(target, *restored, here).map(Record::Moves)
            }
            Self::Restore { target, .. } => restore::prepare(target, here).map(Record::Restore),
            Self::CopyData { target } => copy::prepare(target, here).map(Record::Copy),
            Self::RunAlone { target, manifest } => {
                alone::prepare(target, manifest, here).map(Record::Alone)
            }
            Self::AddLearner {
                target,
                name,
                peer_urls,
            } => Ok(Record::AddLearner(Added {
                target: target.clone(),
                name: name.clone(),
                peer_urls: peer_urls.clone(),
            })),
            Self::Await { .. }
            | Self::Receive { .. }
            | Self::Promote { .. }
            | Self::RemoveMember { .. }
            | Self::RemoveCopy { .. }
            | Self::EndContainers { .. }
            | Self::RestartKubelet {} => Ok(Record::Nothing),
        }
    }

    /// Does what is left to do of it.
    pub(super) async fn apply(
        &self,
        record: &Record,
        here: &Here<'_>,
        events: &mut Events<'_>,
    ) -> Result<Done, Failure> {
        match (self, record) {
            (_, Record::Stop(record)) => record.apply(events).await,
            (_, Record::Start(record)) => record.apply(events).await,
            (_, Record::Moves(record)) => record.apply(),
            (action, Record::Restore(record)) => record.apply(action, here, events).await,
            (_, Record::Copy(record)) => record.apply(events).await,
            (_, Record::Alone(record)) => record.apply(events).await,
            (_, Record::AddLearner(record)) => record.apply().await,
            (Self::Await { component, until }, Record::Nothing) => {
                start::await_up(component, *until, here, events).await
            }
            (Self::Receive { sha256, bytes }, Record::Nothing) => {
                restore::received(here, sha256, *bytes, events).await
            }
            (
                Self::Promote {
                    target, peer_urls, ..
                },
                Record::Nothing,
            ) => member::promote(target, peer_urls, events).await,
            (
                Self::RemoveMember {
                    target, peer_urls, ..
                },
                Record::Nothing,
            ) => member::remove(target, peer_urls).await,
            (Self::EndContainers { components }, Record::Nothing) => {
                let (folder, runtime) = (here.folder()?, pods::runtime().await?);
                containers::end(&folder, components, here.node, &runtime).await?;
                containers::await_up(&folder, components, here.node, &runtime, events).await?;
                Ok(Done::Plain)
            }
            (Self::RemoveCopy { target }, Record::Nothing) => {
                copy::remove(target, here)?;
                Ok(Done::Plain)
            }
            (Self::RestartKubelet {}, Record::Nothing) => {
                crate::kubelet::restart().await.map(|()| Done::Plain)
            }
            (action, Record::Nothing) => Err(Failure::new(
                FailureKind::Other,
                format!("the journal has no record for: {action}"),
            )),
        }
    }

    /// Whether it changes who is a member.
    pub(super) fn is_of_members(&self) -> bool {
        matches!(
            self,
            Self::AddLearner { .. } | Self::Promote { .. } | Self::RemoveMember { .. }
        )
    }

    /// Takes back what was done of it.
    ///
    /// `done`: whether it was; else it was tried, and may have been done all the same. `learner_is_gone`: whether the learner
    /// that the plan added has been removed again.
    pub(super) async fn undo(
        &self,
        record: &Record,
        done: bool,
        learner_is_gone: bool,
        events: &mut Events<'_>,
    ) -> Result<Undone, Failure> {
        match record {
            Record::Stop(record) => record.undo(events).await,
            Record::Start(record) => record.undo(events).await,
            Record::Moves(record) => record.undo(learner_is_gone),
            Record::Restore(record) => Ok(record.undo()),
            Record::Copy(record) => record.undo(),
            Record::Alone(record) => record.undo(events).await,
            Record::AddLearner(record) => record.undo().await,
            Record::Nothing => Ok(match self {
                Self::Promote { name, .. } | Self::RemoveMember { name, .. } if !done => {
                    Undone::but(format!(
                        "{self} was tried and failed: what {name} is now is shown by kubectl etcd members"
                    ))
                }
                Self::Promote { name, .. } => Undone::but(format!(
                    "{name} stays a voting member: etcd makes no learner of a voter"
                )),
                Self::RemoveMember { name, .. } => Undone::but(format!(
                    "the member {name} stays removed: etcd takes no removed member back; kubectl etcd member replace, run on that host, adds it anew"
                )),
                _ => Undone::default(),
            }),
        }
    }
}
