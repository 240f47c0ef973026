//! Packing a snapshot while it arrives, on a thread of its own: hashing and storing have enough to do.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::beside::Beside;
use crate::disk::files::trouble;
use crate::failure::Failure;
use crate::pack::segment::{Attributes, Hashed, Segment, encoder};
use crate::pack::{Level, SNAPSHOT};

/// How many pieces may wait.
const PIECES: usize = 4;

/// What the thread makes.
pub(super) enum Kind {
    Zstd(Level),
    /// With the size of the database snapshot, which tar wants to know before.
    Bundle(Beside, u64),
}

/// A thread that packs.
pub(super) struct Packer {
    pieces: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<io::Result<Packed>>>,
    path: PathBuf,
}

/// What came of it.
pub(super) enum Packed {
    Zstd(Hashed<File>),
    Bundle(Segment<Hashed<File>>),
}

impl Packer {
    /// Packs into a file, which messages call by its path.
    pub(super) fn begin(file: &File, path: &Path, kind: Kind) -> Result<Self, Failure> {
        let failed = |error: &io::Error| trouble("write", path, error);
        let out = Hashed::new(file.try_clone().map_err(|error| failed(&error))?);
        let (sender, receiver) = sync_channel(PIECES);
        let thread = std::thread::Builder::new()
            .name("packing".to_owned())
            .spawn(move || pack(out, kind, &receiver))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            pieces: Some(sender),
            thread: Some(thread),
            path: path.to_owned(),
        })
    }

    /// Takes the next piece of the snapshot.
    pub(super) fn push(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        let sent = self.pieces.as_ref().map(|pieces| pieces.send(bytes));
        match sent {
            Some(Ok(())) => Ok(()),
            // It has ended early, and says why.
            Some(Err(_)) | None => self.end().map(drop),
        }
    }

    /// There are no more pieces.
    pub(super) fn end(&mut self) -> Result<Packed, Failure> {
        self.pieces = None;
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(packed)) => packed.map_err(|error| trouble("write", &self.path, &error)),
            Some(Err(_)) | None => Err(Failure::other("packing ended unexpectedly")),
        }
    }
}

impl Drop for Packer {
    /// The thread must not write into the file of somebody who comes later.
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn pack(out: Hashed<File>, kind: Kind, pieces: &Receiver<Vec<u8>>) -> io::Result<Packed> {
    match kind {
        Kind::Zstd(level) => {
            let mut encoder = encoder(out, level)?;
            for piece in pieces {
                encoder.write_all(&piece)?;
            }
            Ok(Packed::Zstd(encoder.finish()?))
        }
        Kind::Bundle(beside, size) => {
            let parts = beside.parts();
            let segment = Segment::begin(out, &parts.top, parts.level)?;
            let mut entry = segment.file(SNAPSHOT, size, Attributes::now())?;
            for piece in pieces {
                entry.write(&piece)?;
            }
            Ok(Packed::Bundle(beside.pack(entry.end()?)?))
        }
    }
}
