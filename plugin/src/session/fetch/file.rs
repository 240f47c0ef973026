//! The file a snapshot is fetched into: `FILE.part` until it is whole, 0600, never over a file that is there.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use etcd_operations::kept::description::Description;
use etcd_operations::report::SnapshotReport;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

use crate::error::Error;

/// A file that is not complete. Dropped before it is, it is removed.
pub(super) struct Destination {
    file: File,
    path: PathBuf,
    part: PathBuf,
    complete: bool,
}

impl Destination {
    /// Makes `FILE.part`, or takes over one that a killed run left.
    ///
    /// # Errors
    /// When the file or its folder cannot be written, and when another run writes it.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(is_there(path));
        }
        let part = with_suffix(path, ".part");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            // Not before it is locked.
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&part)
            .map_err(|error| not_stored(path, error))?;
        let others = || Error::refused(format!("another run is writing {}", part.display()));
        file.try_lock().map_err(|_| others())?;
        // Whoever had the lock before may have given this very file its name.
        if path.symlink_metadata().is_ok() {
            return Err(is_there(path));
        }
        let is_ours = |found: Metadata| file.metadata().is_ok_and(|own| own.ino() == found.ino());
        if !part.symlink_metadata().is_ok_and(is_ours) {
            return Err(others());
        }
        // A part that was left may be readable for others.
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|error| not_stored(path, error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            part,
            complete: false,
        })
    }

    /// From the first byte, also after a try that came to nothing.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// Stores what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Onto the disk, with what describes it, and under its name.
    ///
    /// # Errors
    /// When the disk does not take it, or the name was taken meanwhile.
    pub(super) fn complete(mut self, report: &SnapshotReport) -> Result<(), Error> {
        self.name_it(report).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => is_there(&self.path),
            _ => not_stored(&self.path, error),
        })?;
        self.complete = true;
        Ok(())
    }

    fn name_it(&self, report: &SnapshotReport) -> io::Result<()> {
        self.file.sync_all()?;
        let described = with_suffix(&self.path, ".json");
        let part = with_suffix(&self.path, ".json.part");
        // What describes it comes first: a snapshot that has its name is complete in every way.
        let result = describe(&part, &self.path, report)
            .and_then(|()| rename(&part, &described))
            .and_then(|()| {
                rename(&self.part, &self.path)
                    .inspect_err(|_| drop(std::fs::remove_file(&described)))
            });
        if result.is_err() {
            drop(std::fs::remove_file(&part));
        }
        result?;
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if !self.complete {
            // Nothing more can be done where even this fails; it is called `.part`.
            drop(std::fs::remove_file(&self.part));
        }
    }
}

fn describe(part: &Path, path: &Path, report: &SnapshotReport) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)?;
    let text = Description::new(report, path).text()?;
    file.write_all(&text)?;
    file.sync_all()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot rename so (NFS among them): looking first is the best there is.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS)
            if to.symlink_metadata().is_err() =>
        {
            std::fs::rename(from, to)
        }
        other => Ok(other?),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_there(path: &Path) -> Error {
    Error::refused(format!(
        "{} is there already, and nothing is ever overwritten",
        path.display()
    ))
    .hint("name another file, or move that one aside")
}

/// The error for a disk or folder that does not take the file.
pub(super) fn not_stored(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room, or name a file on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a file in a folder you may write to"
        }
        _ => "name a file in another folder",
    };
    Error::failed(format!("{} cannot be written", path.display()))
        .caused_by(error)
        .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn report() -> SnapshotReport {
        serde_json::from_value(serde_json::json!({
            "path": "/kubectl-etcd/snapshot/snapshot.db", "sizeBytes": 3, "sha256": "ab", "clusterId": "1", "memberId": "2",
            "revision": 3, "raftTerm": 4, "etcdVersion": "3.6.6", "hash": 5, "totalKeys": 6,
            "takenAt": "2026-11-21T15:00:00Z", "tookMs": 7,
        }))
        .unwrap()
    }

    #[test]
    fn a_whole_file_gets_its_name_its_mode_and_its_description() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut destination = Destination::create(&path).unwrap();
        destination.begin().unwrap();
        destination.write(b"half").unwrap();
        destination.begin().unwrap();
        destination.write(b"abc").unwrap();
        assert!(!path.exists());
        destination.complete(&report()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let described = std::fs::read(folder.path().join("s.db.json")).unwrap();
        let kind: serde_json::Value = serde_json::from_slice(&described).unwrap();
        assert_eq!(kind["kind"], "SnapshotDescription");
        let described: SnapshotReport = serde_json::from_slice(&described).unwrap();
        assert_eq!(described.path, path);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_not_whole_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut destination = Destination::create(&path).unwrap();
        destination.write(b"abc").unwrap();
        assert!(
            Destination::create(&path).is_err(),
            "another run is writing it"
        );
        drop(destination);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let destination = Destination::create(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let error = destination.complete(&report()).err().unwrap();
        assert_eq!(error.kind.exit_code(), 5);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(Destination::create(&path).is_err());
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let error = Destination::create(Path::new("/nowhere/at/all/s.db"))
            .err()
            .unwrap();
        assert_eq!(error.kind.exit_code(), 1);
        assert!(
            error
                .chain()
                .contains("/nowhere/at/all/s.db cannot be written"),
            "{}",
            error.chain()
        );
    }
}
