//! Opening snapshots, packed or not. What a file is, is decided by its content, never by its name.
//!
//! A plain file is read where it lies. All else is streamed into a [`Spool`], and no byte of it counts before the last
//! one was read: a cut or changed file is an error. Nothing is ever unpacked to a path that stands in a bundle.
//!
//! How others pack snapshots is read by [`foreign`], which the program on the nodes does without.
//!
//! Memory: what zstd needs, 8 MiB for what this project packs and at most 128 MiB (its own limit), a description, and
//! about 200 bytes for each file in a bundle.

mod arrival;
mod bundle;
mod compression;
mod entry;
#[cfg(feature = "foreign-packs")]
pub mod foreign;
mod input;
mod sealed;
pub mod segment;
mod spool;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "foreign-packs"))]
use std::fs::File;
use std::io::Read;
#[cfg(any(test, feature = "foreign-packs"))]
use std::io::Seek;
use std::path::Path;

use etcd_datadir::progress::OnProgress;
use etcd_datadir::source::{FileSource, Source};

use crate::advice::Advice;
use crate::client::chain;
use crate::failure::{Failure, FailureKind};
use crate::pack::SNAPSHOT;
use crate::report::SnapshotReport;
use crate::stored::description::Description;
pub use arrival::{Arrived, Pages, arriving, arriving_in};
pub use bundle::{MOST_ENTRIES, MOST_TOGETHER};
pub use compression::Compression;
use entry::BLOCK;
use input::{Content, Input};
pub use spool::Spool;
use spool::Spooled;

/// In how many layers of compression a snapshot may be. Nobody has a reason for more.
const MOST_LAYERS: usize = 3;

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

impl Opened {
    /// Whether the file, packed or not, is the one that is described. Of a plain one the sha256 is known to be right when
    /// the one at its end is, and the content that is described.
    #[must_use]
    pub fn is_described_by(&self, described: &SnapshotReport) -> bool {
        let sum = |size_bytes, sha256: &String| Sum {
            size_bytes,
            sha256: sha256.clone(),
        };
        match (&described.packed, &self.unpacked) {
            (None, None) => self.source.size() == described.size_bytes,
            (Some(packed), Some(unpacked)) => {
                unpacked.input == sum(described.size_bytes, &described.sha256)
                    && unpacked.snapshot == sum(packed.size_bytes, &packed.sha256)
                    && packed.bundle.is_some() == matches!(self.found, Found::Bundle(_))
            }
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
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
    /// As others pack it.
    Foreign(ForeignPack),
}

/// How somebody else packed a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPack {
    /// The compressions, the outermost first.
    pub layers: Vec<Compression>,
    /// The archive in them, and the snapshot's name there.
    pub archive: Option<(Archive, String)>,
}

/// An archive of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// tar
    Tar,
    /// zip
    Zip,
}

/// What forms are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forms {
    /// Those that this project writes.
    Own,
    /// Those of others too.
    #[cfg(feature = "foreign-packs")]
    Any,
}

impl Forms {
    /// All that this build can read.
    #[cfg(feature = "foreign-packs")]
    pub(crate) const KNOWN: Self = Self::Any;
    #[cfg(not(feature = "foreign-packs"))]
    pub(crate) const KNOWN: Self = Self::Own;

    /// The compression of bytes that begin so.
    fn compression(self, head: &[u8]) -> Option<Compression> {
        let found = Compression::of(head)?;
        (found == Compression::Zstd || self != Self::Own).then_some(found)
    }

    /// The archive that begins so.
    fn archive(self, head: &[u8]) -> Option<Archive> {
        match self {
            _ if is_tar(head) => Some(Archive::Tar),
            Self::Own => None,
            #[cfg(feature = "foreign-packs")]
            Self::Any => foreign::is_zip(head).then_some(Archive::Zip),
        }
    }
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
    /// It is something else, and nothing is known to be wrong with it.
    #[error("{name} is not an etcd snapshot: {what}")]
    NotASnapshot {
        /// The file, as the caller named it.
        name: String,
        /// What it is.
        what: String,
        /// What would help.
        hint: Option<Advice>,
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
            UnpackError::NotASnapshot { ref hint, .. } => {
                let failure = Self::new(FailureKind::Other, error.to_string());
                Self {
                    hint: hint.clone(),
                    ..failure
                }
            }
            UnpackError::Failed(failure) => failure,
        }
    }
}

