//! Snapshots that are kept on the node. They need no etcd.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use etcd_datadir::verify::{Sha256State, Verdict, Verification, VerifyOptions};
use jiff::Timestamp;

use crate::advice;
use crate::advice::{Choice, Task};
use crate::disk::files::Replace;
use crate::failure::Failure;
use crate::pack::unpack::{self, Opened, Spool, UnpackError};
use crate::report::{
    Fate, KeptList, KeptState, PruneReport, RemovedSnapshots, Report, SnapshotReport,
};
use crate::snapshot_name::SnapshotName;
use crate::stored::description::{Check, Description};
use crate::stored::folder;
use crate::stored::retention::Rules;
use crate::work::{Events, Flow, fatal, verify_source, work};

pub(super) fn list(folder: &Path) -> Result<Report, Failure> {
    Ok(Report::SnapshotList(KeptList {
        folder: folder.to_owned(),
        snapshots: folder::list(folder)?,
    }))
}

/// What is sent is what the description says it is: who receives it compares.
pub(super) fn send(folder: &Path, name: &SnapshotName) -> Result<Report, Failure> {
    let found = folder::find(folder, name)?;
    let why = match &found.state {
        KeptState::Verified { .. } => return Ok(Report::SnapshotSend(found)),
        KeptState::Damaged { what } => format!("is damaged: {what}"),
        KeptState::Unknown { why } => format!("cannot be relied on: {why}"),
    };
    let message = format!("{} {why}", name.path_in(folder).display());
    Err(Failure::refused(message).hint("scp copies it as it is"))
}

/// Reads all of it again. What is found is noted beside it, so that lists and rules know.
pub(super) async fn verify(
    folder: &Path,
    name: &SnapshotName,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    // Before gigabytes are read: that there is something to compare with.
    folder::find(folder, name)?;
    let path = name.path_in(folder);
    let Some(described) = Description::beside(&path)? else {
        let message = format!("nothing describes {}", path.display());
        return Err(Failure::refused(message).hint(advice![
            "as root on the node: ",
            Task::VerifySnapshot.of("FILE")
        ]));
    };
    let (file, snapshot) = (path.clone(), described.snapshot.clone());
    let job = move |flow: &Flow| read_again(&file, &snapshot, flow);
    let flow = Arc::new(Flow::new("verifying"));
    let ReadAgain {
        damage,
        has_objects,
    } = work(flow, events, job).await?;
    let verdict = damage.clone().unwrap_or_else(|| "whole".to_owned());
    let check = Check {
        at: Timestamp::now(),
        damage,
    };
    let mut described = described.checked_again(check);
    // An earlier version did not look.
    described.snapshot.has_objects = has_objects.or(described.snapshot.has_objects);
    let noted = described.store(&path, Replace::OwnFile);
    noted.map_err(|failure| {
        let message = format!("it was read ({verdict}), which could not be noted: {failure}");
        Failure { message, ..failure }
    })?;
    Ok(Report::SnapshotVerify(folder::find(folder, name)?))
}

/// What was found when all of a snapshot was read again.
struct ReadAgain {
    /// What is wrong with it.
    damage: Option<String>,
    /// Whether an object of Kubernetes is in it; none: it could not be read.
    has_objects: Option<bool>,
}

/// Reads all of a snapshot. A packed one is unpacked beside itself.
fn read_again(path: &Path, described: &SnapshotReport, flow: &Flow) -> Result<ReadAgain, Failure> {
    let spool = Spool::new(path.parent().unwrap_or(Path::new(".")));
    let mut unpacking = false;
    let mut on_progress = |progress: etcd_datadir::progress::Progress| {
        if !unpacking {
            unpacking = true;
            flow.begin("unpacking");
        }
        flow.of(progress.total);
        flow.reached(progress.done);
        match flow.is_stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let opened = match unpack::open(path, &spool, &mut on_progress) {
        Ok(opened) => opened,
        Err(UnpackError::Damaged { what, .. } | UnpackError::NotASnapshot { what, .. }) => {
            return Ok(ReadAgain {
                damage: Some(what),
                has_objects: None,
            });
        }
        Err(UnpackError::Failed(failure)) => return Err(failure),
    };
    flow.begin("verifying");
    let found = verify_source(&opened.source, &VerifyOptions::default(), flow)?;
    Ok(ReadAgain {
        damage: damage(described, &opened, &found),
        has_objects: found.status.as_ref().map(|status| status.has_objects),
    })
}

/// What is wrong with a snapshot; also, that it is another one than is described.
fn damage(described: &SnapshotReport, opened: &Opened, found: &Verification) -> Option<String> {
    if found.verdict != Verdict::Reliable {
        let of_sha256 = || match found.sha256 {
            Sha256State::Wrong { .. } => "its sha256 is not the one etcd wrote at its end",
            _ => "its sha256 is missing, so that not all of it can be checked",
        };
        return Some(fatal(found).unwrap_or_else(|| of_sha256().to_owned()));
    }
    let same = opened.is_described_by(described)
        && found
            .status
            .as_ref()
            .is_some_and(|status| described.is_of(status));
    (!same).then(|| "it is a whole snapshot, but not the one that is described".to_owned())
}

pub(super) fn delete(folder: &Path, names: &[SnapshotName]) -> Result<Report, Failure> {
    // All or none, as far as can be known before.
    for name in names {
        folder::check_ours(folder, name)?;
    }
    for name in names {
        folder::remove(folder, name)?;
    }
    Ok(Report::SnapshotDelete(RemovedSnapshots {
        removed: names.to_vec(),
    }))
}

pub(super) fn prune(
    folder: &Path,
    rules: &Rules,
    remove: &[SnapshotName],
) -> Result<Report, Failure> {
    if rules.are_none() {
        let message = "no rule says what to keep";
        return Err(Failure::refused(message).hint(advice!["such as ", Choice::KeepLast.with("7")]));
    }
    let snapshots = folder::plan(&folder::list(folder)?, rules, Timestamp::now());
    let mut removed = Vec::new();
    let mut failed = None;
    for snapshot in &snapshots {
        if snapshot.fate != Fate::Goes || !remove.contains(&snapshot.name) {
            continue;
        }
        match folder::remove(folder, &snapshot.name) {
            Ok(()) => removed.push(snapshot.name.clone()),
            // Another run was faster.
            Err(_) if snapshot.name.path_in(folder).symlink_metadata().is_err() => {}
            // One that cannot be removed does not keep the others.
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    if let Some(failure) = failed {
        let message = format!("{} removed, but {failure}", removed.len());
        return Err(Failure { message, ..failure });
    }
    Ok(Report::SnapshotPrune(PruneReport { snapshots, removed }))
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
