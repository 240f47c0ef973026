//! The file of a snapshot while it is not complete: made, locked, described and named when it is whole, gone when it is not.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use etcd_datadir::disk::make_folders;

use super::description::Description;
use crate::disk;
use crate::disk::files::{self, Begin, Owner, Replace, exists, open_part, sync_folder_of, trouble};
use crate::failure::{Failure, FailureKind};
use crate::snapshot_name::ENDINGS;
use crate::transfer::part_of;
use crate::utc;

/// Room beside what etcd says of its size: it grows meanwhile.
pub(crate) const SPARE_BYTES: u64 = 16 << 20;

/// How many snapshots of one second get names.
const MOST_NUMBERS: u32 = 99;

/// A snapshot's file that has no name yet. Dropped before it has one, it is removed.
#[derive(Debug)]
pub struct Part {
    file: File,
    path: PathBuf,
    removal: Option<Removal>,
    part: PathBuf,
    /// Whether it stays when it cannot be completed.
    resumable: bool,
}

/// Removes the part when it is dropped, as long as it has no other name.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
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
    /// Makes `PATH.part` (0600), or takes over one that a dead run left.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when there is something at the path already, or another run is writing it; else what the disk
    /// says.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Self::open(path, Begin::Empty)
    }

    /// The same, with what a dead run left in it, and how many bytes that is. It stays when it cannot be completed.
    ///
    /// # Errors
    /// As [`Part::create`].
    pub fn resume(path: &Path) -> Result<(Self, u64), Failure> {
        let mut part = Self::open(path, Begin::AsItIs)?;
        let size = part
            .file
            .seek(io::SeekFrom::End(0))
            .map_err(|error| trouble("look at", &part.part, &error))?;
        Ok((part, size))
    }

    /// As [`Part::create`]; where the name is taken, with `_2` and so on before its ending.
    ///
    /// # Errors
    /// As [`Part::create`], but never because the name is taken.
    pub(crate) fn create_numbered(folder: &Path, name: &str) -> Result<Self, Failure> {
        // Nobody else would: names are of a time, and none comes again.
        remove_dead_parts(folder);
        let mut number = 1;
        loop {
            let path = folder.join(numbered(name, number));
            match Self::create(&path) {
                Err(failure) if failure.kind == FailureKind::Refused && number < MOST_NUMBERS => {}
                made => return made,
            }
            number += 1;
        }
    }

    fn open(path: &Path, begin: Begin) -> Result<Self, Failure> {
        free(path)?;
        let part = part_of(path);
        let file = open_part(&part, begin)?;
        let inode = file
            .metadata()
            .map_err(|error| trouble("look at", &part, &error))?
            .ino();
        let removal = Some(Removal {
            part: part.clone(),
            inode,
        });
        let made = Self {
            file,
            path: path.to_owned(),
            removal,
            part,
            resumable: begin == Begin::AsItIs,
        };
        // Whoever had the lock before may have given the name to another file.
        free(path)?;
        Ok(made)
    }

    /// Where it is when it is complete.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is now.
    pub fn current_path(&self) -> &Path {
        &self.part
    }

    /// Its bytes.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The same, which gets another name when it is complete.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when that is taken.
    pub fn renamed(self, path: PathBuf) -> Result<Self, Failure> {
        free(&path)?;
        Ok(Self { path, ..self })
    }

    /// Removes the part from elsewhere as well.
    pub(crate) fn removal(&self) -> Option<Removal> {
        self.removal.clone()
    }

    /// Leaves it where it is, to be resumed.
    pub fn keep(mut self) {
        if let Some(removal) = self.removal.take() {
            std::mem::forget(removal);
        }
    }

    /// From the first byte, also after a try that came to nothing.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// Stores what comes next.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Onto the disk, with what describes it, and under its name; and the names onto the disk. Never over a file that is
    /// there.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when the name was taken meanwhile; else what the disk says.
    pub fn complete(self, description: Option<&Description>) -> Result<(), Failure> {
        let completed = self.name_it(description);
        if completed.is_err() && self.resumable {
            self.keep();
        }
        completed
    }

    fn name_it(&self, description: Option<&Description>) -> Result<(), Failure> {
        self.file
            .sync_all()
            .map_err(|error| trouble("flush", &self.part, &error))?;
        // What describes it comes first: a snapshot that has its name is complete in every way.
        if let Some(description) = description {
            description.store(&self.path, Replace::Nothing)?;
        }
        // From there on nothing of that name is ours to remove.
        let named = files::name(&self.part, &self.path);
        if named.is_err() && description.is_some() {
            std::fs::remove_file(Description::path_of(&self.path)).ok();
        }
        named?;
        sync_folder_of(&self.path)
    }
}

