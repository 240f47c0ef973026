//! Files and folders made, named and flushed, so that whoever is killed leaves all or nothing.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::Error;

/// Makes a file that is not there yet, readable for its owner alone: it holds all Secrets of a cluster.
///
/// # Errors
/// [`Error::Io`], also when something of that name is there.
pub(crate) fn create_private(path: &Path) -> Result<File, Error> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io(&path.display().to_string(), "create", e))
}

/// What was found; none where there is nothing of that name.
///
/// # Errors
/// All others.
pub fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads all of a file that has no more than `limit` bytes, whole MiB or KiB. One that has more is never taken for its
/// beginning.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`]; else what the disk says.
pub fn read_up_to(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= limit {
        return Ok(bytes);
    }
    let limit = match limit % (1 << 20) {
        0 => format!("{} MiB", limit >> 20),
        _ => format!("{} KiB", limit >> 10),
    };
    let message = format!("it has more than {limit}");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
}

/// Makes a folder (0700) with those above it that are missing, and flushes their names.
///
/// # Errors
/// What the disk says.
pub fn make_folders(folder: &Path) -> io::Result<()> {
    let missing = missing(folder);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    missing.into_iter().try_for_each(sync_folder_of)
}

/// A folder and those above it, up to the first one that is there: their names have to be flushed when they are made.
fn missing(folder: &Path) -> Vec<&Path> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    folder.ancestors().take_while(is_missing).collect()
}

/// Gives a file or a folder another name on its file system, never one that is taken.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when the name is taken; else what the disk says.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // A file system without this kind of rename, NFS among them.
        Err(Errno::INVAL | Errno::NOSYS) => rename_without_flag(from, to),
        Err(error) => Err(error.into()),
    }
}

fn rename_without_flag(from: &Path, to: &Path) -> io::Result<()> {
    if !from.symlink_metadata()?.is_dir() {
        // A second name is never given to a file that is there either.
        std::fs::hard_link(from, to)?;
        return std::fs::remove_file(from);
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // An empty folder is the only one that it could still replace.
    std::fs::rename(from, to)
}

/// Flushes a folder: the names in it.
///
/// # Errors
/// What the disk says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Flushes the folder that something is in: its name.
///
/// # Errors
/// What the disk says.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|above| !above.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_never_given_whatever_the_file_system_can() {
        for rename in [rename_new, rename_without_flag] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name);
            std::fs::write(at("ours"), "ours").unwrap();
            std::fs::write(at("theirs"), "theirs").unwrap();
            let refused = rename(&at("ours"), &at("theirs")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(at("theirs")).unwrap(), b"theirs");
            rename(&at("ours"), &at("new")).unwrap();
            assert!(!at("ours").exists() && std::fs::read(at("new")).unwrap() == b"ours");

            std::fs::create_dir_all(at("folder/below")).unwrap();
            std::fs::create_dir(at("empty")).unwrap();
            let refused = rename(&at("folder"), &at("empty")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            rename(&at("folder"), &at("moved")).unwrap();
            assert!(!at("folder").exists() && at("moved/below").is_dir());
        }
    }

    #[test]
    fn folders_are_made_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        make_folders(&folder).unwrap();
        make_folders(&folder).unwrap();
        let mode = folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn each_folder_that_is_made_is_flushed_in_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        let folder = base.join("a/b");
        assert_eq!(missing(&folder), [folder.as_path(), &base.join("a")]);
        make_folders(&base.join("a")).unwrap();
        assert_eq!(missing(&folder), [folder.as_path()]);
        assert_eq!(
            missing(Path::new("none/x")),
            ["none/x", "none"].map(Path::new)
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_not_taken_for_its_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [b'x'; 2048]).unwrap();
        assert_eq!(read_up_to(file.path(), 2048).unwrap().len(), 2048);
        let error = read_up_to(file.path(), 1024).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it has more than 1 KiB");
    }
}
