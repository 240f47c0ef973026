//! What every writer of files asks of a file system.

pub(crate) mod files;

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::statvfs;

/// The room of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Free for this user.
    pub(crate) free: u64,
    /// In all.
    pub(crate) size: u64,
}

/// How many bytes are free for this user on the file system of a folder.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn free(folder: &Path) -> io::Result<u64> {
    room(folder).map(|room| room.free)
}

/// The room of the file system of a folder.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn room(folder: &Path) -> io::Result<Room> {
    let place = statvfs(folder)?;
    Ok(Room {
        free: place.f_bavail.saturating_mul(place.f_frsize),
        size: place.f_blocks.saturating_mul(place.f_frsize),
    })
}

/// A file for root alone that has no name and is gone with this process: made without one where the file system can, else
/// unlinked at once.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn unnamed(folder: &Path) -> io::Result<File> {
    let file = tempfile::tempfile_in(folder)?;
    // All Secrets will be in it, and /proc has a name for it.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}
