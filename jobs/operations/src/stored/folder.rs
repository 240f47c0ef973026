//! A folder of stored snapshots: what lies there, and taking one away.

use std::collections::BTreeMap;
use std::path::Path;

use etcd_datadir::disk::if_there;
use jiff::Timestamp;

use super::description::Description;
use super::retention::{self, Rules};
use crate::advice::Task;
use crate::disk::files::{entries, remove_file, sync_folder_of, trouble};
use crate::failure::Failure;
use crate::report::{Checked, KeptSnapshot, KeptState, NO_OBJECTS, PrunedSnapshot, Reason};
use crate::snapshot_name::ENDINGS;
use crate::snapshot_name::SnapshotName;

/// The snapshots in a folder, by name; none when it is not there.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<KeptSnapshot>, Failure> {
    let mut kept = Vec::new();
    for entry in entries(folder)? {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that is gone was removed since the folder was read.
        if let Looked::Snapshot(snapshot) = look(folder, name)? {
            kept.push(*snapshot);
        }
    }
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kept)
}

/// One snapshot.
///
/// # Errors
/// `FailureKind::Missing` when there is no such file; `FailureKind::Refused` when it is no file.
pub(crate) fn find(folder: &Path, name: &SnapshotName) -> Result<KeptSnapshot, Failure> {
    let path = name.path_in(folder);
    match look(folder, name.clone())? {
        Looked::Snapshot(snapshot) => Ok(*snapshot),
        Looked::Gone => Err(missing(&path)),
        Looked::Foreign => Err(Failure::refused(format!(
            "{} is not a snapshot of kubectl etcd",
            path.display()
        ))),
    }
}

/// What there is under a name.
enum Looked {
    Snapshot(Box<KeptSnapshot>),
    /// Something that is no snapshot.
    Foreign,
    Gone,
}

fn look(folder: &Path, name: SnapshotName) -> Result<Looked, Failure> {
    let path = name.path_in(folder);
    let found = if_there(path.symlink_metadata());
    let Some(found) = found.map_err(|error| trouble("look at", &path, &error))? else {
        return Ok(Looked::Gone);
    };
    if !found.is_file() {
        return Ok(Looked::Foreign);
    }
    let description = Description::beside(&path);
    // Others are listed only when something describes them.
    let ours = ENDINGS.iter().any(|end| name.as_str().ends_with(end));
    if !ours && !matches!(description, Ok(Some(_))) {
        return Ok(Looked::Foreign);
    }
    let size_bytes = found.len();
    let state = state(size_bytes, &description);
    Ok(Looked::Snapshot(Box::new(KeptSnapshot {
        name,
        size_bytes,
        snapshot: description.ok().flatten().map(|d| d.snapshot),
        state,
    })))
}

fn state(size: u64, description: &Result<Option<Description>, Failure>) -> KeptState {
    let unknown = |why: String| KeptState::Unknown { why };
    let description = match description {
        Ok(Some(description)) => description,
        Ok(None) => return unknown("nothing describes it".to_owned()),
        Err(failure) => return unknown(failure.message.clone()),
    };
    if size != description.snapshot.size_bytes {
        let described = description.snapshot.size_bytes;
        return KeptState::Damaged {
            what: format!("it has {size} bytes, and had {described} when it was taken"),
        };
    }
    let is_damaged = description
        .checked
        .as_ref()
        .is_some_and(|check| check.damage.is_some());
    if description.snapshot.is_empty() && !is_damaged {
        return unknown(NO_OBJECTS.to_owned());
    }
    match &description.checked {
        None => KeptState::Verified {
            at: description.snapshot.taken_at,
            how: Checked::WhileSaving,
        },
        Some(check) => match &check.damage {
            None => KeptState::Verified {
                at: check.at,
                how: Checked::Again,
            },
            Some(what) => KeptState::Damaged { what: what.clone() },
        },
    }
}

/// Whether a snapshot is ours to remove: only what is described is.
///
/// # Errors
/// That it is not.
pub(crate) fn check_ours(folder: &Path, name: &SnapshotName) -> Result<(), Failure> {
    let path = name.path_in(folder);
    if Description::beside(&path)?.is_some() {
        return Ok(());
    }
    let message = match path.symlink_metadata() {
        Ok(_) => format!(
            "nothing describes {}: it is not ours to remove",
            path.display()
        ),
        Err(_) => return Err(missing(&path)),
    };
    Err(Failure::refused(message).hint("rm on the node removes it"))
}

fn missing(path: &Path) -> Failure {
    Failure::missing(format!("{} is not there", path.display())).hint(Task::ListSnapshots)
}

/// Takes a snapshot away, and then what describes it.
///
/// # Errors
/// As [`check_ours`], or when the disk does not.
pub(crate) fn remove(folder: &Path, name: &SnapshotName) -> Result<(), Failure> {
    check_ours(folder, name)?;
    let path = name.path_in(folder);
    // In this order: what is left of a removal that was stopped is never a file that nobody knows.
    for gone in [path.clone(), Description::path_of(&path)] {
        remove_file(&gone)?;
    }
    sync_folder_of(&path)
}

/// Which of these may go by the rules, and why the others stay, newest first. The snapshots of each cluster are looked
/// at by themselves: those of an old one do not make room for those of the new one.
pub(crate) fn plan(kept: &[KeptSnapshot], rules: &Rules, now: Timestamp) -> Vec<PrunedSnapshot> {
    let mut clusters: BTreeMap<_, Vec<(Timestamp, &KeptSnapshot)>> = BTreeMap::new();
    let mut planned = Vec::new();
    for one in kept {
        match (&one.state, &one.snapshot) {
            (KeptState::Verified { .. }, Some(snapshot)) => clusters
                .entry(snapshot.cluster_id)
                .or_default()
                .push((snapshot.taken_at, one)),
            _ => planned.push(PrunedSnapshot::untouched(one)),
        }
    }
    for mut of_one in clusters.into_values() {
        of_one.sort_by_key(|(taken_at, _)| *taken_at);
        let taken: Vec<_> = of_one.iter().map(|(taken_at, _)| *taken_at).collect();
        let reasons: Vec<Vec<Reason>> = retention::decide(&taken, rules, now);
        let judged = of_one.iter().zip(reasons).rev();
        planned.extend(judged.map(|((_, one), reasons)| PrunedSnapshot::judged(one, reasons)));
    }
    planned
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
