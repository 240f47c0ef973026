//! Folders with data of an etcd: which there are, when they were written to, and how far they go.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::super::cold::{Held, held};
use super::DataFolder;
use crate::plan_id::PlanKind;
use crate::root;

/// Where kubeadm has etcd's data.
const DEFAULT_DATA: &str = "/var/lib/etcd";

/// So many folders with data are told.
pub(super) const MOST_FOLDERS: usize = 5;

/// The data of etcds where kubeadm has it and beside that, those of other etcds aside; the newest first.
pub(in crate::look) fn data_folders(root: &Path, others: &[PathBuf]) -> Vec<DataFolder> {
    let usual = PathBuf::from(DEFAULT_DATA);
    let beside = siblings(root, &usual).into_iter();
    let folders = std::iter::once(usual).chain(beside);
    let mut found: Vec<DataFolder> = folders
        .filter(|path| !is_among(root, path, others))
        .filter_map(|path| {
            Some(DataFolder {
                modified: last_written(root, &path)?,
                path,
            })
        })
        .collect();
    found.sort_by(|one, other| {
        let order = other.modified.cmp(&one.modified);
        order.then_with(|| one.path.cmp(&other.path))
    });
    found.truncate(MOST_FOLDERS);
    found
}

/// When an etcd last wrote to a data directory: to its database or its log.
pub(super) fn last_written(root: &Path, data_dir: &Path) -> Option<Timestamp> {
    let member = root::below(root, data_dir).ok()?.join("member");
    let database = member.join("snap/db");
    database.metadata().ok()?;
    let log = std::fs::read_dir(member.join("wal")).into_iter().flatten();
    let log = log.flatten().map(|entry| entry.path());
    let times = log
        .chain([database])
        .filter_map(|path| path.metadata().ok()?.modified().ok());
    times
        .filter_map(|time| Timestamp::try_from(time).ok())
        .max()
}

/// Other folders beside a data directory. What a plan of this program put there is not meant.
pub(super) fn siblings(root: &Path, data_dir: &Path) -> Vec<PathBuf> {
    let (Some(above), Some(name)) = (data_dir.parent(), data_dir.file_name()) else {
        return Vec::new();
    };
    let of_plan = |file: &str| {
        let plans = [PlanKind::Restore, PlanKind::Recover, PlanKind::Replace].map(PlanKind::name);
        let name = name.to_string_lossy();
        plans.iter().any(|plan| {
            let with_time = format!("{name}-{plan}-");
            file.trim_start_matches('.').starts_with(&with_time)
        })
    };
    let entries = root::below(root, above).and_then(std::fs::read_dir);
    let entries = entries.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|file| *file.as_str() != *name && !of_plan(file))
        .map(|file| above.join(file))
        .collect()
}

/// What a data directory has; none: it cannot be told.
pub(super) fn held_in(root: &Path, data_dir: &Path, wal_dir: Option<&Path>) -> Option<Held> {
    let on_disk = |path: &Path| root::below(root, path).ok();
    held(&on_disk(data_dir)?, wal_dir.and_then(on_disk))
}

/// Whether another folder has data of the same member that goes further than the own.
pub(super) fn is_ahead(own: Option<Held>, other: Option<Held>) -> bool {
    own.zip(other).is_some_and(|(own, other)| {
        (own.cluster, own.member) == (other.cluster, other.member) && other.reach > own.reach
    })
}

/// Whether two paths of the host are one place: a folder may be a link, and the runtime tells where it leads.
pub(super) fn is_same(root: &Path, one: &Path, other: &Path) -> bool {
    let real = |path: &Path| root::below(root, path).ok();
    one == other
        || real(one)
            .zip(real(other))
            .is_some_and(|(one, other)| one == other)
}

pub(super) fn is_among(root: &Path, path: &Path, all: &[PathBuf]) -> bool {
    all.iter().any(|one| is_same(root, one, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClusterId, MemberId};
    use crate::look::LogPosition;

    #[test]
    fn only_the_same_members_data_outruns_its_own() {
        let at = |cluster: u64, member: u64, index: u64| {
            let reach = Some(LogPosition { term: 2, index });
            Some(Held {
                cluster: ClusterId(cluster),
                member: MemberId(member),
                reach: reach.filter(|reach| reach.index > 0),
            })
        };
        let own = at(1, 1, 100);
        assert!(is_ahead(own, at(1, 1, 101)));
        assert!(is_ahead(at(1, 1, 0), at(1, 1, 50)), "the own is beyond use");
        assert!(!is_ahead(own, at(1, 1, 100)), "a copy");
        assert!(!is_ahead(own, at(1, 2, 200)), "another member");
        assert!(!is_ahead(own, at(2, 1, 200)), "another cluster");
        assert!(!is_ahead(own, None) && !is_ahead(None, at(1, 1, 200)));
    }
}
