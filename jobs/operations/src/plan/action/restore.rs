//! A data directory restored beside the one in use.

use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcd_datadir::restore::{
    NewMember, RawDatabase, RestoreError, RestoreOptions, RestoreReport, RestoreTarget, Token,
    restore,
};
use serde::{Deserialize, Serialize};

use super::act::{Act, ActRecord, StepContext, Undoing, Undone};
use super::{Done, RestoreInput, copy_data, data};
use crate::disk::files::{remove_folder, trouble};
use crate::failure::Failure;
use crate::target::Target;
use crate::work::{Flow, on_progress, trouble_with_data, work};

/// Makes a data directory beside the one in use; nothing is stopped or changed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreData {
    /// Whose it is.
    pub target: Target,
    /// What it is made from.
    pub from: RestoreInput,
    /// All members of the new cluster, as `--initial-cluster` has them.
    pub members: String,
    /// The token of the new cluster.
    pub token: String,
    /// How far the revision is raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bump_revision: Option<NonZeroU64>,
}

/// A data directory that is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RestoreRecord {
    /// The data directory.
    data_dir: PathBuf,
    /// The WAL's, when that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wal_dir: Option<PathBuf>,
}

impl ActRecord for RestoreRecord {
    const NAME: &'static str = "restore";
}

impl Act for RestoreData {
    type Record = RestoreRecord;

    fn describe(&self) -> String {
        "restore a data directory beside the one in use".to_owned()
    }

    async fn prepare(&self, step: &mut StepContext<'_>) -> Result<RestoreRecord, Failure> {
        let mut dirs = data::parts(&self.target, step)?.into_iter();
        let data_dir = dirs.next().map(|part| part.places.new);
        Ok(RestoreRecord {
            data_dir: data_dir.unwrap_or_default(),
            wal_dir: dirs.next().map(|part| part.places.new.join(part.name)),
        })
    }

    async fn apply(
        &self,
        record: &RestoreRecord,
        step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        // One that a run before this one made says nothing of itself; it is made again, from the same snapshot.
        record.own().try_for_each(remove_folder)?;
        let (source, raw) = match self.from {
            RestoreInput::Received => (step.snapshot.clone(), RawDatabase::Refuse),
            RestoreInput::RanAlone | RestoreInput::Copied => (
                copy_data::database_of(&self.target, step)?,
                RawDatabase::AcceptAfterCheck,
            ),
        };
        let members = NewMember::parse_list(&self.members)
            .map_err(|error| Failure::other(error.to_string()))?;
        let options = RestoreOptions {
            token: Token::Given(self.token.clone()),
            bump_revision: self.bump_revision,
            raw,
            ..RestoreOptions::new(members)
        };
        if let Some(parent) = record.above_wal() {
            std::fs::create_dir_all(parent).map_err(|error| trouble("make", parent, &error))?;
        }
        let into = RestoreTarget {
            wal_dir: record.wal_dir.clone(),
            ..RestoreTarget::new(self.target.member_name.clone(), record.data_dir.clone())
        };
        let flow = Arc::new(Flow::new("restoring"));
        let report = work(flow, step.events, move |flow| {
            restore(&source, &[into], &options, &mut on_progress(flow))
                .map_err(|error| failure(&error))
        })
        .await?;
        let owner = data::owner(&self.target)?;
        for dir in record.own() {
            give(dir, owner).map_err(|error| trouble("give away", dir, &error))?;
        }
        done(&report)
    }

    /// It stays: it may have been in use, and then somebody wrote to it.
    async fn undo(
        &self,
        record: &RestoreRecord,
        _undo: &mut Undoing<'_>,
    ) -> Result<Undone, Failure> {
        let is_there = record.data_dir.symlink_metadata().is_ok();
        let kept = is_there.then(|| record.data_dir.clone());
        Ok(Undone {
            kept: kept.into_iter().collect(),
            left: Vec::new(),
        })
    }
}

impl RestoreRecord {
    fn above_wal(&self) -> Option<&Path> {
        self.wal_dir.as_ref().and_then(|wal_dir| wal_dir.parent())
    }

    /// The folders that are this plan's.
    fn own(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.data_dir.as_path()).chain(self.above_wal())
    }
}

/// Gives a folder and all in it to the user and the group that etcd runs as: not always root.
fn give(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    lchown(path, Some(owner.0), Some(owner.1))?;
    if !path.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        give(&entry?.path(), owner)?;
    }
    Ok(())
}

fn done(report: &RestoreReport) -> Result<Done, Failure> {
    let member = report
        .members
        .first()
        .ok_or_else(|| Failure::other("nothing was restored"))?;
    Ok(Done::Restored {
        cluster_id: report.cluster_id,
        member_id: member.id,
        revision_before: report.revision_before,
        revision_after: report.revision_after,
    })
}

fn failure(error: &RestoreError) -> Failure {
    match error {
        RestoreError::Files(error) => trouble_with_data(error),
        RestoreError::Exists(_) | RestoreError::Raw { .. } | RestoreError::InUse { .. } => {
            Failure::refused(error.to_string())
        }
        error => Failure::other(error.to_string()),
    }
}
