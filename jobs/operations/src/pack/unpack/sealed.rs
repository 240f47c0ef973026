//! A file that is of use to this process alone: it has no name, and its bytes are encrypted with a key that is nowhere but
//! in this process's memory. Who encrypts a snapshot before it touches a disk does not want to find it on one.
//!
//! It lies there in pieces of [`PIECE`] bytes, each with a tag behind it, so that any of them can be read alone.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use etcd_datadir::Error;
use etcd_datadir::source::Source;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::rand::{SecureRandom, SystemRandom};

use crate::disk;

/// A page of a database, which is what is read at once.
const PIECE: usize = 4096;
/// What is behind each.
const TAG: usize = 16;

/// A file whose bytes only this process can read.
pub(super) struct Sealed {
    file: File,
    name: String,
    /// Made for this file, so the number of a piece is a nonce that is used once.
    key: LessSafeKey,
    /// How many pieces are in the file.
    pieces: u64,
    /// What came after the last of them.
    rest: Vec<u8>,
}

impl Sealed {
    /// An empty one in this folder, which messages call by this name.
    pub(super) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        Ok(Self {
            file: disk::unnamed(folder)?,
            name: name.to_owned(),
            key: key().map_err(broken)?,
            pieces: 0,
            rest: Vec::with_capacity(PIECE + TAG),
        })
    }

    /// Stores what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let room = bytes.len().min(PIECE - self.rest.len());
            let (now, later) = bytes.split_at(room);
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() == PIECE {
                self.store()?;
            }
        }
        Ok(())
    }

    /// Stores a whole piece.
    fn store(&mut self) -> io::Result<()> {
        let (nonce, aad) = (nonce(self.pieces), Aad::empty());
        let sealed = self
            .key
            .seal_in_place_append_tag(nonce, aad, &mut self.rest);
        sealed.map_err(broken)?;
        self.file.write_all(&self.rest)?;
        self.pieces += 1;
        self.rest.clear();
        Ok(())
    }

    /// Reads what is in one piece, or behind the last one, from an offset in it on; says how much that was.
    fn read_piece(&self, number: u64, offset: usize, buf: &mut [u8]) -> io::Result<usize> {
        let mut piece = [0; PIECE + TAG];
        let plain = match number < self.pieces {
            true => {
                let at = number * (PIECE + TAG) as u64;
                self.file.read_exact_at(&mut piece, at)?;
                let opened = self
                    .key
                    .open_in_place(nonce(number), Aad::empty(), &mut piece);
                &*opened.map_err(broken)?
            }
            false => self.rest.as_slice(),
        };
        let there = plain.get(offset..).unwrap_or_default();
        let read = there.len().min(buf.len());
        buf[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let (number, within) = (at / PIECE as u64, at % PIECE as u64);
            let within = usize::try_from(within).unwrap_or_default();
            match self.read_piece(number, within, &mut buf[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => done += read,
            }
        }
        Ok(())
    }
}

fn key() -> Result<LessSafeKey, Unspecified> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(LessSafeKey::new(UnboundKey::new(
        &CHACHA20_POLY1305,
        &bytes,
    )?))
}

fn nonce(piece: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..8].copy_from_slice(&piece.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn broken(_: Unspecified) -> io::Error {
    io::Error::other("it cannot be encrypted, or is not what was stored")
}

impl Source for Sealed {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.pieces * PIECE as u64 + self.rest.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        self.read_at(buf, offset).map_err(|error| {
            let what = format!("read {} bytes at offset {offset}", buf.len());
            Error::io(&self.name, what, error)
        })
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_at_any_offset_and_is_not_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = Sealed::create(folder.path(), "x").unwrap();
        let bytes: Vec<u8> = b"a Secret of the cluster, ".repeat(1000);
        for piece in bytes.chunks(777) {
            sealed.write(piece).unwrap();
        }
        assert_eq!(sealed.size(), bytes.len() as u64);
        // In one piece, over the edges of several, and behind the last.
        for (offset, len) in [
            (0, 10),
            (4_095, 2),
            (4_096, 4_096),
            (777, 1),
            (9_999, 15_001),
        ] {
            let mut read = vec![0; len];
            sealed.read_exact_at(&mut read, offset as u64).unwrap();
            assert!(read == bytes[offset..offset + len], "{len} at {offset}");
        }
        assert!(
            sealed
                .read_exact_at(&mut [0; 2], sealed.size() - 1)
                .is_err()
        );
        assert_eq!((sealed.pieces, sealed.rest.len()), (6, 424));
        let mut raw = vec![0; 6 * (PIECE + TAG)];
        sealed.file.read_exact_at(&mut raw, 0).unwrap();
        assert!(!raw.windows(8).any(|part| part == b"a Secret"));
        let about = sealed.file.metadata().unwrap();
        assert_eq!((about.nlink(), about.mode() & 0o777), (0, 0o600));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_two_files_have_one_key_and_what_was_changed_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let stored = || {
            let mut sealed = Sealed::create(folder.path(), "x").unwrap();
            sealed.write(&[7; PIECE]).unwrap();
            let mut raw = vec![0; PIECE];
            sealed.file.read_exact_at(&mut raw, 0).unwrap();
            (sealed, raw)
        };
        let ((sealed, one), (_, other)) = (stored(), stored());
        assert_ne!(one, other);
        sealed.read_exact_at(&mut [0; 1], 9).unwrap();
        sealed.file.write_all_at(&[!one[0]], 0).unwrap();
        assert!(sealed.read_exact_at(&mut [0; 1], 9).is_err());
    }
}
