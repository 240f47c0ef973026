//! A copy of the data, on which etcd may do what could not be taken back.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::ioctl_ficlone;
use serde::{Deserialize, Serialize};

use super::super::action::Done;
use super::{Here, Undone, data};
use crate::disk::files::{make_folder_like, remove_folder, sync_folder_of, trouble};
use crate::failure::{Failure, FailureKind};
use crate::target::Target;
use crate::work::{Events, Flow, work};

/// The data directory that is copied and its copy, `member` and, where it is elsewhere, the WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyData {
    /// What is copied, and to where.
    pub copies: Vec<data::Move>,
}

/// Where the plan's copy of a target's data is: its data directory and its WAL's.
pub(super) fn places(target: &Target, here: &Here<'_>) -> Result<(PathBuf, PathBuf), Failure> {
    let parts = data::parts(target, here)?;
    let data_dir = parts
        .first()
        .map(|part| part.places.copy.clone())
        .unwrap_or_default();
    let wal_dir = match parts.get(1) {
        Some(part) => part.places.copy.join(part.name),
        None => data_dir.join("member/wal"),
    };
    Ok((data_dir, wal_dir))
}

/// The database of the copy.
pub(super) fn database_of(target: &Target, here: &Here<'_>) -> Result<PathBuf, Failure> {
    Ok(places(target, here)?.0.join("member/snap/db"))
}

pub(super) fn prepare(target: &Target, here: &Here<'_>) -> Result<CopyData, Failure> {
    let parts = data::parts(target, here)?.into_iter();
    let copies = parts.map(|part| data::Move {
        to: part.places.copy.join(part.name),
        from: part.path,
    });
    Ok(CopyData {
        copies: copies.collect(),
    })
}

/// Removes the plan's copy of a target's data.
pub(super) fn remove(target: &Target, here: &Here<'_>) -> Result<(), Failure> {
    prepare(target, here)?.remove_own()
}

impl CopyData {
    pub(super) async fn apply(&self, events: &mut Events<'_>) -> Result<Done, Failure> {
        for one in &self.copies {
            data::refuse_in_use(&one.from)?;
        }
        // One that was begun, or that an etcd ran on already: it is this plan's own.
        self.remove_own()?;
        let copies = self.copies.clone();
        let flow = Arc::new(Flow::new("copying"));
        work(flow, events, move |flow| {
            let bytes: u64 = copies.iter().map(|one| size(&one.from)).sum();
            flow.of(bytes);
            let mut done = 0;
            for one in &copies {
                let above = one.to.parent().unwrap_or(&one.to);
                make_folder(above, one.from.parent().unwrap_or(&one.from))?;
                copy_folder(&one.from, &one.to, flow, &mut done)?;
                sync_folder_of(above)?;
            }
            Ok(Done::Plain)
        })
        .await
    }

    pub(super) fn undo(&self) -> Result<Undone, Failure> {
        self.remove_own()?;
        Ok(Undone::default())
    }

    fn remove_own(&self) -> Result<(), Failure> {
        for copy in &self.copies {
            let above = copy.to.parent().unwrap_or(&copy.to);
            remove_folder(above)?;
        }
        Ok(())
    }
}

fn size(path: &Path) -> u64 {
    let Ok(found) = path.symlink_metadata() else {
        return 0;
    };
    if !found.is_dir() {
        return found.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

fn make_folder(folder: &Path, like: &Path) -> Result<(), Failure> {
    let found = like
        .metadata()
        .map_err(|error| trouble("look at", like, &error))?;
    make_folder_like(folder, &found, 0o700)
}

fn copy_folder(from: &Path, to: &Path, flow: &Flow, done: &mut u64) -> Result<(), Failure> {
    make_folder(to, from)?;
    let entries = std::fs::read_dir(from).map_err(|error| trouble("read", from, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| trouble("read", from, &error))?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = entry
            .file_type()
            .map_err(|error| trouble("look at", &path, &error))?;
        if kind.is_dir() {
            copy_folder(&path, &copy, flow, done)?;
        } else if kind.is_file() {
            copy_file(&path, &copy, flow, done)?;
        } else {
            let message = format!("{} is neither a file nor a folder", path.display());
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("nothing of the kind belongs into etcd's data; move it away"));
        }
    }
    sync_folder_of(&to.join("."))
}

/// Where the file system can share the bytes they are not copied at all.
fn copy_file(from: &Path, to: &Path, flow: &Flow, done: &mut u64) -> Result<(), Failure> {
    let read = |error| trouble("read", from, &error);
    let write = |error| trouble("write", to, &error);
    let mut source = File::open(from).map_err(read)?;
    let found = source.metadata().map_err(read)?;
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(write)?;
    if ioctl_ficlone(&copy, &source).is_err() {
        let mut buffer = vec![0; 1 << 20];
        loop {
            flow.check_stopped()?;
            let count = source.read(&mut buffer).map_err(read)?;
            if count == 0 {
                break;
            }
            copy.write_all(&buffer[..count]).map_err(write)?;
            *done += count as u64;
            flow.reached(*done);
        }
    } else {
        *done += found.len();
        flow.reached(*done);
    }
    fchown(&copy, Some(found.uid()), Some(found.gid())).map_err(write)?;
    copy.sync_all().map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_is_the_same_and_made_again_as_often_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("etcd/member");
        std::fs::create_dir_all(from.join("snap")).unwrap();
        std::fs::write(from.join("snap/db"), vec![7; 3 << 20]).unwrap();
        let record = CopyData {
            copies: vec![data::Move {
                to: dir.path().join("etcd-x.copy/member"),
                from: from.clone(),
            }],
        };
        record.apply(&mut |_| ()).await.unwrap();
        std::fs::write(dir.path().join("etcd-x.copy/member/snap/db"), "changed").unwrap();
        record.apply(&mut |_| ()).await.unwrap();
        let copied = std::fs::read(dir.path().join("etcd-x.copy/member/snap/db")).unwrap();
        assert_eq!(copied, std::fs::read(from.join("snap/db")).unwrap());
        record.undo().unwrap();
        record.undo().unwrap();
        assert!(!dir.path().join("etcd-x.copy").exists() && from.exists());
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("etcd/member");
        std::fs::create_dir_all(&from).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("db")).unwrap();
        let record = CopyData {
            copies: vec![data::Move {
                to: dir.path().join("etcd-x.copy/member"),
                from,
            }],
        };
        let failure = record.apply(&mut |_| ()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused);
    }
}
