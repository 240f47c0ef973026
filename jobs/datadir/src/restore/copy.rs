//! Copying the database out of a snapshot, hashing it on another core and flushing it on the way.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::disk::create_private;
use crate::error::Damage;
use crate::source::Source;
use crate::stream::hex;

/// Bytes of one buffer. Larger writes are slower: the page cache looks for larger runs of free memory (6.6 s instead of
/// 1.2 s for 2.6 GiB in writes of 1 MiB, on ext4 of Linux 6).
const CHUNK: usize = 128 << 10;
/// Buffers on their way between the reader and the hashing thread.
const BUFFERS: usize = 16;
/// Bytes between two flushes.
const FLUSH_EVERY: u64 = 128 << 20;

/// Makes the file that the copy goes into, of mode 0600 and with all the space it needs: a full disk is noticed before
/// anything is copied.
pub(super) fn create(path: &Path, bytes: u64) -> Result<File, Error> {
    let file = create_private(path)?;
    if bytes == 0 {
        return Ok(file);
    }
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::INTR) => Ok(file),
        Err(e) => Err(Error::io(
            &path.display().to_string(),
            format!("reserve {bytes} bytes for"),
            e.into(),
        )),
    }
}

/// Copies the first `bytes` bytes. With `trailer`, their SHA-256 must be what the 32 bytes behind them say.
///
/// `tell` is called with the bytes done after each buffer.
///
/// # Errors
/// [`Error::Io`]; [`Damage::Checksum`] when the hash differs; whatever `tell` returns.
pub(super) fn copy(
    source: &dyn Source,
    to: &File,
    to_name: &str,
    bytes: u64,
    trailer: bool,
    tell: &mut dyn FnMut(u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut stated = [0; 32];
    if trailer {
        source.read_exact_at(&mut stated, bytes)?;
    }
    let found = thread::scope(|scope| {
        let (to_hash, hashing) = sync_channel::<Vec<u8>>(BUFFERS);
        let (give_back, spare) = sync_channel::<Vec<u8>>(BUFFERS);
        let hasher = trailer.then(|| scope.spawn(move || hash(&hashing, &give_back)));
        let (flush, flushing) = sync_channel::<()>(1);
        let flusher = scope.spawn(move || flush_on_demand(to, &flushing));
        let feed = Feed {
            source,
            to,
            to_name,
            bytes,
            to_hash: hasher.is_some().then_some(to_hash),
            spare,
            flush,
        };
        feed.run(tell)?;
        // A flush that failed fails again at the end, where it counts; here it only had to be early.
        let _ = flusher.join();
        let hash = hasher.map(|hasher| hasher.join().map_err(|_| died()));
        hash.transpose()
    })?;
    match found {
        Some(found) if found != stated => {
            let (expected, found) = (hex(&stated), hex(&found));
            Err(Error::damaged(
                source.name(),
                Damage::Checksum { expected, found },
            ))
        }
        _ => Ok(()),
    }
}

fn died() -> Error {
    Error::io(
        "sha256",
        "finish hashing",
        std::io::Error::other("the thread ended early"),
    )
}

/// The copying thread's ends of all channels; dropping it ends the other threads.
struct Feed<'a> {
    source: &'a dyn Source,
    to: &'a File,
    to_name: &'a str,
    bytes: u64,
    to_hash: Option<SyncSender<Vec<u8>>>,
    spare: Receiver<Vec<u8>>,
    flush: SyncSender<()>,
}

impl Feed<'_> {
    fn run(self, tell: &mut dyn FnMut(u64) -> Result<(), Error>) -> Result<(), Error> {
        let mut to = self.to;
        let (mut done, mut made, mut unflushed) = (0, 0, 0);
        let mut kept = None;
        while done < self.bytes {
            let mut buffer = match kept.take() {
                Some(buffer) => buffer,
                None if made < BUFFERS => {
                    made += 1;
                    Vec::new()
                }
                None => self.spare.recv().map_err(|_| died())?,
            };
            let len = CHUNK.min(usize::try_from(self.bytes - done).unwrap_or(CHUNK));
            buffer.resize(len, 0);
            self.source.read_exact_at(&mut buffer, done)?;
            to.write_all(&buffer)
                .map_err(|e| Error::io(self.to_name, format!("write at offset {done}"), e))?;
            done += len as u64;
            unflushed += len as u64;
            match &self.to_hash {
                Some(to_hash) => to_hash.send(buffer).map_err(|_| died())?,
                None => kept = Some(buffer),
            }
            if unflushed >= FLUSH_EVERY && self.flush.try_send(()).is_ok() {
                unflushed = 0;
            }
            tell(done)?;
        }
        Ok(())
    }
}

fn hash(chunks: &Receiver<Vec<u8>>, give_back: &SyncSender<Vec<u8>>) -> [u8; 32] {
    let mut sha = Sha256::new();
    for chunk in chunks {
        sha.update(&chunk);
        // Nobody takes the last ones.
        let _ = give_back.try_send(chunk);
    }
    sha.finalize().into()
}

/// Brings to disk what was written so far, so that the last flush has little left to do.
fn flush_on_demand(file: &File, wishes: &Receiver<()>) {
    for () in wishes {
        if file.sync_data().is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;

    fn snapshot(len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len)
            .map(|i| u8::try_from(i * 7 % 253).unwrap())
            .collect();
        let sha = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sha);
        bytes
    }

    #[test]
    fn copies_of_any_length_are_equal_and_hashed() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 9 * CHUNK + 5] {
            let bytes = snapshot(len);
            let path = dir.path().join(len.to_string());
            let file = create(&path, len as u64).unwrap();
            let source = MemorySource::new("s", bytes.clone());
            copy(&source, &file, "copy", len as u64, true, &mut |_| Ok(())).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes[..len]);
        }
    }

    #[test]
    fn a_flip_is_noticed_and_a_wish_to_stop_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let len = 3 * CHUNK;
        let mut bytes = snapshot(len);
        bytes[2 * CHUNK] ^= 4;
        let source = MemorySource::new("s", bytes);
        let file = create(&dir.path().join("a"), 0).unwrap();
        let flipped = copy(&source, &file, "a", len as u64, true, &mut |_| Ok(()));
        assert!(matches!(
            flipped,
            Err(Error::Damaged {
                damage: Damage::Checksum { .. },
                ..
            })
        ));
        let file = create(&dir.path().join("b"), 0).unwrap();
        let stopped = copy(&source, &file, "b", len as u64, true, &mut |_| {
            Err(Error::Cancelled)
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
