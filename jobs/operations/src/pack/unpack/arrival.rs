//! A snapshot that arrives from somewhere else, packed or not: all that [`crate::run`] checks where it is taken is checked
//! again where it arrives, while it comes. Who sent it may not be whom one takes it for.

use std::fs::File;
use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_datadir::hash::{HashKv, hashkv, hashkv_compacted};
use etcd_datadir::progress::{Progress, ignore};
use etcd_datadir::source::{FileSource, Source};
use etcd_datadir::status::Status;
use etcd_datadir::stream::SnapshotChecker;
use etcd_datadir::verify::{Verdict, VerifyOptions, verify};

use super::bundle::{self, Keep};
use super::input::{Content, Input, PIECE, unread};
use super::sealed::Sealed;
use super::{Compression, Found, Spool, Sum, UnpackError, is_tar};
use crate::failure::Failure;
use crate::work::fatal;

/// What arrived, by its own bytes. Its sha256 is the one etcd wrote at its end.
#[derive(Debug)]
pub struct Arrived {
    /// All bytes as they came.
    pub input: Sum,
    /// The snapshot in them, trailer included.
    pub snapshot: Sum,
    /// How it is packed.
    pub found: Found,
    /// What is in its pages; or why nobody could look at them here.
    pub pages: Result<Pages, Failure>,
}

/// The pages of a snapshot that were all read, and every record in them.
pub struct Pages {
    /// What `etcdutl snapshot status` says.
    pub status: Status,
    /// What etcd calls the hash of it, at its own revision and compaction.
    pub hash: HashKv,
    source: Box<dyn Source>,
}

