//! Files that only root may read, which get their names when they are complete.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::failure::{Failure, FailureKind};
use crate::transfer::part_of;

/// Whether a file may take the place of one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    /// Never.
    Nothing,
    /// One that this program wrote, and nobody else.
    OwnFile,
}

/// Writes a small file, 0600, by way of `PATH.part`, onto the disk.
pub(crate) fn write(path: &Path, text: &[u8], replace: Replace) -> Result<(), Failure> {
    let part = part_of(path);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nofollow())
        .open(&part)
        .and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        })
        .map_err(|error| trouble("write", &part, &error));
    let done = written
        .and_then(|()| match replace {
            Replace::Nothing => name(&part, path),
            Replace::OwnFile => {
                std::fs::rename(&part, path).map_err(|error| trouble("name", path, &error))
            }
        })
        .and_then(|()| sync_folder_of(path));
    if done.is_err() {
        std::fs::remove_file(&part).ok();
    }
    done
}

/// Gives a complete file its name; never over a file that is there.
pub(crate) fn name(part: &Path, path: &Path) -> Result<(), Failure> {
    match renameat_with(CWD, part, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Err(exists(path)),
        // A file system without this kind of rename: the name was free a moment ago.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            std::fs::rename(part, path).map_err(|error| trouble("name", path, &error))
        }
        Err(error) => Err(trouble("name", path, &error.into())),
    }
}

/// What happened to names in a file's folder, onto the disk.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| trouble("flush", folder, &error))
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
    Failure::new(FailureKind::Refused, message).hint("choose another name")
}

pub(crate) fn trouble(action: &str, path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureKind::NoSpace,
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => FailureKind::Missing,
        _ => FailureKind::Other,
    };
    Failure::new(
        kind,
        format!("could not {action} {}: {error}", path.display()),
    )
}