impl From<etcd_datadir::Error> for UnpackError {
    fn from(error: etcd_datadir::Error) -> Self {
        let kind = match error {
            etcd_datadir::Error::Damaged { file, damage } => {
                let what = damage.to_string();
                return Self::Damaged { name: file, what };
            }
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
    regular(FileSource::open(path)?, spool, Forms::Own, on_progress)
}

#[cfg(any(test, feature = "foreign-packs"))]
fn open_as(
    file: File,
    name: &str,
    spool: &Spool,
    forms: Forms,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let mut file = file;
    // One that somebody has read a part of is a stream of the rest.
    let whole = file.metadata().is_ok_and(|found| found.is_file())
        && file.stream_position().is_ok_and(|at| at == 0);
    if whole {
        let source = FileSource::from_file(file, name.to_owned())?;
        return regular(source, spool, forms, on_progress);
    }
    stream(file, None, name, spool, forms, on_progress)
}

fn regular(
    source: FileSource,
    spool: &Spool,
    forms: Forms,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let mut head = [0; BLOCK];
    let there = usize::try_from(source.size()).map_or(BLOCK, |size| size.min(BLOCK));
    source.read_exact_at(&mut head[..there], 0)?;
    let head = &head[..there];
    if forms.compression(head).is_none() && forms.archive(head).is_none() {
        return Ok(Opened {
            source,
            found: Found::Plain,
            unpacked: None,
        });
    }
    let name = source.name();
    let file = source.file().try_clone();
    let file = file.map_err(|error| etcd_datadir::Error::io(name, "open", error))?;
    stream(file, Some(source.size()), name, spool, forms, on_progress)
}

/// Reads a stream to its end and spools the snapshot in it.
pub(crate) fn stream(
    file: impl Read,
    size: Option<u64>,
    name: &str,
    spool: &Spool,
    forms: Forms,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let mut input = Input::new(file, size, name, on_progress);
    let mut content = Content::plain(&mut input, name);
    let mut head = content.block()?;
    if head.is_empty() {
        let message = format!("{name} is empty");
        let hint = "see what the command before the pipe says";
        return Err(Failure::missing(message).hint(hint).into());
    }
    let mut layers = Vec::new();
    while let Some(layer) = forms.compression(&head) {
        if layers.len() == MOST_LAYERS {
            return Err(content.damaged(format!("it is compressed more than {MOST_LAYERS} times")));
        }
        content = content.again(head).decompressed(layer)?;
        head = content.block()?;
        layers.push(layer);
    }
    let archive = forms.archive(&head);
    let ours = archive == Some(Archive::Tar)
        && (forms == Forms::Own
            || is_bundle(&head) && layers.iter().all(|layer| *layer == Compression::Zstd));
    content = content.again(head);
    let (snapshot, found) = match archive {
        Some(Archive::Tar) if ours => {
            let mut snapshot = spool.begin(name)?;
            let description = bundle::read(&mut content, &mut snapshot)?;
            (snapshot, Found::Bundle(Box::new(description)))
        }
        Some(archive) => archived(archive, &mut content, name, spool, &layers)?,
        None => {
            let mut snapshot = spool.begin(name)?;
            content.all(|bytes| snapshot.write(bytes))?;
            (snapshot, Found::layered(layers))
        }
    };
    drop(content);
    let (source, snapshot) = snapshot.finish()?;
    let input = input.finish()?;
    Ok(Opened {
        source,
        found,
        unpacked: Some(Unpacked { input, snapshot }),
    })
}

/// Takes the one snapshot out of an archive that is no bundle.
#[cfg(feature = "foreign-packs")]
fn archived<'s>(
    archive: Archive,
    content: &mut Content<'_>,
    name: &'s str,
    spool: &'s Spool,
    layers: &[Compression],
) -> Result<(Spooled<'s>, Found), UnpackError> {
    let (snapshot, member) = foreign::only_database(archive, content, name, spool)?;
    let pack = ForeignPack {
        layers: layers.to_vec(),
        archive: Some((archive, member)),
    };
    Ok((snapshot, Found::Foreign(pack)))
}

#[cfg(not(feature = "foreign-packs"))]
fn archived<'s>(
    _archive: Archive,
    content: &mut Content<'_>,
    _name: &'s str,
    _spool: &'s Spool,
    _layers: &[Compression],
) -> Result<(Spooled<'s>, Found), UnpackError> {
    Err(content.damaged("not a bundle as kubectl etcd writes it"))
}

impl Found {
    /// Of what is in these compressions and in no archive.
    fn layered(layers: Vec<Compression>) -> Self {
        match layers.as_slice() {
            [] => Self::Plain,
            [Compression::Zstd] => Self::Zstd,
            _ => Self::Foreign(ForeignPack {
                layers,
                archive: None,
            }),
        }
    }
}

/// Every tar of the last 35 years has this in the header of its first entry. In a database these bytes are zero.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Whether the first entry of a tar archive is that of a bundle. What was changed so that it is none any more has a wrong
/// checksum, which every reader of archives sees.
fn is_bundle(head: &[u8]) -> bool {
    let first = head.first_chunk().and_then(entry::path_of_ours);
    first.is_some_and(|path| path == SNAPSHOT)
}
