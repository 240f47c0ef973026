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
use crate::disk::files::trouble;
use crate::disk::{self, Room};
use crate::failure::{Failure, FailureKind};
use crate::transfer::hex;

/// What stays free on the disk, whatever a file says or does.
const KEPT_FREE: u64 = 512 << 20;

/// The same on a node, in percent of the disk: with less kubelet removes images and evicts pods (`imagefs.available<15%`,
/// `nodefs.available<10%`).
const KEPT_FREE_PERCENT: u64 = 15;

/// What a file may take all the same, if [`KEPT_FREE`] stays: so much, or an eighth of what is free where that is more. A disk
/// that has less free for other reasons must still be good for checking and restoring a snapshot of usual size; and from 15
/// percent on it takes no disk of more than 20 GiB below the 10 percent at which pods are evicted.
const ALWAYS: u64 = 1 << 30;

/// After how many bytes the disk is looked at again.
pub(super) const LOOK_EVERY: u64 = 64 << 20;

/// How much room a folder's disk has.
type Look = dyn Fn(&Path) -> io::Result<Room> + Send + Sync;

/// A folder for unpacked snapshots.
pub struct Spool {
    folder: PathBuf,
    elsewhere: Option<&'static str>,
    kept_percent: u64,
    always: u64,
    look: Box<Look>,
}

impl Spool {
    /// This folder, which has to be there, on a node.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            elsewhere: None,
            kept_percent: KEPT_FREE_PERCENT,
            always: ALWAYS,
            look: Box::new(disk::room),
        }
    }

    /// The same on a host without a kubelet, which evicts nobody.
    #[must_use]
    pub fn without_kubelet(self) -> Self {
        Self {
            kept_percent: 0,
            ..self
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

    /// The same where a file may always take so many bytes.
    #[cfg(test)]
    pub(super) fn with_always(self, always: u64) -> Self {
        Self { always, ..self }
    }

    /// The same with a disk of a test's own.
    #[cfg(test)]
    pub(super) fn with_room(
        self,
        look: impl Fn(&Path) -> io::Result<Room> + Send + Sync + 'static,
    ) -> Self {
        Self {
            look: Box::new(look),
            ..self
        }
    }

    /// Begins a file, which messages call by this name.
    pub(crate) fn begin<'s>(&'s self, name: &'s str) -> Result<Spooled<'s>, UnpackError> {
        self.room_for(0, 0, name)?;
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
        self.room_for(0, 0, name)?;
        let made = Sealed::create(&self.folder, name);
        made.map_err(|error| self.trouble("make a file in", &error))
    }

    /// Whether there is room for `bytes` more in a file that has `taken` so many.
    pub(super) fn room_for(&self, taken: u64, bytes: u64, name: &str) -> Result<(), Failure> {
        let look = (self.look)(&self.folder).map_err(|error| self.trouble("look at", &error))?;
        let Room { free, size } = look;
        let always = self.always.max(free.saturating_add(taken) / 8);
        let kept = match taken.saturating_add(bytes) <= always {
            true => KEPT_FREE,
            false => KEPT_FREE.max(size / 100 * self.kept_percent),
        };
        let needed = bytes.saturating_add(kept);
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
            "{what} too much room in {folder}: {free} bytes are free there, of which {kept} stay free"
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
            self.spool.room_for(self.size, 0, self.name)?;
        }
        Ok(())
    }
}

impl Keep for Spooled<'_> {
    fn announce(&mut self, bytes: u64) -> Result<(), UnpackError> {
        Ok(self.spool.room_for(self.size, bytes, self.name)?)
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
