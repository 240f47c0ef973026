//! Files that only root may read, which get their names when they are complete.

use std::fs::{DirBuilder, DirEntry, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use etcd_datadir::disk::{if_there, rename_new, sync_folder};

use crate::failure::{Failure, FailureKind};
use crate::shell::CommandLine;
use crate::transfer::part_of;

/// Whether a file may take the place of one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    /// Never.
    Nothing,
    /// One that this program wrote, and nobody else.
    OwnFile,
}

/// What becomes of what a dead run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It goes.
    Empty,
    /// It stays.
    AsItIs,
}

/// How long the lock may be in other hands: a reader takes it for a moment to see whether we live.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Opens `NAME.part`, 0600 and locked for as long as it is open. One that a dead process left is taken over.
pub(crate) fn open_part(part: &Path, begin: Begin) -> Result<File, Failure> {
    let (mut file, is_new) = open_or_make(part).map_err(|error| trouble("make", part, &error))?;
    lock(&file, part)?;
    // Whoever had the lock before may have given this very file its name.
    let is_ours = |found: Metadata| file.metadata().is_ok_and(|own| own.ino() == found.ino());
    if !part.symlink_metadata().is_ok_and(is_ours) {
        let message = format!("another run has just written {}", part.display());
        return Err(Failure::refused(message));
    }
    let found = file
        .metadata()
        .map_err(|error| trouble("look at", part, &error))?;
    // Whoever owns it, or has it under another name, would have the snapshot too. What was just made is ours, whomever a file
    // system of the network gives it to.
    let own = is_new || found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_file() || !own || found.nlink() != 1 {
        let message = format!("{} is there and is somebody else's", part.display());
        return Err(Failure::refused(message).hint("move it aside, or choose another name"));
    }
    file.set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| match begin {
            Begin::Empty => file.set_len(0).and_then(|()| file.rewind()),
            Begin::AsItIs => Ok(()),
        })
        .map_err(|error| trouble("empty", part, &error))?;
    Ok(file)
}

/// Opens a part, or makes it; says whether it was made here and now.
fn open_or_make(part: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        // Not before it is locked: somebody may be writing it.
        .truncate(false)
        .mode(0o600)
        .custom_flags(nofollow());
    match options.create_new(true).open(part) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(|file| (file, true)),
    }
    let opened = options.create_new(false).create(true).open(part);
    opened.map(|file| (file, false))
}

fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    let begun = Instant::now();
    while file.try_lock().is_err() {
        if begun.elapsed() >= LOCK_PATIENCE {
            let message = format!("another run is writing {}", path.display());
            return Err(Failure::refused(message));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Writes a small file, 0600, by way of `PATH.part`, onto the disk.
pub(crate) fn write(path: &Path, text: &[u8], replace: Replace) -> Result<(), Failure> {
    let part = part_of(path);
    let mut file = open_part(&part, Begin::Empty)?;
    let named = file
        .write_all(text)
        .and_then(|()| file.sync_all())
        .map_err(|error| trouble("write", &part, &error))
        .and_then(|()| match replace {
            Replace::Nothing => name(&part, path),
            Replace::OwnFile => {
                std::fs::rename(&part, path).map_err(|error| trouble("name", path, &error))
            }
        });
    if named.is_err() {
        // It is locked, so it is nobody else's.
        std::fs::remove_file(&part).ok();
    }
    named?;
    sync_folder_of(path)
}

/// Gives a complete file its name; never over a file that is there.
pub(crate) fn name(part: &Path, path: &Path) -> Result<(), Failure> {
    rename_new(part, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => trouble("name", path, &error),
    })
}

/// What happened to names in a file's folder, onto the disk.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    sync_folder(folder).map_err(|error| trouble("flush", folder, &error))
}

/// Makes a folder with the owner of another one and this mode.
pub(crate) fn make_folder_like(folder: &Path, like: &Metadata, mode: u32) -> Result<(), Failure> {
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .and_then(|()| chown(folder, Some(like.uid()), Some(like.gid())))
        .and_then(|()| std::fs::set_permissions(folder, Permissions::from_mode(mode)))
        .map_err(|error| trouble("make", folder, &error))
}

