//! Snapshots as others pack them: compressed by gzip, bzip2, xz or lz4, alone in a tar or zip archive. kops, RKE2 and
//! scripts of all kinds do so. What is none of this is named for what it is.
//!
//! An archive has to have exactly one database. Nothing of it is stored but that, and none of its paths is followed.

mod archive;
mod what;

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use etcd_datadir::error::Damage;
use etcd_datadir::progress::OnProgress;
use etcd_datadir::source::{FileSource, Source};
use etcd_datadir::tree::Database;

use super::input::Content;
use super::spool::Spooled;
use super::{Archive, Forms, Found, Opened, Spool, UnpackError, open_as};
use crate::advice::Task;
use archive::Candidates;
pub use what::{HEAD, What};

/// What a zip archive begins with: the header of a file, or the end of an empty archive.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Opens a snapshot however it is packed. A path that leads to a pipe or a device is read as a stream.
///
/// # Errors
/// [`UnpackError`].
pub fn open(
    path: &Path,
    spool: &Spool,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let name = path.display().to_string();
    let trouble = |error| UnpackError::from(etcd_datadir::Error::io(&name, "open", error));
    let kind = path.metadata().map_err(trouble)?.file_type();
    if kind.is_dir() {
        return Err(folder(path, name));
    }
    if kind.is_socket() {
        return Err(etcd_datadir::Error::NotAFile { file: name }.into());
    }
    // One that was a file a moment ago and is a pipe without a writer now keeps nobody waiting.
    let flags = match kind.is_file() {
        true => i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0),
        false => 0,
    };
    let file = File::options().read(true).custom_flags(flags).open(path);
    open_file(file.map_err(trouble)?, &name, spool, on_progress)
}

/// The same of what is open already. `name` is what messages call it.
///
/// # Errors
/// [`UnpackError`].
pub fn open_file(
    file: File,
    name: &str,
    spool: &Spool,
    on_progress: OnProgress<'_>,
) -> Result<Opened, UnpackError> {
    let opened = open_as(file, name, spool, Forms::Any, on_progress)?;
    match named(&opened)? {
        Some(what) => Err(UnpackError::NotASnapshot {
            name: name.to_owned(),
            what: within(&opened.found, &what),
            hint: what.hint,
        }),
        None => Ok(opened),
    }
}

/// What a file is that is no database; none: it is one, or one that is damaged, or nothing that is known.
fn named(opened: &Opened) -> Result<Option<What>, UnpackError> {
    let source = &opened.source;
    match Database::open(source) {
        Err(etcd_datadir::Error::Damaged {
            damage: Damage::NoMeta,
            ..
        }) => {}
        Ok(_) | Err(_) => return Ok(None),
    }
    let mut head = vec![0; usize::try_from(source.size()).map_or(HEAD, |size| size.min(HEAD))];
    source.read_exact_at(&mut head, 0)?;
    Ok(What::of(&head))
}

/// What it is, and in what.
fn within(found: &Found, what: &What) -> String {
    match found {
        Found::Foreign(pack) => {
            let layers = pack.layers.iter().map(|layer| layer.name());
            let archive = pack.archive.as_ref().map(|(archive, _)| archive.name());
            let all: Vec<&str> = layers.chain(archive).collect();
            format!("what is packed in it ({}) is {}", all.join(", "), what.name)
        }
        Found::Zstd => format!("what is packed in it (zstd) is {}", what.name),
        Found::Plain | Found::Bundle(_) => format!("it is {}", what.name),
    }
}

/// A folder is no snapshot, but it may have a database in it.
fn folder(path: &Path, name: String) -> UnpackError {
    let member = path.join("member/snap/db").is_file();
    let what = match member {
        true => "it is a data directory of etcd",
        false => "it is a folder",
    };
    let hint = match member {
        true => Task::InspectDataDirectory.of(&name).into(),
        false => format!(
            "name the files in it, such as {}",
            path.join("*.db").display()
        )
        .into(),
    };
    UnpackError::NotASnapshot {
        name,
        what: what.to_owned(),
        hint: Some(hint),
    }
}

/// Whether a zip archive begins so.
pub(super) fn is_zip(head: &[u8]) -> bool {
    ZIP.iter().any(|magic| head.starts_with(magic))
}

impl Archive {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Zip => "zip",
        }
    }
}

/// Spools the only database in an archive, and says what it is called there.
pub(super) fn only_database<'s>(
    archive: Archive,
    content: &mut Content<'_>,
    name: &'s str,
    spool: &'s Spool,
) -> Result<(Spooled<'s>, String), UnpackError> {
    let mut candidates = Candidates::new(archive, name, spool);
    match archive {
        Archive::Tar => candidates.of_tar(content)?,
        Archive::Zip => {
            // Its list of files is at its end.
            let mut whole = spool.begin(name)?;
            content.all(|bytes| whole.write(bytes))?;
            let (whole, _) = whole.finish()?;
            candidates.of_zip(&whole)?;
        }
    }
    candidates.only()
}

/// A spooled file, to be read from its beginning.
fn reader(source: &FileSource) -> Result<File, UnpackError> {
    let trouble = |error| etcd_datadir::Error::io(source.name(), "open", error);
    let mut file = source.file().try_clone().map_err(trouble)?;
    std::io::Seek::rewind(&mut file).map_err(trouble)?;
    Ok(file)
}

#[cfg(test)]
#[path = "foreign/tests.rs"]
mod tests;
