//! The staging directory: everything is made there and gets its name when it is complete and on disk.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::disk::{make_folders, rename_new, sync_folder};

use super::RestoreError;
use super::new_cluster::random_hex;

/// A directory in the making. It is removed again unless it gets its name.
#[derive(Debug)]
pub(super) struct Stage {
    dir: PathBuf,
    target: PathBuf,
    named: bool,
}

impl Stage {
    /// Makes an empty directory of mode 0700 that will become `target`: beside it, or in `within`, which must be on the
    /// same file system. Missing parents of the target are made.
    pub(super) fn new(target: &Path, within: Option<&Path>) -> Result<Self, RestoreError> {
        if target.symlink_metadata().is_ok() {
            return Err(RestoreError::Exists(target.to_owned()));
        }
        let parent = within.map_or_else(|| parent_of(target), Path::to_owned);
        make_folders(&parent).map_err(|e| cannot_make(&parent, e))?;
        let name = target
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let dir = parent.join(format!(".{name}.restore-{}", random_hex(6)?));
        make(&dir)?;
        Ok(Self {
            dir,
            target: target.to_owned(),
            named: false,
        })
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Makes a directory in it.
    pub(super) fn subdirectory(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(name);
        make(&path)?;
        Ok(path)
    }

    /// Gives it its name and flushes that; those of the parents were flushed when they were made. Nothing is replaced: if the
    /// name was taken meanwhile, it is an error.
    pub(super) fn name(&mut self) -> Result<(), RestoreError> {
        rename_new(&self.dir, &self.target).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                RestoreError::Exists(self.target.clone())
            }
            _ => rename_error(&self.target, e).into(),
        })?;
        self.named = true;
        let flushed = sync_dir(&parent_of(&self.target));
        if flushed.is_err() {
            self.take_back();
        }
        Ok(flushed?)
    }

    /// Takes the name away again, so that the directory is removed with this.
    pub(super) fn take_back(&mut self) {
        // If not even this can be done, the target stays: it is whole, and nobody is told that it is there.
        if self.named && std::fs::rename(&self.target, &self.dir).is_ok() {
            self.named = false;
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.named {
            // Nobody is left to be told. What stays behind bears ".restore-" in its name and holds nothing of the user's.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn rename_error(target: &Path, e: io::Error) -> Error {
    Error::io(
        &target.display().to_string(),
        "give the finished directory its name",
        e,
    )
}

/// The directory a path is in; "." for a bare name.
pub(super) fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn make(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|e| cannot_make(path, e))
}

fn cannot_make(path: &Path, e: io::Error) -> Error {
    Error::io(&path.display().to_string(), "create the directory", e)
}

/// Flushes a directory: the names in it.
pub(super) fn sync_dir(path: &Path) -> Result<(), Error> {
    sync_folder(path).map_err(|e| Error::io(&path.display().to_string(), "flush the directory", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_stage_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a/b");
        let stage = Stage::new(&target, None).unwrap();
        stage.subdirectory("member").unwrap();
        assert!(stage.path().join("member").is_dir() && !target.exists());
        drop(stage);
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
    }

    #[test]
    fn a_name_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("etcd");
        let mut stage = Stage::new(&target, None).unwrap();
        stage.name().unwrap();
        assert!(target.is_dir());
        stage.take_back();
        drop(stage);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_finished_stage_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("etcd");
        let (mut first, mut second) = (
            Stage::new(&target, None).unwrap(),
            Stage::new(&target, None).unwrap(),
        );
        first.name().unwrap();
        assert!(matches!(second.name(), Err(RestoreError::Exists(_))));
        drop(second);
        assert!(matches!(
            Stage::new(&target, None),
            Err(RestoreError::Exists(_))
        ));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
