//! Opening snapshots, packed or not. What a file is, is decided by its content, never by its name.
//!
//! A plain file is read where it lies. All else is streamed into a [`Spool`], and no byte of it counts before the last
//! one was read: a cut or changed file is an error. Nothing is ever unpacked to a path that stands in a bundle.
//!
//! Memory: what zstd needs, 8 MiB for what this project packs and at most 128 MiB (its own limit), a description, and
//! about 200 bytes for each file in a bundle.

mod bundle;
mod entry;
mod input;
mod spool;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use etcd_datadir::progress::OnProgress;
use etcd_datadir::source::{FileSource, Source};

use crate::client::chain;
use crate::failure::{Failure, FailureKind};
use crate::kept::description::Description;
use entry::BLOCK;
use input::{Content, Input};
pub use spool::Spool;

/// What a zstd frame begins with (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A snapshot that can be read.
#[derive(Debug)]
pub struct Opened {
    /// The snapshot itself.
    pub source: FileSource,
    /// How it was packed.
    pub found: Found,
    /// What was read to the end for it; none: the file is read where it lies, and nothing of it was read yet.
    pub unpacked: Option<Unpacked>,
}

/// How a snapshot was packed.
#[derive(Debug)]
pub enum Found {
    /// Not at all.
    Plain,
    /// Compressed by zstd.
    Zstd,
    /// In a bundle, all of which is as this says.
    Bundle(Box<Description>),
}

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The file or stream as it was read.
    pub input: Sum,
    /// The snapshot in it.
    pub snapshot: Sum,
}

/// What bytes are known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// How many there are.
    pub size_bytes: u64,
    /// Their sha256 in hex.
    pub sha256: String,
}

/// Why nothing was opened.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is not what it should be: cut, changed, or made to do harm.
    #[error("{name}: damaged: {what}")]
    Damaged {
        /// The file, as the caller named it.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// It could not be read or stored.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Damaged { .. } => Self::new(FailureKind::Corrupt, error.to_string())
                .hint("what can still be read of it: tar --zstd -xf, or zstd -d for a compressed snapshot"),
            UnpackError::Failed(failure) => failure,
        }
    }
}

impl From<etcd_datadir::Error> for UnpackError {
    fn from(error: etcd_datadir::Error) -> Self {
        let kind = match error {
            etcd_datadir::Error::Cancelled => FailureKind::Interrupted,
            _ => FailureKind::Other,
        };
        Self::Failed(Failure::new(kind, chain(&error)))
    }
}

/// Opens a file. Progress is told only while it is unpacked, in bytes of the packed file.
///
/// # Errors
/// [`UnpackError`].
pub fn open(
    path: &Path,
    spool: &Spool,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    regular(FileSource::open(path)?, spool, on_progress)
}

/// Opens what is open already, such as standard input: a file is read where it lies, anything else as a stream. `name` is
/// what messages call it.
///
/// # Errors
/// [`UnpackError`].
pub fn open_file(
    file: File,
    name: &str,
    spool: &Spool,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let mut file = file;
    // One that somebody has read a part of is a stream of the rest.
    let whole = file.metadata().is_ok_and(|found| found.is_file())
        && file.stream_position().is_ok_and(|at| at == 0);
    if whole {
        let source = FileSource::from_file(file, name.to_owned())?;
        return regular(source, spool, on_progress);
    }
    stream(file, None, name, spool, on_progress)
}

fn regular(
    source: FileSource,
    spool: &Spool,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let mut head = [0; BLOCK];
    let there = usize::try_from(source.size()).map_or(BLOCK, |size| size.min(BLOCK));
    source.read_exact_at(&mut head[..there], 0)?;
    if !is_zstd(&head) && !is_tar(&head) {
        return Ok(Opened {
            source,
            found: Found::Plain,
            unpacked: None,
        });
    }
    let name = source.name();
    let file = source.file().try_clone();
    let file = file.map_err(|error| etcd_datadir::Error::io(name, "open", error))?;
    stream(file, Some(source.size()), name, spool, on_progress)
}

/// Reads a stream to its end and spools the snapshot in it.
pub(crate) fn stream(
    file: impl Read,
    size: Option<u64>,
    name: &str,
    spool: &Spool,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let mut input = Input::new(file, size, name, on_progress);
    let mut content = Content::plain(&mut input, name);
    let mut head = content.block()?;
    if head.is_empty() {
        let message = format!("{name} is empty");
        let hint = "see what the command before the pipe says";
        return Err(Failure::new(FailureKind::Missing, message)
            .hint(hint)
            .into());
    }
    let zstd = is_zstd(&head);
    if zstd {
        content = content.again(head).decompressed()?;
        head = content.block()?;
    }
    let tar = is_tar(&head);
    content = content.again(head);
    let mut snapshot = spool.begin(name)?;
    let found = if tar {
        Found::Bundle(Box::new(bundle::read(&mut content, &mut snapshot)?))
    } else {
        content.all(|bytes| snapshot.write(bytes))?;
        if zstd { Found::Zstd } else { Found::Plain }
    };
    drop(content);
    let (source, snapshot) = snapshot.finish()?;
    let input = input.finish();
    Ok(Opened {
        source,
        found,
        unpacked: Some(Unpacked { input, snapshot }),
    })
}

fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&ZSTD)
}

/// Every tar of the last 35 years has this in the header of its first entry. In a database these bytes are zero.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}
