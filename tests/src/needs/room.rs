//! Memory, and room on the disks that parts, Go's cache and cargo's folder lie on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Wanted, Work};
use crate::parts::{Part, target_folder};
use crate::paths;
use crate::process::success;

const MEGA: u64 = 1_000_000;
const GIGA: u64 = 1000 * MEGA;

/// One control-plane node.
const NODE: u64 = 600 * MEGA;
/// The linker of kube-apiserver, or two compilers of large crates.
const BUILD: u64 = 2 * GIGA;

/// What is to be said about memory; `None` when enough is free for so many more nodes.
pub(super) fn memory(nodes: u8) -> Option<String> {
    let free = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let least = u64::from(nodes) * NODE + BUILD;
    (free < least).then(|| {
        format!(
            "too little memory: {} are free, {} are needed; end other programs, or use a larger machine",
            gigabytes(free),
            gigabytes(least)
        )
    })
}

/// Bytes that programs can get, of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// What is to be said about room; `None` when there is enough for what is not built yet.
pub(super) fn disk(wanted: &Wanted) -> Option<String> {
    let needed = needed(wanted.work, &wanted.parts).ok()?;
    let mut disks: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
    for (folder, bytes) in needed {
        let Some((there, meta)) = existing(&folder) else {
            continue;
        };
        disks.entry(meta.dev()).or_insert((there, 0)).1 += bytes;
    }
    disks.values().find_map(|(folder, bytes)| {
        let stat = rustix::fs::statvfs(folder).ok()?;
        let free = stat.f_bavail * stat.f_frsize;
        (free < *bytes).then(|| {
            format!(
                "too little room: {} is on a disk with {} free, {} are needed; make room, or name a folder on another disk: {}",
                folder.display(),
                gigabytes(free),
                gigabytes(*bytes),
                VARIABLES,
            )
        })
    })
}

const VARIABLES: &str =
    "KUBECTL_ETCD_TESTBED (clusters and their parts), GOCACHE, GOMODCACHE, CARGO_TARGET_DIR";

/// Folders, and the bytes that the work adds to each: no more than it surely does, so that nobody is refused who has the room.
fn needed(work: Work, parts: &[Part]) -> Result<Vec<(PathBuf, u64)>> {
    let missing = || parts.iter().filter(|part| !part.is_there());
    let sum = |of: fn(&Part) -> u64| missing().map(of).sum::<u64>() * MEGA;
    // Disks, checkpoints and logs of clusters.
    let clusters = match work {
        Work::Cluster | Work::Plugin => GIGA,
        Work::Tests => 2 * GIGA,
    };
    let mut needed = vec![(paths::root()?, clusters + sum(|part| part.megabytes))];
    if missing().next().is_some() {
        needed.push((go_folder("GOCACHE")?, sum(|part| part.compiled_megabytes)));
        needed.push((go_folder("GOMODCACHE")?, sum(|part| part.module_megabytes)));
    }
    // What cargo has built says little about what it will build again; a whole build is what is looked for.
    let built = |name: &str| target_folder().map(|folder| folder.join("debug").join(name).exists());
    match work {
        Work::Cluster => {}
        Work::Plugin if built("kubectl-etcd")? => {}
        Work::Plugin => needed.push((target_folder()?, 2 * GIGA)),
        Work::Tests if built("etcd-job")? => needed.push((target_folder()?, GIGA)),
        Work::Tests => needed.push((target_folder()?, 6 * GIGA)),
    }
    Ok(needed)
}

fn go_folder(variable: &str) -> Result<PathBuf> {
    let told = success(Command::new("go").args(["env", variable]).current_dir("/"))?;
    Ok(PathBuf::from(told.trim()))
}

/// The folder, or the one above it that exists.
fn existing(folder: &Path) -> Option<(PathBuf, fs::Metadata)> {
    folder
        .ancestors()
        .find_map(|path| Some((path.to_owned(), fs::metadata(path).ok()?)))
}

fn gigabytes(bytes: u64) -> String {
    format!("{}.{} GB", bytes / GIGA, bytes % GIGA / (100 * MEGA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_can_get_is_told_from_what_is_unused() {
        let meminfo = "MemTotal: 8000000 kB\nMemFree: 100 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available(meminfo), Some(2 << 20));
    }

    #[test]
    fn more_nodes_than_memory_holds_are_refused() {
        assert_eq!(memory(0), None);
        let told = memory(u8::MAX).unwrap();
        assert!(told.contains("155.0 GB are needed"), "{told}");
    }

    #[test]
    fn a_folder_that_is_not_there_yet_lies_where_the_one_above_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let (there, _) = existing(&folder.path().join("a/b/c")).unwrap();
        assert_eq!(there, folder.path());
    }
}