/// Whether there is something at a path, links themselves among it.
pub(crate) fn is_there(path: &Path) -> Result<bool, Failure> {
    let found = if_there(path.symlink_metadata());
    Ok(found
        .map_err(|error| trouble("look at", path, &error))?
        .is_some())
}

/// What is in a folder; nothing when it is not there.
pub(crate) fn entries(folder: &Path) -> Result<Vec<DirEntry>, Failure> {
    let unreadable = |error| trouble("read", folder, &error);
    let Some(entries) = if_there(std::fs::read_dir(folder)).map_err(unreadable)? else {
        return Ok(Vec::new());
    };
    entries.collect::<Result<_, _>>().map_err(unreadable)
}

/// Removes a file, if it is there.
pub(crate) fn remove_file(path: &Path) -> Result<(), Failure> {
    let removed = if_there(std::fs::remove_file(path));
    removed
        .map(drop)
        .map_err(|error| trouble("remove", path, &error))
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), Failure> {
    let removed = if_there(std::fs::remove_dir_all(folder));
    removed
        .map(drop)
        .map_err(|error| trouble("remove", folder, &error))
}

/// Whose folder it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Ours alone: what is in it is done or started as root.
    Ours,
    /// Whomever its owner is: whoever made it somebody's trusts them with what is in it. A folder of the network may be
    /// nobody's, and one of backups that of a user who fetches them.
    Anybody,
}

/// Refuses a folder in which others could put their own file in the place of ours. `what` is in it, as a fragment.
///
/// # Errors
/// [`FailureKind::Refused`]; else what the disk says.
pub(crate) fn refuse_shared(folder: &Path, what: &str) -> Result<(), Failure> {
    refuse_shared_of(Owner::Ours, folder, what)
}

/// The same of a folder that may be somebody's.
pub(crate) fn refuse_shared_of(owner: Owner, folder: &Path, what: &str) -> Result<(), Failure> {
    let found = folder
        .metadata()
        .map_err(|error| trouble("look at", folder, &error))?;
    let own = owner == Owner::Anybody || found.uid() == rustix::process::geteuid().as_raw();
    if own && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let folder = folder.display();
    let mut closed = CommandLine::new("chmod go-w").operand(&folder);
    if owner == Owner::Ours {
        closed = CommandLine::new("chown root").operand(&folder).and(&closed);
    }
    let message = format!("others can write to {folder}, where {what}");
    Err(Failure::refused(message).hint(format!("{closed}, or choose another folder")))
}

/// The flag with which a link in the place of a file is an error.
pub(crate) fn nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

pub(crate) fn exists(path: &Path) -> Failure {
    let message = format!(
        "{} is there already, and nothing is overwritten",
        path.display()
    );
    Failure::refused(message).hint("choose another name")
}

pub(crate) fn trouble(action: &str, path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::NoSpace,
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem => FailureKind::Missing,
        _ => FailureKind::Other,
    };
    Failure::new(
        kind,
        format!("could not {action} {}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_somebody_else_can_read_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("x.part");
        std::fs::write(&part, "theirs").unwrap();
        std::fs::hard_link(&part, dir.path().join("kept open elsewhere")).unwrap();
        assert_eq!(
            open_part(&part, Begin::Empty).unwrap_err().kind,
            FailureKind::Refused
        );
        assert_eq!(std::fs::read(&part).unwrap(), b"theirs");
    }

    #[test]
    fn two_who_write_one_file_never_mix_and_leave_no_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        let texts: Vec<Vec<u8>> = (1..9).map(|n: u8| vec![n; 1000 * usize::from(n)]).collect();
        std::thread::scope(|scope| {
            for text in &texts {
                scope.spawn(|| {
                    for _ in 0..20 {
                        // One that comes too late is refused; what is there is whole all the same.
                        write(&path, text, Replace::OwnFile).ok();
                        let found = std::fs::read(&path).unwrap_or_default();
                        assert!(found.is_empty() || texts.contains(&found));
                    }
                });
            }
        });
        assert!(texts.contains(&std::fs::read(&path).unwrap()));
        assert!(!dir.path().join("x.json.part").exists());
    }
}
