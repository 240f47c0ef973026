//! The only database in an archive.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use etcd_datadir::source::FileSource;
use tar::EntryType;
use zip::ZipArchive;
use zip::result::ZipError;

use super::what::{What, is_database};
use super::{Archive, reader};
use crate::failure::Failure;
use crate::pack::unpack::bundle::Keep;
use crate::pack::unpack::entry::BLOCK;
use crate::pack::unpack::input::Content;
use crate::pack::unpack::spool::Spooled;
use crate::pack::unpack::{Spool, UnpackError};

/// The most files that are looked at.
const MOST_FILES: usize = 10_000;
/// The largest list of files in a zip archive, in bytes: each takes some hundred.
const LARGEST_LIST: u64 = 16 << 20;
/// How many files a message names.
const SHOWN: usize = 5;

/// The files of an archive, and the one that may be it.
pub(super) struct Candidates<'s> {
    archive: Archive,
    name: &'s str,
    spool: &'s Spool,
    /// The files, each with what it is if that is known.
    files: Vec<(String, Option<String>)>,
    databases: Vec<String>,
    kept: Option<Kept<'s>>,
}

struct Kept<'s> {
    member: String,
    is_database: bool,
    spooled: Spooled<'s>,
}

impl<'s> Candidates<'s> {
    pub(super) fn new(archive: Archive, name: &'s str, spool: &'s Spool) -> Self {
        Self {
            archive,
            name,
            spool,
            files: Vec::new(),
            databases: Vec::new(),
            kept: None,
        }
    }

    /// Looks at all of a tar archive. Its extended headers are not followed: they say what a file is called, which is
    /// nobody's business, and may be of any length.
    pub(super) fn of_tar(&mut self, content: &mut Content<'_>) -> Result<(), UnpackError> {
        let taken = self.tar_entries(tar::Archive::new(&mut *content));
        taken.map_err(|error| self.trouble(error, content))
    }

    fn tar_entries(&mut self, mut archive: tar::Archive<impl Read>) -> io::Result<()> {
        for entry in archive.entries()?.raw(true) {
            self.tar_entry(entry?)?;
        }
        Ok(())
    }

