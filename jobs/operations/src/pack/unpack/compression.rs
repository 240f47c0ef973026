//! The compressions that are known, by what their files begin with.

use std::io::{self, Read};

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd, RFC 8878.
    Zstd,
    /// gzip, RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// lz4, in frames.
    Lz4,
}

/// What the files begin with. bzip2's block size, a digit, follows.
const MAGIC: [(Compression, &[u8]); 6] = [
    (Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
    (Compression::Gzip, &[0x1f, 0x8b, 0x08]),
    (Compression::Bzip2, b"BZh"),
    (Compression::Xz, &[0xfd, b'7', b'z', b'X', b'Z', 0]),
    (Compression::Lz4, &[0x04, 0x22, 0x4d, 0x18]),
    // Its form of 2011, which `lz4 -l` still writes.
    (Compression::Lz4, &[0x02, 0x21, 0x4c, 0x18]),
];

impl Compression {
    /// The compression of bytes that begin so.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let known = MAGIC.iter().find(|(_, magic)| head.starts_with(magic));
        let compression = known.map(|(compression, _)| *compression)?;
        let block_size = head
            .get(3)
            .is_some_and(|digit| (b'1'..=b'9').contains(digit));
        (compression != Self::Bzip2 || block_size).then_some(compression)
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        }
    }

    /// What decompresses it: all frames or members, one after another.
    #[cfg(feature = "foreign-packs")]
    pub(super) fn decoder<'r>(self, packed: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
        /// What `xz -9` asks for is 65 MiB.
        const MOST_MEMORY_KIB: u32 = 256 << 10;
        let packed = io::BufReader::with_capacity(128 << 10, packed);
        Ok(match self {
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
                packed,
                true,
                MOST_MEMORY_KIB,
            )),
            Self::Lz4 => Box::new(Frames(lz4_flex::frame::FrameDecoder::new(packed))),
        })
    }

    /// The same of the one that is known here.
    #[cfg(not(feature = "foreign-packs"))]
    pub(super) fn decoder<'r>(self, packed: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
        match self {
            Self::Zstd => Ok(Box::new(zstd::Decoder::new(packed)?)),
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }
}

/// lz4's decoder says that it is at the end after each frame.
#[cfg(feature = "foreign-packs")]
struct Frames<R: io::BufRead>(lz4_flex::frame::FrameDecoder<R>);

#[cfg(feature = "foreign-packs")]
impl<R: io::BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buf)? {
                0 if !buf.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() => {}
                read => return Ok(read),
            }
        }
    }
}
