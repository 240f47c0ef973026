//! The folders of etcd's data, and where a plan puts them.

use crate::advice;
use crate::advice::Task;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::act::StepContext;
use crate::disk::files::{is_there, trouble};
use crate::failure::Failure;
use crate::plan::places::Places;
use crate::static_pod::is_locked;
use crate::target::Target;

/// One folder that gets another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Move {
    /// Where it is.
    pub(crate) from: PathBuf,
    /// Where it goes.
    pub(crate) to: PathBuf,
}

/// Whose a target's data is, by user and group: that of the data there is, else of the directory for it.
pub(super) fn owner(target: &Target) -> Result<(u32, u32), Failure> {
    let (member, dir) = (target.data_dir.join("member"), &target.data_dir);
    let found = member.metadata().or_else(|_| dir.metadata());
    let found = found.map_err(|error| trouble("look at", dir, &error))?;
    Ok((found.uid(), found.gid()))
}

/// A folder of etcd's data and where a plan puts it.
pub(super) struct Part {
    /// Where etcd has it.
    pub(super) path: PathBuf,
    /// Its name in the plan's folders.
    pub(super) name: &'static str,
    /// The plan's folders for it.
    pub(super) places: Places,
}

/// `member`, and the WAL's folder when that is elsewhere.
pub(super) fn parts(target: &Target, context: &StepContext<'_>) -> Result<Vec<Part>, Failure> {
    let mut parts = vec![Part {
        path: target.data_dir.join("member"),
        name: "member",
        places: Places::of(&target.data_dir, context.plan)?,
    }];
    if let Some(wal_dir) = &target.wal_dir {
        let parent = wal_dir.parent().unwrap_or(wal_dir);
        let device = |path: &Path| path.metadata().map(|found| found.dev());
        let device = |path: &Path| device(path).map_err(|error| trouble("look at", path, &error));
        if is_there(wal_dir)? && device(wal_dir)? != device(parent)? {
            let message = format!(
                "the WAL's folder {} is a file system of its own and cannot be moved aside",
                wal_dir.display()
            );
            return Err(Failure::refused(message)
                .hint("give etcd a --wal-dir below that file system's top, then begin again"));
        }
        parts.push(Part {
            path: wal_dir.clone(),
            name: "wal",
            places: Places::of(wal_dir, context.plan)?,
        });
    }
    Ok(parts)
}

/// Refuses data that an etcd runs on.
///
/// # Errors
/// `FailureKind::Refused` when somebody has the lock on the database in it.
pub(super) fn refuse_in_use(member: &Path) -> Result<(), Failure> {
    let database = member.join("snap/db");
    if !is_locked(&database) {
        return Ok(());
    }
    let message = format!("an etcd runs on {}", member.display());
    Err(Failure::refused(message).hint(advice![
        "somebody has started it again: ",
        Task::StopComponent.of("etcd"),
        ", then begin where this ended"
    ]))
}
