//! A data directory restored beside the one in use.

use std::io;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcd_datadir::restore::{
    NewMember, RawDatabase, RestoreError, RestoreOptions, RestoreReport, RestoreTarget, Token,
    restore,
};
use serde::{Deserialize, Serialize};

use super::super::action::{Action, Done, Source};
use super::{Here, Undone, copy, data};
use crate::disk::files::{remove_folder, trouble};
use crate::failure::{Failure, FailureKind};
use crate::target::Target;
use crate::work::{Events, Flow, hash_file, on_progress, trouble_with_data, work};

/// A data directory that is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The WAL's, when that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_dir: Option<PathBuf>,
}

pub(super) fn prepare(target: &Target, here: &Here<'_>) -> Result<Restored, Failure> {
    let mut dirs = data::parts(target, here)?.into_iter();
    let data_dir = dirs.next().map(|part| part.places.new);
    Ok(Restored {
        data_dir: data_dir.unwrap_or_default(),
        wal_dir: dirs.next().map(|part| part.places.new.join(part.name)),
    })
}

impl Restored {
    pub(super) async fn apply(
        &self,
        action: &Action,
        here: &Here<'_>,
        events: &mut Events<'_>,
    ) -> Result<Done, Failure> {
        let Action::Restore {
            target,
            from,
            members,
            token,
            bump_revision,
        } = action
        else {
            return Err(Failure::new(FailureKind::Other, "it is no restore"));
        };
        // One that a run before this one made says nothing of itself; it is made again, from the same snapshot.
        self.remove_own()?;
        let (source, raw) = match from {
            Source::Received => (here.snapshot.clone(), RawDatabase::Refuse),
            Source::RanAlone | Source::Copied => (
                copy::database_of(target, here)?,
                RawDatabase::AcceptAfterCheck,
            ),
        };
        let members = NewMember::parse_list(members)
            .map_err(|error| Failure::new(FailureKind::Other, error.to_string()))?;
        let options = RestoreOptions {
            token: Token::Given(token.clone()),
            bump_revision: *bump_revision,
            raw,
            ..RestoreOptions::new(members)
        };
        if let Some(parent) = self.wal_dir.as_ref().and_then(|wal_dir| wal_dir.parent()) {
            std::fs::create_dir_all(parent).map_err(|error| trouble("make", parent, &error))?;
        }
        let into = RestoreTarget {
            wal_dir: self.wal_dir.clone(),
            ..RestoreTarget::new(target.member_name.clone(), self.data_dir.clone())
        };
        let flow = Arc::new(Flow::new("restoring"));
        let report = work(flow, events, move |flow| {
            restore(&source, &[into], &options, &mut on_progress(flow))
                .map_err(|error| failure(&error))
        })
        .await?;
        let owner = data::owner(target)?;
        for dir in self.own() {
            give(dir, owner).map_err(|error| trouble("give away", dir, &error))?;
        }
        done(&report)
    }

    /// It stays: it may have been in use, and then somebody wrote to it.
    pub(super) fn undo(&self) -> Undone {
        let is_there = self.data_dir.symlink_metadata().is_ok();
        Undone {
            kept: is_there
                .then(|| self.data_dir.clone())
                .into_iter()
                .collect(),
            left: Vec::new(),
        }
    }

    /// The folders that are this plan's.
    fn own(&self) -> impl Iterator<Item = &Path> {
        let above_wal = self.wal_dir.as_ref().and_then(|wal_dir| wal_dir.parent());
        std::iter::once(self.data_dir.as_path()).chain(above_wal)
    }

    fn remove_own(&self) -> Result<(), Failure> {
        self.own().try_for_each(remove_folder)
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
        .ok_or_else(|| Failure::new(FailureKind::Other, "nothing was restored"))?;
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
            Failure::new(FailureKind::Refused, error.to_string())
        }
        error => Failure::new(FailureKind::Other, error.to_string()),
    }
}

/// The snapshot is in the plan's folder, and it is the one.
pub(super) async fn received(
    here: &Here<'_>,
    sha256: &str,
    bytes: u64,
    events: &mut Events<'_>,
) -> Result<Done, Failure> {
    let path = here.snapshot.clone();
    let wanted = sha256.to_owned();
    let flow = Arc::new(Flow::new("checking"));
    work(flow, events, move |flow| {
        let read = |error| trouble("read", &path, &error);
        let mut file = std::fs::File::open(&path)
            .map_err(read)
            .map_err(|failure| failure.hint("the snapshot has to be sent to this host first"))?;
        flow.of(bytes);
        let found = hash_file(&mut file, flow, read)?;
        if found.size_bytes == bytes && found.sha256 == wanted {
            Ok(Done::Plain)
        } else {
            let message = format!("{} is not the snapshot of this plan", path.display());
            Err(Failure::new(FailureKind::Corrupt, message)
                .hint("move it away; the plan then has it sent again"))
        }
    })
    .await
}
