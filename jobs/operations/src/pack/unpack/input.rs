//! The bytes that are unpacked: hashed as they are read, decompressed, in pieces.

use std::io::{self, Cursor, Read};

use etcd_datadir::progress::{OnProgress, Progress};
use sha2::{Digest, Sha256};

use super::entry::BLOCK;
use super::{Compression, Sum, UnpackError};
use crate::failure::{Failure, FailureKind};
use crate::transfer::hex;

/// How much is read at once.
pub(super) const PIECE: usize = 256 << 10;

/// What is read, before anything else is done with it.
pub(super) struct Input<'p, R> {
    reader: R,
    name: String,
    sha: Sha256,
    done: u64,
    total: Option<u64>,
    on_progress: OnProgress<'p>,
}

impl<'p, R: Read> Input<'p, R> {
    pub(super) fn new(
        reader: R,
        total: Option<u64>,
        name: &str,
        on_progress: OnProgress<'p>,
    ) -> Self {
        Self {
            reader,
            name: name.to_owned(),
            sha: Sha256::new(),
            done: 0,
            total,
            on_progress,
        }
    }

    /// What is known of it, when it has been read to its end: what is after the end of an archive is read here.
    pub(super) fn finish(mut self) -> Result<Sum, UnpackError> {
        let rest = io::copy(&mut self, &mut io::sink());
        rest.map_err(|error| unread(error, &self.name))?;
        Ok(Sum {
            size_bytes: self.done,
            sha256: hex(&self.sha.finalize()),
        })
    }
}

impl<R: Read> Read for Input<'_, R> {
    /// An error of this has a [`Failure`] in it, so that it is known from what zstd finds wrong with the bytes.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let now = Progress {
            done: self.done,
            total: self.total.unwrap_or(0),
        };
        if (self.on_progress)(now).is_break() {
            let stopped = Failure::new(FailureKind::Interrupted, "unpacking was stopped");
            return Err(io::Error::other(stopped));
        }
        let read = loop {
            match self.reader.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let message = format!("{}: could not read: {error}", self.name);
                    return Err(io::Error::other(Failure::other(message)));
                }
                Ok(read) => break read,
            }
        };
        self.sha.update(&buf[..read]);
        self.done += read as u64;
        Ok(read)
    }
}

/// What is in the input, or what a decompressor makes of it.
pub(super) struct Content<'r> {
    /// Read already, and to be read again.
    ahead: Cursor<Vec<u8>>,
    reader: Box<dyn Read + 'r>,
    name: &'r str,
    /// What decompresses it.
    by: Option<Compression>,
}

/// The error of reading, which has a [`Failure`] in it where that is of the disk and not of the content.
pub(super) fn unread(error: io::Error, name: &str) -> UnpackError {
    match error.downcast::<Failure>() {
        Ok(failure) => failure.into(),
        Err(error) => Failure::other(format!("{name}: could not read: {error}")).into(),
    }
}

impl<'r> Content<'r> {
    pub(super) fn plain(input: impl Read + 'r, name: &'r str) -> Self {
        Self {
            ahead: Cursor::default(),
            reader: Box::new(input),
            name,
            by: None,
        }
    }

    /// What a decompressor makes of it: of all its frames or members.
    pub(super) fn decompressed(self, by: Compression) -> Result<Self, UnpackError> {
        let name = self.name;
        let packed = self.ahead.chain(self.reader);
        let decoder = by.decoder(packed).map_err(|error| {
            let message = format!("{name}: could not be unpacked: {error}");
            Failure::other(message)
        })?;
        Ok(Self {
            by: Some(by),
            ..Self::plain(decoder, name)
        })
    }

    /// The same with these bytes before it.
    pub(super) fn again(self, bytes: Vec<u8>) -> Self {
        Self {
            ahead: Cursor::new(bytes),
            ..self
        }
    }

    /// The next 512 bytes, or what is left.
    pub(super) fn block(&mut self) -> Result<Vec<u8>, UnpackError> {
        let mut block = vec![0; BLOCK];
        let mut there = 0;
        while there < BLOCK {
            match self.read(&mut block[there..])? {
                0 => break,
                read => there += read,
            }
        }
        block.truncate(there);
        Ok(block)
    }

    /// All there is.
    pub(super) fn all(
        &mut self,
        sink: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        self.at_most(u64::MAX, sink).map(drop)
    }

    /// So many bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub(super) fn exactly(
        &mut self,
        bytes: u64,
        sink: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        if self.at_most(bytes, sink)? < bytes {
            return Err(self.cut());
        }
        Ok(())
    }

    /// So many bytes, or what is left; says how many there were.
    pub(super) fn at_most(
        &mut self,
        bytes: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<u64, UnpackError> {
        let mut piece = vec![0; usize::try_from(bytes).map_or(PIECE, |bytes| bytes.min(PIECE))];
        let mut done = 0;
        while done < bytes {
            let room = usize::try_from(bytes - done).map_or(PIECE, |left| left.min(piece.len()));
            let read = self.read(&mut piece[..room])?;
            if read == 0 {
                break;
            }
            sink(&piece[..read])?;
            done += read as u64;
        }
        Ok(done)
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, UnpackError> {
        let read = self.read_ahead_or_on(buf);
        read.map_err(|error| self.trouble(error))
    }

    fn read_ahead_or_on(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.ahead.read(buf) {
            Ok(0) | Err(_) => self.reader.read(buf),
            ahead => ahead,
        }
    }

    /// What it means that something could not be read of it.
    pub(super) fn trouble(&self, error: io::Error) -> UnpackError {
        match error.downcast::<Failure>() {
            Ok(failure) => UnpackError::Failed(failure),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.cut(),
            Err(error) => self.damaged(match self.by {
                Some(by) => format!("{} cannot read it: {error}", by.name()),
                None => error.to_string(),
            }),
        }
    }

    /// The error of what ends too early.
    pub(super) fn cut(&self) -> UnpackError {
        self.damaged("its end is missing: it was cut")
    }

    /// The error of what is not as it was.
    pub(super) fn damaged(&self, what: impl Into<String>) -> UnpackError {
        UnpackError::Damaged {
            name: self.name.to_owned(),
            what: what.into(),
        }
    }
}

/// For readers of archives. An error keeps the [`Failure`] in it.
impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_ahead_or_on(buf)
    }
}
