//! Reading a node's file system that is found at some root: links lead where they would lead on the node, never outside.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags, open};

use crate::pack::segment::Attributes;
use crate::root;

/// So many files and no more are found below one folder.
const MOST_FILES: usize = 2000;

/// A node's file system.
pub(super) struct Tree {
    root: PathBuf,
}

/// A file that was read.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) attributes: Attributes,
}

impl Tree {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        root.read_dir()?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    fn at(&self, path: &Path) -> io::Result<File> {
        // A FIFO must not keep us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let path = root::below(&self.root, path)?;
        Ok(open(path, flags, Mode::empty())?.into())
    }

    /// Reads a regular file of at most so many bytes; none: it is something else.
    pub(super) fn read(&self, path: &Path, most: u64) -> io::Result<Option<Found>> {
        let file = self.at(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            let message = format!("it has {} bytes, and at most {most} are taken", about.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(Some(Found {
            bytes,
            attributes: Attributes {
                // Who unpacks it as root must not make a program of it that runs as root.
                mode: about.permissions().mode() & 0o777,
                modified: u64::try_from(about.mtime()).unwrap_or(0),
            },
        }))
    }

    /// A file, or all files below a folder that are not hidden, but for those below `but`. Links are followed; those that
    /// lead nowhere are among the files.
    pub(super) fn files_below(&self, path: &Path, but: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut open = vec![path.to_owned()];
        let mut seen = HashSet::new();
        while let Some(path) = open.pop() {
            let file = match self.at(&path) {
                Ok(file) => file,
                Err(error) if found.is_empty() && open.is_empty() && seen.is_empty() => {
                    return Err(error);
                }
                // Why, shows when it is read.
                Err(_) => {
                    found.push(path);
                    continue;
                }
            };
            let about = file.metadata()?;
            if !about.is_dir() {
                if about.is_file() {
                    found.push(path);
                }
                continue;
            }
            // Links may lead in circles.
            if !seen.insert((about.dev(), about.ino())) {
                continue;
            }
            for entry in Dir::read_from(&file)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                let path = path.join(OsStr::from_bytes(name));
                if !name.starts_with(b".") && !path.starts_with(but) {
                    open.push(path);
                }
            }
            if found.len() + open.len() > MOST_FILES {
                let message = format!("there are more than {MOST_FILES} files");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
            }
        }
        Ok(found)
    }
}
