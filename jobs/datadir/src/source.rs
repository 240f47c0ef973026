//! Reading bytes at an offset.
//!
//! Files are read with `pread`, never mapped: a file that is cut while it is read, or a disk that fails, is then an
//! error of one read and not a signal that ends the process.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, OFlags, fadvise};

use crate::Error;

/// Something with a size whose bytes can be read from any offset, by several threads at a time.
pub trait Source: Send + Sync {
    /// How messages name it, usually the path.
    fn name(&self) -> &str;

    /// Size in bytes, as it was when the source was opened.
    fn size(&self) -> u64;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`] when the bytes cannot all be read; an end of file inside the range is
    /// [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Error>;

    /// A hint that `len` bytes from `offset` on are read soon. May do nothing.
    fn will_need(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }
}

fn read_error(name: &str, len: usize, offset: u64, source: io::Error) -> Error {
    Error::io(name, format!("read {len} bytes at offset {offset}"), source)
}

/// A regular file.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    name: String,
    size: u64,
}

impl FileSource {
    /// Opens a regular file for reading. Takes no lock: a running etcd is not disturbed, but what is read from a
    /// database while etcd writes it is not consistent.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened, [`Error::NotAFile`] for anything but a regular file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        // Without O_NONBLOCK the open of a FIFO waits for a writer for ever.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = File::options()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(|e| Error::io(&name, "open", e))?;
        Self::from_file(file, name)
    }

    /// Takes an open file; `name` is what messages call it.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub fn from_file(file: File, name: String) -> Result<Self, Error> {
        let metadata = file
            .metadata()
            .map_err(|e| Error::io(&name, "look at", e))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { file: name });
        }
        Ok(Self {
            file,
            name,
            size: metadata.len(),
        })
    }

    /// The open file, for locks and the like.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file
            .read_exact_at(buf, offset)
            .map_err(|e| read_error(&self.name, buf.len(), offset, e))
    }

    fn will_need(&self, offset: u64, len: u64) {
        if let Some(len) = std::num::NonZeroU64::new(len) {
            // Only a hint: file systems without readahead refuse it, and the read itself will tell of real trouble.
            let _ = fadvise(&self.file, offset, Some(len), Advice::WillNeed);
        }
    }
}

/// Bytes in memory, for tests and for what is already there.
#[derive(Debug, Clone)]
pub struct MemorySource {
    bytes: Vec<u8>,
    name: String,
}

impl MemorySource {
    /// Wraps bytes; `name` is what messages call them.
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            name: name.into(),
        }
    }
}

impl Source for MemorySource {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = self
            .bytes
            .get(start..)
            .and_then(|rest| rest.get(..buf.len()));
        match found {
            Some(found) => {
                buf.copy_from_slice(found);
                Ok(())
            }
            None => Err(read_error(
                &self.name,
                buf.len(),
                offset,
                io::ErrorKind::UnexpectedEof.into(),
            )),
        }
    }
}

/// A bounded cache of chunks in front of a source, for reads that jump about.
///
/// Holds at most `chunks × chunk_size` bytes; the chunk used longest ago makes room. Not for reading a whole file in
/// order, where it would only copy.
pub struct ChunkCache<'s> {
    source: &'s dyn Source,
    chunk_size: usize,
    limit: usize,
    clock: u64,
    chunks: HashMap<u64, Chunk>,
}

struct Chunk {
    used: u64,
    bytes: Vec<u8>,
}

impl<'s> ChunkCache<'s> {
    /// A cache of 16 chunks of 64 KiB: 1 MiB.
    pub fn small(source: &'s dyn Source) -> Self {
        Self::new(source, 64 * 1024, 16)
    }

    /// A cache of `limit` chunks (at least one) of `chunk_size` bytes (at least 512).
    pub fn new(source: &'s dyn Source, chunk_size: usize, limit: usize) -> Self {
        Self {
            source,
            chunk_size: chunk_size.max(512),
            limit: limit.max(1),
            clock: 0,
            chunks: HashMap::new(),
        }
    }

    /// The source behind the cache.
    pub fn source(&self) -> &'s dyn Source {
        self.source
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// As [`Source::read_exact_at`].
    pub fn read_exact_at(&mut self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        // A long read would only push everything else out.
        if buf.len() > self.chunk_size {
            return self.source.read_exact_at(buf, offset);
        }
        let size = self.chunk_size as u64;
        let mut filled = 0;
        while filled < buf.len() {
            let at = offset.saturating_add(filled as u64);
            let within = usize::try_from(at % size).unwrap_or(0);
            let chunk = self.chunk(at / size)?;
            let Some(rest) = chunk.get(within..).filter(|rest| !rest.is_empty()) else {
                let eof = io::ErrorKind::UnexpectedEof.into();
                return Err(read_error(self.source.name(), buf.len(), offset, eof));
            };
            let n = rest.len().min(buf.len() - filled);
            buf[filled..filled + n].copy_from_slice(&rest[..n]);
            filled += n;
        }
        Ok(())
    }

    fn chunk(&mut self, number: u64) -> Result<&[u8], Error> {
        self.clock += 1;
        if !self.chunks.contains_key(&number) {
            let start = number.saturating_mul(self.chunk_size as u64);
            let there = self
                .source
                .size()
                .saturating_sub(start)
                .min(self.chunk_size as u64);
            let mut bytes = self.take_oldest();
            bytes.resize(usize::try_from(there).unwrap_or(self.chunk_size), 0);
            self.source.read_exact_at(&mut bytes, start)?;
            self.chunks.insert(number, Chunk { used: 0, bytes });
        }
        let clock = self.clock;
        let chunk = self.chunks.entry(number).or_insert_with(|| Chunk {
            used: 0,
            bytes: Vec::new(),
        });
        chunk.used = clock;
        Ok(&chunk.bytes)
    }

    /// Makes room for one more chunk; gives back the memory of the one that went.
    fn take_oldest(&mut self) -> Vec<u8> {
        if self.chunks.len() < self.limit {
            return Vec::new();
        }
        let oldest = self
            .chunks
            .iter()
            .min_by_key(|(_, chunk)| chunk.used)
            .map(|(number, _)| *number);
        oldest
            .and_then(|number| self.chunks.remove(&number))
            .map(|chunk| chunk.bytes)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(len: usize) -> MemorySource {
        MemorySource::new(
            "test",
            (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect(),
        )
    }

    #[test]
    fn cache_gives_the_bytes_of_its_source() {
        let source = numbered(5000);
        let mut cache = ChunkCache::new(&source, 512, 2);
        for (offset, len) in [
            (0, 10),
            (500, 100),
            (4990, 10),
            (0, 512),
            (1, 5000 - 1),
            (3000, 0),
        ] {
            let (mut ours, mut plain) = (vec![0; len], vec![0; len]);
            cache.read_exact_at(&mut ours, offset).unwrap();
            source.read_exact_at(&mut plain, offset).unwrap();
            assert_eq!(ours, plain, "{len} bytes at {offset}");
            assert!(cache.chunks.len() <= 2);
        }
    }

    #[test]
    fn reads_beyond_the_end_are_errors() {
        let source = numbered(1000);
        let mut cache = ChunkCache::small(&source);
        for (offset, len) in [(995, 6), (1000, 1), (u64::MAX, 1), (u64::MAX - 3, 200)] {
            assert!(
                cache.read_exact_at(&mut vec![0; len], offset).is_err(),
                "{len} bytes at {offset}"
            );
            assert!(
                source.read_exact_at(&mut vec![0; len], offset).is_err(),
                "{len} bytes at {offset}"
            );
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            FileSource::open(dir.path()),
            Err(Error::NotAFile { .. })
        ));
        assert!(matches!(
            FileSource::open(&dir.path().join("none")),
            Err(Error::Io { .. })
        ));
    }
}