    fn tar_entry<R: Read>(&mut self, entry: tar::Entry<'_, R>) -> io::Result<()> {
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::GNUSparse => {
                let what = format!("{member:?} in it is a sparse file");
                return Err(refused(self.not_it(what, Some("tar -xf"))));
            }
            _ => return Ok(()),
        }
        let size = entry.header().entry_size()?;
        self.take(member, size, entry)
    }

    /// Looks at all of a zip archive.
    pub(super) fn of_zip(&mut self, whole: &FileSource) -> Result<(), UnpackError> {
        let left = Rc::new(Cell::new(LARGEST_LIST));
        let limited = Limited {
            reader: BufReader::new(reader(whole)?),
            left: Rc::clone(&left),
        };
        let mut archive = ZipArchive::new(limited).map_err(|error| self.zip_trouble(error))?;
        left.set(u64::MAX);
        for index in 0..archive.len() {
            let file = archive.by_index_raw(index);
            let file = file.map_err(|error| self.zip_trouble(error))?;
            let member = String::from_utf8_lossy(file.name_raw()).into_owned();
            let (is_file, size, encrypted) = (file.is_file(), file.size(), file.encrypted());
            drop(file);
            if !is_file {
                continue;
            }
            if encrypted {
                let what = format!("{member:?} in it is encrypted");
                return Err(self.not_it(what, Some("unzip")));
            }
            let file = archive.by_index(index);
            let file = file.map_err(|error| self.zip_trouble(error))?;
            let taken = self.take(member, size, file);
            taken.map_err(|error| self.of_io(error))?;
        }
        Ok(())
    }

    /// Looks at a file, and keeps it if it is a database, or the first that is anything.
    fn take(&mut self, member: String, size: u64, mut file: impl Read) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        if self.files.len() == MOST_FILES {
            let what = format!("it has more than {MOST_FILES} files");
            return Err(refused(self.not_it(what, Some(self.archive.unpacker()))));
        }
        let mut head = Vec::new();
        (&mut file).take(BLOCK as u64).read_to_end(&mut head)?;
        let is_database = is_database(&head);
        if is_database {
            self.databases.push(member.clone());
        }
        let what = What::of_head(&head).map(|what| what.name);
        self.files.push((member.clone(), what));
        let better = self
            .kept
            .as_ref()
            .is_none_or(|kept| is_database && !kept.is_database);
        if better {
            self.keep(member, size, is_database, &head, file)?;
        }
        Ok(())
    }

    fn keep(
        &mut self,
        member: String,
        size: u64,
        is_database: bool,
        head: &[u8],
        mut file: impl Read,
    ) -> io::Result<()> {
        self.kept = None;
        let mut spooled = self.spool.begin(self.name).map_err(refused)?;
        spooled.announce(size).map_err(refused)?;
        spooled.write(head).map_err(refused)?;
        let mut piece = vec![0; 256 << 10];
        let mut done = head.len() as u64;
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => {
                    done += read as u64;
                    spooled.write(&piece[..read]).map_err(refused)?;
                }
            }
        }
        if done < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.kept = Some(Kept {
            member,
            is_database,
            spooled,
        });
        Ok(())
    }

    /// The only database; else the only file.
    pub(super) fn only(mut self) -> Result<(Spooled<'s>, String), UnpackError> {
        let kept = self.kept.take();
        match (kept, self.databases.as_slice()) {
            (Some(kept), [_]) => Ok((kept.spooled, kept.member)),
            (Some(kept), []) if self.files.len() == 1 => Ok((kept.spooled, kept.member)),
            (_, []) if self.files.is_empty() => {
                let what = format!(
                    "it is a {} archive without a file in it",
                    self.archive.name()
                );
                Err(self.not_it(what, None))
            }
            (_, []) => {
                let files = self.files.iter().map(|(file, what)| match what {
                    Some(what) => format!("{file:?} ({what})"),
                    None => format!("{file:?}"),
                });
                let (count, files) = (self.files.len(), shown(files));
                let what = format!(
                    "it is a {} archive of {count} files, none of which begins as a database does: {files}",
                    self.archive.name()
                );
                Err(self.not_it(what, Some(self.archive.unpacker())))
            }
            (_, several) => {
                let (count, files) = (
                    several.len(),
                    shown(several.iter().map(|file| format!("{file:?}"))),
                );
                let what = format!(
                    "it is a {} archive of {count} databases: {files}",
                    self.archive.name()
                );
                Err(self.not_it(what, Some(self.archive.unpacker())))
            }
        }
    }

    fn not_it(&self, what: String, unpacker: Option<&'static str>) -> UnpackError {
        let hint = |unpacker| format!("unpack it ({unpacker}) and name the snapshot in it").into();
        UnpackError::NotASnapshot {
            name: self.name.to_owned(),
            what,
            hint: unpacker.map(hint),
        }
    }

    fn unreadable(&self, error: &io::Error) -> UnpackError {
        self.damaged(&format!("{} cannot read it: {error}", self.archive.name()))
    }

    fn damaged(&self, what: &str) -> UnpackError {
        UnpackError::Damaged {
            name: self.name.to_owned(),
            what: what.to_owned(),
        }
    }

    /// What an error of reading means: what this has put there itself, or something of the content.
    fn trouble(&self, error: io::Error, content: &Content<'_>) -> UnpackError {
        match error.downcast::<Refused>() {
            Ok(refused) => refused.0,
            Err(error) => content.trouble(error),
        }
    }

    fn of_io(&self, error: io::Error) -> UnpackError {
        match error.downcast::<Refused>() {
            Ok(refused) => refused.0,
            Err(error) => match error.downcast::<Failure>() {
                Ok(failure) => failure.into(),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.damaged("its end is missing: it was cut")
                }
                Err(error) => self.unreadable(&error),
            },
        }
    }

    fn zip_trouble(&self, error: ZipError) -> UnpackError {
        match error {
            ZipError::Io(error) => self.of_io(error),
            ZipError::InvalidArchive(what) => self.damaged(&format!(
                "zip cannot read it ({what}): its end may be missing"
            )),
            other => self.not_it(
                format!("it is a zip archive of a kind that is not read: {other}"),
                Some("unzip"),
            ),
        }
    }
}

impl Archive {
    /// What unpacks it.
    fn unpacker(self) -> &'static str {
        match self {
            Self::Tar => "tar -xf",
            Self::Zip => "unzip",
        }
    }
}

fn shown(files: impl ExactSizeIterator<Item = String>) -> String {
    let more = files.len().saturating_sub(SHOWN);
    let mut text = files.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// An error of our own on its way through a reader of archives.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(UnpackError);

fn refused(error: UnpackError) -> io::Error {
    io::Error::other(Refused(error))
}

/// A reader of which only so many bytes are read while it is asked for the list of files.
struct Limited<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| {
            io::Error::other(format!(
                "its list of files has more than {LARGEST_LIST} bytes"
            ))
        })?);
        Ok(read)
    }
}

impl<R: Seek> Seek for Limited<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}
