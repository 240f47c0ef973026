//! The file systems that etcd and kubelet write to.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};

use crate::failure::{Answer, Failure};
use crate::root;

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskLook {
    /// A folder on it.
    pub path: PathBuf,
    /// What it has.
    pub space: Answer<DiskSpace>,
}

/// What a file system has. Free is what is free for this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskSpace {
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// What of it is free, in bytes.
    pub free_bytes: u64,
    /// How many files it can have; 0: it has no such limit.
    pub inodes: u64,
    /// How many more it can have.
    pub free_inodes: u64,
}

/// The file systems of these folders, each once. Of a folder that is not there, the nearest above it is looked at.
pub(super) fn look(root: &Path, folders: &[&Path]) -> Vec<DiskLook> {
    let mut seen = BTreeSet::new();
    let mut disks = Vec::new();
    for folder in folders {
        let there = folder
            .ancestors()
            .filter_map(|path| Some((path, root::below(root, path).ok()?)))
            .find(|(_, found)| found.exists());
        let Some((path, found)) = there else { continue };
        if found
            .metadata()
            .is_ok_and(|found| !seen.insert(found.dev()))
        {
            continue;
        }
        let failed =
            |error: rustix::io::Errno| Failure::other(format!("{}: {error}", path.display()));
        disks.push(DiskLook {
            path: path.to_owned(),
            space: statvfs(&found)
                .map(|place| DiskSpace {
                    size_bytes: place.f_blocks.saturating_mul(place.f_frsize),
                    free_bytes: place.f_bavail.saturating_mul(place.f_frsize),
                    inodes: place.f_files,
                    free_inodes: place.f_favail,
                })
                .map_err(failed)
                .into(),
        });
    }
    disks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_on_the_disk_of_the_nearest_above_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("var")).unwrap();
        let folders = ["/var/lib/etcd", "/var", "/none"].map(Path::new);
        let disks = look(root.path(), &folders);
        assert_eq!(disks.len(), 1, "all on one disk");
        assert_eq!(disks[0].path, Path::new("/var"));
        let space = disks[0].space.ok().unwrap();
        assert!(space.size_bytes >= space.free_bytes && space.size_bytes > 0);
    }
}
