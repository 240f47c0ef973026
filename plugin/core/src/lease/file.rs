//! The lock of a host without an apiserver: a file that only root can reach.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use etcd_operations::shell::CommandLine;
use etcd_operations::utc::to_the_second;
use jiff::Timestamp;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::error::Error;
use crate::owner::Owner;

/// Where the lock file is. Others may not even look into it: whoever opens the file can hold its lock. `/run/lock` is
/// open to everybody on some systems.
pub(super) const FOLDER: &str = "/run/kubectl-etcd";
/// Its name there.
const NAME: &str = "lock";

/// Takes the lock for as long as the file is open.
///
/// # Errors
/// When somebody else holds it: who, what for and since when; when others could reach it; else what the system says.
pub(super) fn lock(folder: &Path, what: &str) -> Result<File, Error> {
    let path = folder.join(NAME);
    let cannot = |error: io::Error| {
        Error::failed(format!("the lock file {} cannot be used", path.display())).caused_by(error)
    };
    let mut file = open(folder, &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(cannot)?;
            return Err(
                Error::refused(format!("{} is at work on this etcd", holder.trim()))
                    .hint("wait until it is done; the lock ends with that process"),
            );
        }
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    let name = Owner::this().name;
    let text = format!(
        "{name}: {what}, since {}\n",
        to_the_second(Timestamp::now())
    );
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()));
    written.map_err(cannot)?;
    Ok(file)
}

/// Opens the file below a folder that is ours alone, without going through a link.
fn open(folder: &Path, path: &Path) -> Result<File, Error> {
    let cannot = |path: &Path, error: io::Error| {
        Error::failed(format!("{} cannot be opened", path.display())).caused_by(error)
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(cannot(folder, error));
        }
        Ok(()) | Err(_) => {}
    }
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(
        CWD,
        folder,
        flags | OFlags::DIRECTORY | OFlags::RDONLY,
        Mode::empty(),
    );
    let at = match opened {
        Ok(at) => File::from(at),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(foreign(folder, "is no folder")),
        Err(error) => return Err(cannot(folder, error.into())),
    };
    let found = at.metadata().map_err(|error| cannot(folder, error))?;
    if !is_ours(found.uid(), found.mode()) {
        return Err(foreign(folder, "is not root's alone"));
    }
    let flags = flags | OFlags::RDWR | OFlags::CREATE;
    let file = match openat(&at, NAME, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(foreign(path, "is a link")),
        Err(error) => return Err(cannot(path, error.into())),
    };
    let found = file.metadata().map_err(|error| cannot(path, error))?;
    let plain = found.is_file() && found.nlink() == 1;
    match plain && is_ours(found.uid(), found.mode()) {
        true => Ok(file),
        false => Err(foreign(path, "is not root's alone")),
    }
}

/// Whether nobody but who runs this can reach it.
fn is_ours(uid: u32, mode: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() && mode & 0o077 == 0
}

fn foreign(path: &Path, what: &str) -> Error {
    let path = path.display();
    Error::refused(format!(
        "{path} {what}, so others could hold or move the lock"
    ))
    .hint(format!(
        "see who made it, then remove it and try again: {}",
        CommandLine::new("ls -ld").operand(&path)
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_one_holds_the_lock_file() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("a");
        let first = lock(&folder, "defrag").unwrap();
        let error = lock(&folder, "alarm disarm").unwrap_err();
        assert_eq!(error.kind.exit_code(), 5);
        assert!(
            error.message.contains(&Owner::this().name) && error.message.contains("defrag"),
            "{error}"
        );
        drop(first);
        let _second = lock(&folder, "alarm disarm").unwrap();
    }

    #[test]
    fn others_can_neither_see_nor_open_it() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("a");
        let _held = lock(&folder, "defrag").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(NAME))), (0o700, 0o600));
    }

    /// What stands in the place of the folder or the file; the lock is refused and the thing is as it was.
    fn refused(prepare: impl FnOnce(&Path)) {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("a");
        let victim = state.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        prepare(&folder);
        let error = lock(&folder, "defrag").unwrap_err();
        assert_eq!(error.kind.exit_code(), 5, "{error}");
        assert!(error.hints[0].written().contains("remove it"), "{error:?}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_could_reach_or_have_put_there_is_refused() {
        let private = |folder: &Path| {
            std::fs::create_dir(folder).unwrap();
            chmod(folder, 0o700);
        };
        refused(|folder| {
            private(folder);
            chmod(folder, 0o1777);
        });
        refused(|folder| {
            private(folder);
            chmod(folder, 0o755);
        });
        refused(|folder| {
            private(&folder.with_extension("real"));
            symlink(folder.with_extension("real"), folder).unwrap();
        });
        refused(|folder| std::fs::write(folder, "").unwrap());
        refused(|folder| {
            private(folder);
            symlink("../victim", folder.join(NAME)).unwrap();
        });
        refused(|folder| {
            private(folder);
            std::fs::hard_link(folder.with_file_name("victim"), folder.join(NAME)).unwrap();
        });
        refused(|folder| {
            private(folder);
            std::fs::write(folder.join(NAME), "").unwrap();
            chmod(&folder.join(NAME), 0o644);
        });
    }
}
