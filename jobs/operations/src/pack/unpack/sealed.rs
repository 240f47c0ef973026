//! A file that is of use to this process alone: it has no name, and its bytes are encrypted with a key that is nowhere but
//! in this process's memory. Who encrypts a snapshot before it touches a disk does not want to find it on one.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use etcd_datadir::Error;
use etcd_datadir::source::Source;

use crate::disk;

/// The key is made for one file, and a nonce is needed where one key encrypts several things.
const NONCE: [u8; 12] = [0; 12];

/// A file whose bytes only this process can read.
pub(super) struct Sealed {
    file: File,
    name: String,
    key: [u8; 32],
    size: u64,
    /// For encrypted bytes, so that memory is taken once.
    buffer: Vec<u8>,
}

impl Sealed {
    /// An empty one in this folder, which messages call by this name.
    pub(super) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(Self {
            file: disk::unnamed(folder)?,
            name: name.to_owned(),
            key,
            size: 0,
            buffer: Vec::new(),
        })
    }

    /// Stores what comes next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        apply(&self.key, self.size, &mut self.buffer)?;
        self.file.write_all(&self.buffer)?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

/// Encrypts, or decrypts, the bytes at an offset.
fn apply(key: &[u8; 32], offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut cipher = ChaCha20::new(&(*key).into(), &NONCE.into());
    // 256 GiB, beyond which its counter would begin anew.
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    cipher.try_seek(offset).map_err(too_large)?;
    cipher
        .try_apply_keystream(bytes)
        .map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl Source for Sealed {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        let read = self.file.read_exact_at(buf, offset);
        let read = read.and_then(|()| apply(&self.key, offset, buf));
        read.map_err(|error| {
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
        for (offset, len) in [(0, 10), (63, 2), (64, 64), (777, 1), (9_999, 15_001)] {
            let mut read = vec![0; len];
            sealed.read_exact_at(&mut read, offset as u64).unwrap();
            assert!(read == bytes[offset..offset + len], "{len} at {offset}");
        }
        assert!(
            sealed
                .read_exact_at(&mut [0; 2], sealed.size() - 1)
                .is_err()
        );
        let mut raw = vec![0; bytes.len()];
        sealed.file.read_exact_at(&mut raw, 0).unwrap();
        assert!(!raw.windows(8).any(|part| part == b"a Secret"));
        let about = sealed.file.metadata().unwrap();
        assert_eq!((about.nlink(), about.mode() & 0o777), (0, 0o600));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_two_files_have_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = || Sealed::create(folder.path(), "x").unwrap().key;
        assert_ne!(key(), key());
    }
}