impl Pages {
    /// The hash, as if it had been compacted as far as another member is since.
    ///
    /// # Errors
    /// When its revision is compacted away then.
    pub fn hash_compacted(&self, compacted: u64) -> Result<HashKv, etcd_datadir::Error> {
        if self.hash.compact_revision.unwrap_or(0) >= compacted {
            return Ok(self.hash);
        }
        hashkv_compacted(&*self.source, self.hash.revision, compacted, &mut ignore)
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages")
            .field("status", &self.status)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// Checks a snapshot that is stored as it comes: `bytes` are what comes, and what was read of them is in `file` already. One
/// that is not packed is looked at where it lies, as soon as there are as many bytes as there have to be, and not only when no
/// more can come; one that is packed is unpacked as by [`arriving`]. It ends early when it is `stopped`.
///
/// # Errors
/// [`UnpackError::Damaged`] when it is no whole and undamaged snapshot; what reading says.
pub fn arriving_in(
    file: &File,
    mut bytes: impl Read,
    name: &str,
    spool: &Spool,
    stopped: &AtomicBool,
) -> Result<Arrived, UnpackError> {
    let head = Content::plain(&mut bytes, name).block()?;
    let packed = Compression::of(&head) == Some(Compression::Zstd) || is_tar(&head);
    let bytes = Cursor::new(head).chain(bytes);
    match packed {
        true => arriving(bytes, name, spool, stopped),
        false => plain_in(file, bytes, name, stopped),
    }
}

/// Checks one that is not packed, and lies in a file.
fn plain_in(
    file: &File,
    mut bytes: impl Read,
    name: &str,
    stopped: &AtomicBool,
) -> Result<Arrived, UnpackError> {
    let mut checker = SnapshotChecker::new(name);
    let mut piece = vec![0; PIECE];
    let mut next = |piece: &mut [u8]| bytes.read(piece).map_err(|error| unread(error, name));
    loop {
        let read = next(&mut piece)?;
        checker.push(&piece[..read])?;
        if read == 0 || Some(checker.size()) == checker.expected_size() {
            break;
        }
    }
    let received = checker.finish()?;
    let file = file.try_clone();
    let file = file.map_err(|error| etcd_datadir::Error::io(name, "open", error))?;
    let source = FileSource::from_file(file, name.to_owned())?;
    let pages = look(Box::new(source), stopped)?;
    if next(&mut piece)? > 0 {
        return Err(UnpackError::Damaged {
            name: name.to_owned(),
            what: "it goes on after its end".to_owned(),
        });
    }
    let whole = Sum {
        size_bytes: received.size,
        sha256: received.file_sha256,
    };
    Ok(Arrived {
        input: whole.clone(),
        snapshot: whole,
        found: Found::Plain,
        pages: Ok(pages),
    })
}

/// Checks a snapshot that is stored nowhere, or not as it is: it is unpacked into an encrypted file in the spool's folder.
/// Where there is no room for that, its pages are not looked at, which is no error; all else is checked all the same. It
/// ends early when it is `stopped`.
///
/// # Errors
/// As [`arriving_in`].
pub fn arriving(
    bytes: impl Read,
    name: &str,
    spool: &Spool,
    stopped: &AtomicBool,
) -> Result<Arrived, UnpackError> {
    let mut on_progress = |_: Progress| flow(stopped);
    let mut input = Input::new(bytes, None, name, &mut on_progress);
    let mut content = Content::plain(&mut input, name);
    let mut head = content.block()?;
    let zstd = Compression::of(&head) == Some(Compression::Zstd);
    if zstd {
        content = content.again(head).decompressed(Compression::Zstd)?;
        head = content.block()?;
    }
    let tar = is_tar(&head);
    content = content.again(head);
    let mut snapshot = Unpacking::begin(spool, name);
    let found = if tar {
        Found::Bundle(Box::new(bundle::read(&mut content, &mut snapshot)?))
    } else {
        content.all(|bytes| snapshot.write(bytes))?;
        if zstd { Found::Zstd } else { Found::Plain }
    };
    drop(content);
    let sum = snapshot.sum()?;
    let pages = match snapshot.store {
        Ok(sealed) => Ok(look(Box::new(sealed), stopped)?),
        Err(failure) => Err(failure),
    };
    Ok(Arrived {
        input: input.finish()?,
        snapshot: sum,
        found,
        pages,
    })
}

fn flow(stopped: &AtomicBool) -> ControlFlow<()> {
    match stopped.load(Ordering::Relaxed) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Walks the tree and decodes every record. The sha256 was compared on the way.
fn look(source: Box<dyn Source>, stopped: &AtomicBool) -> Result<Pages, UnpackError> {
    let options = VerifyOptions {
        sha256: false,
        ..VerifyOptions::default()
    };
    let mut on_progress = |_: Progress| flow(stopped);
    let found = verify(&*source, &options, None, &mut on_progress)?;
    let status = match (fatal(&found), found.verdict, found.status) {
        (None, Verdict::Reliable | Verdict::NotFullyChecked, Some(status)) => status,
        (what, ..) => {
            return Err(UnpackError::Damaged {
                name: source.name().to_owned(),
                what: what.unwrap_or_else(|| "its pages cannot be read".to_owned()),
            });
        }
    };
    let hash = hashkv(&*source, 0, &mut on_progress)?;
    Ok(Pages {
        status,
        hash,
        source,
    })
}

/// A snapshot while it is unpacked.
struct Unpacking<'s> {
    spool: &'s Spool,
    name: &'s str,
    checker: SnapshotChecker,
    /// Where it lies; or why it does not.
    store: Result<Sealed, Failure>,
    /// Its size when the disk was looked at.
    looked: u64,
}

impl<'s> Unpacking<'s> {
    fn begin(spool: &'s Spool, name: &'s str) -> Self {
        Self {
            spool,
            name,
            checker: SnapshotChecker::new(name),
            store: spool.sealed(name),
            looked: 0,
        }
    }
}

impl Keep for Unpacking<'_> {
    fn announce(&mut self, bytes: u64) -> Result<(), UnpackError> {
        if let Err(failure) = self.spool.room_for(self.checker.size(), bytes, self.name) {
            self.store = Err(failure);
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        self.checker.push(bytes)?;
        let (size, expected) = (self.checker.size(), self.checker.expected_size());
        if expected.is_some_and(|expected| size > expected) {
            // What can be unpacked without end is not waited for.
            return self.sum().map(drop);
        }
        let Ok(sealed) = &mut self.store else {
            return Ok(());
        };
        let written = sealed.write(bytes);
        let mut stored = written.map_err(|error| self.spool.trouble("write to", &error));
        if self.checker.size() - self.looked >= super::spool::LOOK_EVERY {
            self.looked = self.checker.size();
            stored = stored.and_then(|()| self.spool.room_for(self.looked, 0, self.name));
        }
        if let Err(failure) = stored {
            self.store = Err(failure);
        }
        Ok(())
    }

    fn sum(&self) -> Result<Sum, UnpackError> {
        let received = self.checker.finish()?;
        Ok(Sum {
            size_bytes: received.size,
            sha256: received.file_sha256,
        })
    }
}

#[cfg(test)]
#[path = "arrival_tests.rs"]
mod tests;