/// Removes what killed runs left in a folder of stored snapshots: parts with a name as this project gives it, which nobody
/// writes any more. What cannot be looked at stays.
fn remove_dead_parts(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_part_of_ours) {
            continue;
        }
        // Taken over as a run of that name would: locked, and only if it is ours.
        if let Ok(_locked) = open_part(&entry.path(), Begin::AsItIs) {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

/// Whether a name is of a snapshot that was begun and not completed: `PREFIX-TIME.ENDING.part`, or of its description.
fn is_part_of_ours(name: &str) -> bool {
    let Some(name) = name.strip_suffix(".part") else {
        return false;
    };
    let name = name.strip_suffix(".json").unwrap_or(name);
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    stem.is_some_and(utc::is_of_time)
}

/// Whether nothing is there, and nothing that would describe it.
fn free(path: &Path) -> Result<(), Failure> {
    let described = Description::path_of(path);
    match [path, &described]
        .into_iter()
        .find(|path| path.symlink_metadata().is_ok())
    {
        Some(taken) => Err(exists(taken)),
        None => Ok(()),
    }
}

/// A name with a number before its ending, so that names still sort by time. The first has none.
fn numbered(name: &str, number: u32) -> String {
    if number == 1 {
        return name.to_owned();
    }
    let ending = ENDINGS.into_iter().find(|ending| name.ends_with(ending));
    let ending = ending.unwrap_or_default();
    let stem = name.strip_suffix(ending).unwrap_or(name);
    format!("{stem}_{number}{ending}")
}

/// Makes a folder for stored snapshots (0700) if it is missing; refuses one of which others than its owner could take a snapshot
/// out, or put another one in: also one like `/tmp`, for what is there is counted and pruned as ours.
pub(crate) fn make_kept_folder(folder: &Path) -> Result<(), Failure> {
    make_folder(folder)?;
    files::refuse_shared_of(Owner::Anybody, folder, "snapshots are kept")
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    make_folders(folder).map_err(|error| trouble("make the folder", folder, &error))
}

/// Makes a folder (0700) if it is missing, and looks whether there is room for so many bytes.
pub(crate) fn make_room(folder: &Path, bytes: u64) -> Result<(), Failure> {
    make_folder(folder)?;
    room_for(folder, bytes)
}

fn room_for(folder: &Path, bytes: u64) -> Result<(), Failure> {
    let free = disk::free(folder).map_err(|error| trouble("look at", folder, &error))?;
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
        make_room(&folder, 1).unwrap();
        let mut part = Part::create(&folder.join("s.db")).unwrap();
        part.write(b"abc").unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(
            part.current_path().metadata().unwrap().mode() & 0o777,
            0o600
        );
        assert!(!part.path().exists());
        part.complete(None).unwrap();
        assert_eq!(std::fs::read(folder.join("s.db")).unwrap(), b"abc");
        assert!(!folder.join("s.db.part").exists());
        let again = Part::create(&folder.join("s.db")).unwrap_err();
        assert_eq!(again.kind, FailureKind::Refused);
    }

    #[test]
    fn a_folder_that_others_can_write_to_keeps_no_snapshot() {
        use std::os::unix::fs::{PermissionsExt, chown};
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a b");
        make_kept_folder(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        let chmod = |mode| {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        chmod(0o755);
        make_kept_folder(&folder).unwrap();
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            chmod(mode);
            let failure = make_kept_folder(&folder).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Refused, "{mode:o}");
            let hint = failure.hint.unwrap().written();
            let path = folder.display();
            assert_eq!(
                hint,
                format!("chmod go-w '{path}', or choose another folder")
            );
        }
        // Only root can give a folder away.
        if rustix::process::geteuid().is_root() {
            chown(&folder, Some(65534), None).unwrap();
            for mode in [0o777, 0o1777, 0o770] {
                chmod(mode);
                let failure = make_kept_folder(&folder).unwrap_err();
                assert_eq!(failure.kind, FailureKind::Refused, "{mode:o}");
            }
        }
    }

    #[test]
    fn a_folder_of_another_owner_keeps_snapshots_and_nothing_that_root_acts_on() {
        use std::os::unix::fs::{PermissionsExt, chown};
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("backups");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o750)).unwrap();
        // Only root can give a folder away.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        chown(&folder, Some(65534), None).unwrap();
        make_kept_folder(&folder).unwrap();
        let mut part = Part::create(&folder.join("s.db")).unwrap();
        part.write(b"abc").unwrap();
        part.complete(None).unwrap();
        assert_eq!(std::fs::read(folder.join("s.db")).unwrap(), b"abc");
        let refused = files::refuse_shared(&folder, "plans are").unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        // A part that its owner made is not written to.
        let theirs = folder.join("t.db.part");
        std::fs::write(&theirs, "").unwrap();
        chown(&theirs, Some(65534), None).unwrap();
        let refused = Part::create(&folder.join("t.db")).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
    }

    #[test]
    fn one_that_was_waited_for_and_has_its_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Part::create(&dir.path().join("s.db")).unwrap();
        first.write(b"abc").unwrap();
        let path = dir.path().join("s.db");
        let second = std::thread::spawn(move || Part::create(&path).err());
        std::thread::sleep(Duration::from_millis(200));
        first.complete(None).unwrap();
        assert!(second.join().unwrap().is_some());
        assert_eq!(std::fs::read(dir.path().join("s.db")).unwrap(), b"abc");
    }

    #[test]
    fn what_is_not_completed_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = Part::create(&dir.path().join("s.db")).unwrap();
        part.write(b"abc").unwrap();
        drop(part);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_ones_part_is_taken_over_and_a_living_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.db.part"), b"left behind").unwrap();
        let living = Part::create(&dir.path().join("s.db")).unwrap();
        assert_eq!(living.current_path().metadata().unwrap().len(), 0);
        let second = Part::create(&dir.path().join("s.db")).unwrap_err();
        assert!(
            second.message.starts_with("another run is writing"),
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
        let part = Part::create(&dir.path().join("s.db")).unwrap();
        std::fs::write(dir.path().join("s.db"), b"theirs").unwrap();
        assert_eq!(part.complete(None).unwrap_err().kind, FailureKind::Refused);
        assert_eq!(std::fs::read(dir.path().join("s.db")).unwrap(), b"theirs");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_and_full_disks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let full = make_room(dir.path(), u64::MAX / 2).unwrap_err();
        assert_eq!(full.kind, FailureKind::NoSpace);
        std::os::unix::fs::symlink("/none", dir.path().join("l.db.part")).unwrap();
        assert!(Part::create(&dir.path().join("l.db")).is_err());
    }

    #[test]
    fn snapshots_of_one_second_all_get_names_that_sort() {
        let dir = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for _ in 0..3 {
            let part = Part::create_numbered(dir.path(), "etcd-T1.tar.zst").unwrap();
            names.push(
                part.path()
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
            );
            part.complete(None).unwrap();
        }
        names.push("etcd-T2.tar.zst".to_owned());
        assert_eq!(names[1], "etcd-T1_2.tar.zst");
        assert!(names.is_sorted(), "{names:?}");
        // What describes a snapshot that is gone is not given to another one.
        std::fs::write(dir.path().join("x.db.json"), b"{}").unwrap();
        let part = Part::create_numbered(dir.path(), "x.db").unwrap();
        assert!(part.path().ends_with("x_2.db"));
    }

    #[test]
    fn what_dead_runs_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let ours = [
            "etcd-2026-11-20T210000Z.db.part",
            "etcd-x-2026-11-20T210000Z_2.tar.zst.part",
            "e-2026-11-20T210000Z.db.json.part",
        ];
        let theirs = [
            "movie.mkv.part",
            "etcd.db.part",
            "etcd-2026-11-20T210000Z.db",
            "etcd-2026.db.part",
            "x-2026-11-20T210000Z.sql.part",
        ];
        for name in ours.iter().chain(&theirs) {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let living = Part::create(&dir.path().join("etcd-2026-11-20T210001Z.db")).unwrap();
        let part = Part::create_numbered(dir.path(), "etcd-2026-11-20T210002Z.db").unwrap();
        drop(part);
        assert!(living.current_path().exists());
        drop(living);
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|one| one.unwrap().file_name())
            .collect();
        left.sort();
        let mut expected = theirs;
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn one_is_gone_on_with_where_it_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let mut part = Part::create(&path).unwrap();
        part.write(b"abc").unwrap();
        part.keep();
        let (mut part, size) = Part::resume(&path).unwrap();
        assert_eq!(size, 3);
        part.write(b"def").unwrap();
        part.complete(None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
    }
}
