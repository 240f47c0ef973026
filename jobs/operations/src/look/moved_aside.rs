//! What earlier work left: data that was moved aside, a plan that was not ended.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::root;
use crate::state::CURRENT_PLAN;

/// No plan's id is longer.
const LONGEST_ID: usize = 200;

/// A folder with a member's data that is not in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutAside {
    /// The folder.
    pub path: PathBuf,
    /// When it was last changed, as its date says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
}

/// A plan that was begun on this host and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnfinishedPlan {
    /// Its id.
    pub id: String,
}

/// Folders with a member's data beside a data directory and in it: those that begin with its name, such as
/// `/var/lib/etcd-2026-11-20T210000Z` and `/var/lib/etcd/member.old`. The newest first.
///
/// # Errors
/// When the folder above the data directory cannot be read.
pub(super) fn data(root: &Path, data_dir: &Path) -> Result<Vec<PutAside>, Failure> {
    let (Some(above), Some(name)) = (data_dir.parent(), data_dir.file_name()) else {
        return Ok(Vec::new());
    };
    let siblings = entries(root, above)?.into_iter();
    let beside = siblings
        .filter(|path| starts_with(path, name.as_encoded_bytes()) && path.join("member").is_dir());
    // A data directory that is not there has nothing in it.
    let inside = entries(root, data_dir).unwrap_or_default().into_iter();
    let inside = inside.filter(|path| {
        starts_with(path, b"member") && (path.join("snap").is_dir() || path.join("wal").is_dir())
    });
    let mut found: Vec<PutAside> = beside
        .chain(inside)
        .map(|path| PutAside {
            modified: path
                .metadata()
                .and_then(|found| found.modified())
                .ok()
                .and_then(|time| Timestamp::try_from(time).ok()),
            path: shown(root, &path),
        })
        .collect();
    found.sort_by(|one, other| {
        other
            .modified
            .cmp(&one.modified)
            .then(one.path.cmp(&other.path))
    });
    Ok(found)
}

/// The plan that was begun on this host and not ended.
///
/// # Errors
/// When that cannot be told.
pub(super) fn plan(root: &Path) -> Result<Option<UnfinishedPlan>, Failure> {
    let text = match root::read_text(root, CURRENT_PLAN) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let message = format!("{CURRENT_PLAN}: {error}");
            return Err(Failure::missing(message));
        }
    };
    let id: String = text.trim().chars().take(LONGEST_ID).collect();
    Ok((!id.is_empty()).then_some(UnfinishedPlan { id }))
}

/// What is in a folder, in the order of names.
fn entries(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = root::below(root, folder).and_then(|folder| {
        let entries = folder.read_dir()?;
        entries.map(|entry| Ok(entry?.path())).collect()
    });
    let mut entries: Vec<PathBuf> =
        entries.map_err(|error| Failure::missing(format!("{}: {error}", folder.display())))?;
    entries.sort();
    Ok(entries)
}

/// Whether a path's name begins with a text and goes on.
fn starts_with(path: &Path, text: &[u8]) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(text) && name.len() > text.len()
}

/// A path as the host knows it.
fn shown(root: &Path, path: &Path) -> PathBuf {
    let path = path.strip_prefix(root).unwrap_or(path);
    let path = Path::new("/").join(path);
    path.to_string_lossy().into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_beside_and_inside_is_found_and_other_folders_are_not() {
        let root = tempfile::tempdir().unwrap();
        for folder in [
            "var/lib/etcd/member/snap",
            "var/lib/etcd/member.old/snap",
            "var/lib/etcd/members",
            "var/lib/etcd-2026-11-20T210000Z/member/snap",
            "var/lib/etcd-tools",
            "var/lib/kubelet/member",
        ] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let found = data(root.path(), Path::new("/var/lib/etcd")).unwrap();
        let mut paths: Vec<&Path> = found.iter().map(|one| one.path.as_path()).collect();
        paths.sort();
        let expected = [
            "/var/lib/etcd/member.old",
            "/var/lib/etcd-2026-11-20T210000Z",
        ];
        assert_eq!(
            paths,
            expected.map(Path::new),
            "by the parts of their paths"
        );
        assert!(data(root.path(), Path::new("/srv/none/etcd")).is_err());
    }

    #[test]
    fn a_plan_that_was_not_ended_is_named() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(plan(root.path()).unwrap(), None);
        let current = root.path().join(&CURRENT_PLAN[1..]);
        std::fs::create_dir_all(current.parent().unwrap()).unwrap();
        std::fs::write(&current, "recover-2026-11-22T083000Z\n").unwrap();
        let found = plan(root.path()).unwrap().unwrap();
        assert_eq!(found.id, "recover-2026-11-22T083000Z");
    }
}
