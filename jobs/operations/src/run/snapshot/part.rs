//! The file of a snapshot: made, locked, named when it is complete, gone when it is not.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use crate::failure::{Failure, FailureKind};
use crate::kept::files::{exists, name, open_part, sync_folder_of, trouble};
use crate::transfer::part_of;

/// Room beside what etcd says of its size: it grows meanwhile.
const SPARE_BYTES: u64 = 16 << 20;

/// A snapshot's file that has no name yet. Dropped before it has one, it is removed.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    removal: Removal,
}

/// Removes the part when it is dropped, as long as it has no other name.
#[derive(Debug, Clone)]
pub(super) struct Removal {
    part: PathBuf,
    inode: u64,
}

impl Drop for Removal {
    fn drop(&mut self) {
        // Not the part of another one who took the name meanwhile.
        let found = self.part.metadata();
        if found.is_ok_and(|found| found.ino() == self.inode) {
            std::fs::remove_file(&self.part).ok();
        }
    }
}

impl Part {
    /// Makes the folder (0700) if it is missing, looks whether there is room for so many bytes, and makes the file (0600).
    pub(super) fn create(folder: &Path, name: &str, bytes: u64) -> Result<Self, Failure> {
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !plain {
            let message = format!("`{name}` is not a name for a snapshot's file");
            return Err(Failure::new(FailureKind::Refused, message));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| trouble("make the folder", folder, &error))?;
        room_for(folder, bytes)?;
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(exists(&path));
        }
        let part = part_of(&path);
        let file = open_part(&part)?;
        let inode = file
            .metadata()
            .map_err(|error| trouble("look at", &part, &error))?
            .ino();
        let removal = Removal { part, inode };
        // Whoever had the lock before may have given the name to another file.
        if path.symlink_metadata().is_ok() {
            return Err(exists(&path));
        }
        Ok(Self {
            file,
            path,
            removal,
        })
    }

    /// Where it is when it is complete.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is now.
    pub(super) fn current_path(&self) -> &Path {
        &self.removal.part
    }

    /// Removes the part from elsewhere as well.
    pub(super) fn removal(&self) -> Removal {
        self.removal.clone()
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file
            .write_all(bytes)
            .map_err(|error| trouble("write", &self.removal.part, &error))
    }

    /// Onto the disk, under its name, and the name onto the disk. Never over a file that is there.
    pub(super) fn complete(self) -> Result<(), Failure> {
        self.file
            .sync_all()
            .map_err(|error| trouble("flush", &self.removal.part, &error))?;
        // From here on nothing of that name is ours to remove.
        name(&self.removal.part, &self.path)?;
        sync_folder_of(&self.path)
    }
}

fn room_for(folder: &Path, bytes: u64) -> Result<(), Failure> {
    let place = statvfs(folder).map_err(|error| trouble("look at", folder, &error.into()))?;
    let free = place.f_bavail.saturating_mul(place.f_frsize);
    let needed = bytes.saturating_add(SPARE_BYTES);
    if free >= needed {
        return Ok(());
    }
    let folder = folder.display();
    let message =
        format!("the snapshot takes {bytes} bytes, and only {free} bytes are free in {folder}");
    let hint = format!(
        "free {} bytes there, or choose another folder",
        needed - free
    );
    Err(Failure::new(FailureKind::NoSpace, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_the_owner_may_read_and_the_name_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let mut part = Part::create(&folder, "s.db", 1).unwrap();
        part.write(b"abc").unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(
            part.current_path().metadata().unwrap().mode() & 0o777,
            0o600
        );
        assert!(!part.path().exists());
        part.complete().unwrap();
        assert_eq!(std::fs::read(folder.join("s.db")).unwrap(), b"abc");
        assert!(!folder.join("s.db.part").exists());
        let again = Part::create(&folder, "s.db", 1).unwrap_err();
        assert_eq!(again.kind, FailureKind::Refused);
    }

    #[test]
    fn one_that_was_waited_for_and_has_its_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Part::create(dir.path(), "s.db", 1).unwrap();
        first.write(b"abc").unwrap();
        let folder = dir.path().to_owned();
        let second = std::thread::spawn(move || Part::create(&folder, "s.db", 1).err());
        std::thread::sleep(Duration::from_millis(200));
        first.complete().unwrap();
        assert!(second.join().unwrap().is_some());
        assert_eq!(std::fs::read(dir.path().join("s.db")).unwrap(), b"abc");
    }

    #[test]
    fn what_is_not_completed_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = Part::create(dir.path(), "s.db", 1).unwrap();
        part.write(b"abc").unwrap();
        drop(part);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_ones_part_is_taken_over_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.db.part"), b"left behind").unwrap();
        let living = Part::create(dir.path(), "s.db", 1).unwrap();
        assert_eq!(living.current_path().metadata().unwrap().len(), 0);
        let second = Part::create(dir.path(), "s.db", 1).unwrap_err();
        assert!(
            second
                .message
                .starts_with("another snapshot is being written"),
            "{second}"
        );
        assert!(
            living.current_path().exists(),
            "the second one removed the first one's file"
        );
    }

    #[test]
    fn a_file_that_appeared_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let part = Part::create(dir.path(), "s.db", 1).unwrap();
        std::fs::write(dir.path().join("s.db"), b"theirs").unwrap();
        assert_eq!(part.complete().unwrap_err().kind, FailureKind::Refused);
        assert_eq!(std::fs::read(dir.path().join("s.db")).unwrap(), b"theirs");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn bad_names_links_and_full_disks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", ".hidden", "a/b"] {
            assert_eq!(
                Part::create(dir.path(), name, 1).unwrap_err().kind,
                FailureKind::Refused
            );
        }
        let full = Part::create(dir.path(), "s.db", u64::MAX / 2).unwrap_err();
        assert_eq!(full.kind, FailureKind::NoSpace);
        std::os::unix::fs::symlink("/none", dir.path().join("l.db.part")).unwrap();
        assert!(Part::create(dir.path(), "l.db", 1).is_err());
    }
}
