//! Writing a bundle: zstd over tar entries, file after file, nothing of which is held in memory.

use std::io::{self, Write};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use zstd::Encoder;

use super::{DESCRIPTION, Level};
use crate::report::{BundledFile, Contents};
use crate::transfer::hex;

/// Bytes of a tar block: headers are one, and files are filled up to whole ones.
const BLOCK: usize = 512;

/// As a power of two, how far back zstd looks for what it has seen before. Revisions of one object lie megabytes apart in
/// the database; every reader takes windows of this size. Long distance matching on top gains less than a hundredth and
/// takes four times as long.
const WINDOW: u32 = 23;

/// The encoder of all that is packed: a changed byte shows when it is unpacked.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn encoder<W: Write>(out: W, level: Level) -> io::Result<Encoder<'static, W>> {
    let mut encoder = Encoder::new(out, level.into())?;
    encoder.include_checksum(true)?;
    encoder.window_log(WINDOW)?;
    Ok(encoder)
}

/// Counts and hashes what is written through it.
#[derive(Debug)]
pub struct Hashed<W> {
    out: W,
    sha: Sha256,
    size: u64,
}

impl<W> Hashed<W> {
    /// In front of `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            sha: Sha256::new(),
            size: 0,
        }
    }

    /// How many bytes there were, and their sha256 in hex.
    pub fn finish(self) -> (W, u64, String) {
        (self.out, self.size, hex(&self.sha.finalize()))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What tar says of a file beside its name and size.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: u64,
}

impl Attributes {
    /// Of what is made here and now, and has no file of its own on a node.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            mode: 0o600,
            modified: since.map_or(0, |since| since.as_secs()),
        }
    }
}

/// A segment of a bundle that is being written. Its entries stand in the bundle one after another.
pub struct Segment<W: Write> {
    out: Encoder<'static, W>,
    top: String,
    contents: Contents,
}

impl<W: Write> Segment<W> {
    /// A segment without entries, of the bundle with this top folder.
    ///
    /// # Errors
    /// As writing.
    pub fn begin(out: W, top: &str, level: Level) -> io::Result<Self> {
        Ok(Self {
            out: encoder(out, level)?,
            top: top.to_owned(),
            contents: Contents::default(),
        })
    }

    /// What is in it so far.
    pub fn contents(&mut self) -> &mut Contents {
        &mut self.contents
    }

    /// Begins a file that comes in pieces.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] when tar has no room for its path; nothing is written then. Else as writing.
    pub fn file(self, path: &str, size: u64, attributes: Attributes) -> io::Result<Entry<W>> {
        let mut segment = self;
        let header = segment.header(path, size, attributes)?;
        segment.out.write_all(header.as_bytes())?;
        Ok(Entry {
            segment,
            path: path.to_owned(),
            size,
            sha: Sha256::new(),
            left: size,
        })
    }

    /// Writes a small file.
    ///
    /// # Errors
    /// As [`Segment::file`], but a path that tar has no room for is noted as left out.
    pub fn small(self, path: &str, bytes: &[u8], attributes: Attributes) -> io::Result<Self> {
        let mut segment = self;
        let size = bytes.len() as u64;
        if let Err(error) = segment.header(path, size, attributes) {
            segment.contents.leave_out(path, error.to_string());
            return Ok(segment);
        }
        let mut entry = segment.file(path, size, attributes)?;
        entry.write(bytes)?;
        entry.end()
    }

    fn header(&self, path: &str, size: u64, attributes: Attributes) -> io::Result<Header> {
        let mut header = Header::new_ustar();
        header
            .set_path(format!("{}/{path}", self.top))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(attributes.mode);
        header.set_mtime(attributes.modified);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        Ok(header)
    }

    /// Ends the segment; another one may follow.
    ///
    /// # Errors
    /// As writing.
    pub fn finish(self) -> io::Result<(W, Contents)> {
        Ok((self.out.finish()?, self.contents))
    }

    /// Writes the description and the archive's end.
    ///
    /// # Errors
    /// As writing.
    pub fn finish_bundle(self, description: &[u8]) -> io::Result<W> {
        let mut segment = self.small(DESCRIPTION, description, Attributes::now())?;
        segment.out.write_all(&[0; 2 * BLOCK])?;
        segment.out.finish()
    }
}

/// A file that is being written into a segment.
pub struct Entry<W: Write> {
    segment: Segment<W>,
    path: String,
    size: u64,
    sha: Sha256,
    left: u64,
}

impl<W: Write> Entry<W> {
    /// The next bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when there are more than were announced. Else as writing.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| self.wrong_size())?;
        self.sha.update(bytes);
        self.segment.out.write_all(bytes)
    }

    /// The file's end.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when less came than was announced. Else as writing.
    pub fn end(self) -> io::Result<Segment<W>> {
        if self.left > 0 {
            return Err(self.wrong_size());
        }
        let mut segment = self.segment;
        let over = usize::try_from(self.size % BLOCK as u64).unwrap_or(0);
        if over > 0 {
            segment.out.write_all(&[0; BLOCK][over..])?;
        }
        segment.contents.files.push(BundledFile {
            path: self.path,
            size_bytes: self.size,
            sha256: hex(&self.sha.finalize()),
        });
        Ok(segment)
    }

    fn wrong_size(&self) -> io::Error {
        let message = format!(
            "{} does not have the {} bytes it began with",
            self.path, self.size
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const OWN: Attributes = Attributes {
        mode: 0o600,
        modified: 1_000_000_000,
    };

    #[test]
    fn segments_one_after_another_are_one_archive() {
        let level = Level::default();
        let mut entry = Segment::begin(Vec::new(), "b", level)
            .unwrap()
            .file("snapshot.db", 700, OWN)
            .unwrap();
        entry.write(&[7; 300]).unwrap();
        entry.write(&[8; 400]).unwrap();
        let (out, first) = entry.end().unwrap().finish().unwrap();
        let segment = Segment::begin(out, "b", level).unwrap();
        let segment = segment.small("masters/cp-1/etc/x", b"x", OWN).unwrap();
        let bytes = segment.finish_bundle(b"{}").unwrap();
        assert_eq!(first.files[0].size_bytes, 700);
        let mut archive = tar::Archive::new(zstd::Decoder::new(&bytes[..]).unwrap());
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o600);
            found.push((entry.path().unwrap().display().to_string(), text.len()));
        }
        let names = [
            "b/snapshot.db",
            "b/masters/cp-1/etc/x",
            "b/description.json",
        ];
        assert_eq!(
            found,
            names
                .map(str::to_owned)
                .into_iter()
                .zip([700, 1, 2])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_file_of_another_size_than_announced_is_an_error() {
        let begin = || Segment::begin(Vec::new(), "b", Level::default()).unwrap();
        let mut long = begin().file("x", 3, OWN).unwrap();
        assert!(long.write(b"1234").is_err());
        let mut short = begin().file("x", 3, OWN).unwrap();
        short.write(b"12").unwrap();
        assert!(short.end().is_err());
    }

    #[test]
    fn a_path_without_room_in_tar_is_left_out_and_said() {
        let segment = Segment::begin(Vec::new(), "b", Level::default()).unwrap();
        let mut segment = segment.small(&"x".repeat(300), b"x", OWN).unwrap();
        assert!(segment.contents().files.is_empty());
        assert_eq!(segment.contents().left_out.len(), 1);
    }
}
