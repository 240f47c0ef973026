//! What a loader starts: a block of its own bytes, which the build of the plugin fills in.
//!
//! The loader has no say in what it runs and neither has whoever calls it: the digest is part of the loader, so that a
//! command line can never make it start anything else. This file is also compiled into the plugin's build script.

/// Size of the block in bytes.
pub const BLOCK: usize = 64;
/// What the block begins with; nothing else in the loader does.
const MAGIC: [u8; 16] = *b"etcd-job: sha256";

/// A block that was not filled in: a loader with it starts nothing.
pub const BLANK: [u8; BLOCK] = *b"etcd-job: sha256\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The largest program a loader starts, in bytes. A release carries at most 8 MB; the room above it is for development
/// builds. It bounds what the loader asks of the node's memory.
pub const LARGEST_PROGRAM: usize = 64 << 20;
/// The most parts there may be: their numbers have two digits.
pub const MOST_PARTS: u32 = 99;

/// The program that must come out of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// SHA-256 of the inflated program.
    pub digest: [u8; 32],
    /// Size of the inflated program in bytes, at most [`LARGEST_PROGRAM`].
    pub size_bytes: usize,
    /// How many parts there are, at most [`MOST_PARTS`]: `part-0`, `part-1`, …
    pub parts: u32,
}

impl Stamp {
    /// Reads a block: the magic, the digest, the size (8 bytes, little endian) and the number of parts (4 bytes).
    /// None: it was not filled in, or with something that cannot be.
    #[must_use]
    pub fn read(block: &[u8; BLOCK]) -> Option<Self> {
        let (magic, rest) = block.split_first_chunk::<16>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (parts, _) = rest.split_first_chunk::<4>()?;
        let stamp = Self {
            digest: *digest,
            size_bytes: usize::try_from(u64::from_le_bytes(*size)).ok()?,
            parts: u32::from_le_bytes(*parts),
        };
        (*magic == MAGIC && stamp.is_possible()).then_some(stamp)
    }

    /// The block that says this.
    #[must_use]
    pub fn block(&self) -> [u8; BLOCK] {
        let mut block = BLANK;
        let size = u64::try_from(self.size_bytes).unwrap_or(u64::MAX);
        let bytes = self
            .digest
            .into_iter()
            .chain(size.to_le_bytes())
            .chain(self.parts.to_le_bytes());
        let places = block.iter_mut().skip(MAGIC.len());
        places.zip(bytes).for_each(|(place, byte)| *place = byte);
        block
    }

    /// Fills in the one blank block of a loader. Whether there was exactly one and the stamp is possible.
    #[must_use]
    pub fn fill_in(&self, loader: &mut [u8]) -> bool {
        let mut blanks = loader.windows(BLOCK).enumerate();
        let Some((first, _)) = blanks.find(|(_, bytes)| *bytes == BLANK) else {
            return false;
        };
        if blanks.any(|(_, bytes)| bytes == BLANK) || !self.is_possible() {
            return false;
        }
        let places = loader.iter_mut().skip(first);
        places
            .zip(self.block())
            .for_each(|(place, byte)| *place = byte);
        true
    }

    fn is_possible(&self) -> bool {
        (1..=LARGEST_PROGRAM).contains(&self.size_bytes) && (1..=MOST_PARTS).contains(&self.parts)
    }
}
