//! A copy of the data, on which etcd may do what could not be undone.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::ioctl_ficlone;
use serde::{Deserialize, Serialize};

use super::act::{Act, ActRecord, StepContext, Undoing, Undone};
use super::data::Move;
use super::{Done, data};
use crate::disk::files::{make_folder_like, remove_folder, sync_folder_of, trouble};
use crate::failure::Failure;
use crate::target::Target;
use crate::work::{Events, Flow, work};

/// Copies the data to a sibling folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyData {
    /// Whose data.
    pub target: Target,
}

/// The data directory that is copied and its copy, `member` and, where it is elsewhere, the WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyRecord {
    /// What is copied, and to where.
    copies: Vec<Move>,
}

impl ActRecord for CopyRecord {
    const NAME: &'static str = "copy";
}

impl Act for CopyData {
    type Record = CopyRecord;

    fn describe(&self) -> String {
        "copy the data".to_owned()
    }

    async fn prepare(&self, step: &mut StepContext<'_>) -> Result<CopyRecord, Failure> {
        CopyRecord::of(&self.target, step)
    }

    async fn apply(
        &self,
        record: &CopyRecord,
        step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        record.make(step.events).await?;
        Ok(Done::Plain)
    }

    async fn undo(&self, record: &CopyRecord, _undo: &mut Undoing<'_>) -> Result<Undone, Failure> {
        record.remove()?;
        Ok(Undone::default())
    }
}

/// Where the plan's copy of a target's data is: its data directory and its WAL's.
pub(super) fn places(
    target: &Target,
    context: &StepContext<'_>,
) -> Result<(PathBuf, PathBuf), Failure> {
    let parts = data::parts(target, context)?;
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
pub(super) fn database_of(target: &Target, context: &StepContext<'_>) -> Result<PathBuf, Failure> {
    Ok(places(target, context)?.0.join("member/snap/db"))
}

impl CopyRecord {
    /// The plan's copy of a target's data.
    pub(super) fn of(target: &Target, context: &StepContext<'_>) -> Result<Self, Failure> {
        let parts = data::parts(target, context)?.into_iter();
        let copies = parts.map(|part| Move {
            to: part.places.copy.join(part.name),
            from: part.path,
        });
        Ok(Self {
            copies: copies.collect(),
        })
    }

    async fn make(&self, events: &mut Events<'_>) -> Result<(), Failure> {
        for one in &self.copies {
            data::refuse_in_use(&one.from)?;
        }
        // One that was begun, or that an etcd ran on already: it is this plan's own.
        self.remove()?;
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
            Ok(())
        })
        .await
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        let above = |copy: &Move| copy.to.parent().unwrap_or(&copy.to).to_owned();
        let mut folders = self.copies.iter().map(above);
        folders.try_for_each(|folder| remove_folder(&folder))
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
            return Err(Failure::refused(message)
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
    use crate::failure::FailureKind;

    #[tokio::test]
    async fn a_copy_is_the_same_and_made_again_as_often_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("etcd/member");
        std::fs::create_dir_all(from.join("snap")).unwrap();
        std::fs::write(from.join("snap/db"), vec![7; 3 << 20]).unwrap();
        let record = CopyRecord {
            copies: vec![Move {
                to: dir.path().join("etcd-x.copy/member"),
                from: from.clone(),
            }],
        };
        record.make(&mut |_| ()).await.unwrap();
        std::fs::write(dir.path().join("etcd-x.copy/member/snap/db"), "changed").unwrap();
        record.make(&mut |_| ()).await.unwrap();
        let copied = std::fs::read(dir.path().join("etcd-x.copy/member/snap/db")).unwrap();
        assert_eq!(copied, std::fs::read(from.join("snap/db")).unwrap());
        record.remove().unwrap();
        record.remove().unwrap();
        assert!(!dir.path().join("etcd-x.copy").exists() && from.exists());
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("etcd/member");
        std::fs::create_dir_all(&from).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("db")).unwrap();
        let record = CopyRecord {
            copies: vec![Move {
                to: dir.path().join("etcd-x.copy/member"),
                from,
            }],
        };
        let failure = record.make(&mut |_| ()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused);
    }
}
