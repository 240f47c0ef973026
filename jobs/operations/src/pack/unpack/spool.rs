//! Where unpacked snapshots lie while they are read: files without names, of which nothing is left when the process ends,
//! however it does.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use etcd_datadir::source::FileSource;
use sha2::{Digest, Sha256};

use super::bundle::Keep;
use super::sealed::Sealed;
use super::{Sum, UnpackError};
use crate::disk;
use crate::failure::{Failure, FailureKind};
use crate::kept::files::trouble;
use crate::transfer::hex;

/// What stays free on the disk, whatever a file says or does.
const KEPT_FREE: u64 = 512 << 20;

/// After how many bytes the disk is looked at again.
pub(super) const LOOK_EVERY: u64 = 64 << 20;

/// How many bytes are free in a folder.
type Free = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// A folder for unpacked snapshots.
pub struct Spool {
    folder: PathBuf,
    elsewhere: Option<&'static str>,
    free: Box<Free>,
}

impl Spool {
    /// This folder, which has to be there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            elsewhere: None,
            free: Box::new(disk::free),
        }
    }

    /// The same; what the user may do to have another folder taken.
    #[must_use]
    pub fn or_else(self, elsewhere: &'static str) -> Self {
        Self {
            elsewhere: Some(elsewhere),
            ..self
        }
    }

    /// The same with a disk of a test's own.
    #[cfg(test)]
    pub(super) fn with_free(
        self,
        free: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            free: Box::new(free),
            ..self
        }
    }

    /// Begins a file, which messages call by this name.
    pub(crate) fn begin<'s>(&'s self, name: &'s str) -> Result<Spooled<'s>, UnpackError> {
        self.room_for(0, name)?;
        let file =
            disk::unnamed(&self.folder).map_err(|error| self.trouble("make a file in", &error))?;
        Ok(Spooled {
            file,
            spool: self,
            name,
            sha: Sha256::new(),
            size: 0,
            looked: 0,
        })
    }

    /// Begins one that only this process can read.
    pub(super) fn sealed(&self, name: &str) -> Result<Sealed, Failure> {
        self.room_for(0, name)?;
        let made = Sealed::create(&self.folder, name);
        made.map_err(|error| self.trouble("make a file in", &error))
    }

    pub(super) fn room_for(&self, bytes: u64, name: &str) -> Result<(), Failure> {
        let free = (self.free)(&self.folder).map_err(|error| self.trouble("look at", &error))?;
        let needed = bytes.saturating_add(KEPT_FREE);
        if free >= needed {
            return Ok(());
        }
        let folder = self.folder.display();
        let what = if bytes > 0 {
            format!("the {bytes} bytes of the snapshot in {name} take")
        } else {
            format!("unpacking {name} takes")
        };
        let message = format!(
            "{what} too much room in {folder}: {free} bytes are free there, of which {KEPT_FREE} stay free"
        );
        let hint = format!("free {} bytes there", needed - free);
        Err(self.hinted(Failure::new(FailureKind::NoSpace, message), &hint))
    }

    pub(super) fn trouble(&self, action: &str, error: &io::Error) -> Failure {
        let failure = trouble(action, &self.folder, error);
        self.hinted(failure, "see whether the folder is there and has room")
    }

    fn hinted(&self, failure: Failure, hint: &str) -> Failure {
        failure.hint(match self.elsewhere {
            Some(elsewhere) => format!("{hint}, or {elsewhere}"),
            None => hint.to_owned(),
        })
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A file that is being spooled.
pub(crate) struct Spooled<'s> {
    file: File,
    spool: &'s Spool,
    name: &'s str,
    sha: Sha256,
    size: u64,
    /// Its size when the disk was looked at.
    looked: u64,
}

impl Spooled<'_> {
    /// All of it is there.
    pub(crate) fn finish(self) -> Result<(FileSource, Sum), UnpackError> {
        let source = FileSource::from_file(self.file, self.name.to_owned())?;
        let sum = Sum {
            size_bytes: self.size,
            sha256: hex(&self.sha.finalize()),
        };
        Ok((source, sum))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.spool.trouble("write to", &error))?;
        self.sha.update(bytes);
        self.size += bytes.len() as u64;
        if self.size - self.looked >= LOOK_EVERY {
            self.looked = self.size;
            self.spool.room_for(0, self.name)?;
        }
        Ok(())
    }
}

impl Keep for Spooled<'_> {
    fn announce(&mut self, bytes: u64) -> Result<(), UnpackError> {
        Ok(self.spool.room_for(bytes, self.name)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        Spooled::write(self, bytes)
    }

    fn sum(&self) -> Result<Sum, UnpackError> {
        Ok(Sum {
            size_bytes: self.size,
            sha256: hex(&self.sha.clone().finalize()),
        })
    }
}
