//! A snapshot checked while it is received.
//!
//! etcd sends the database, page by page from 0 on, and after it the 32 bytes of its SHA-256. `etcdctl snapshot save`
//! stores both and compares nothing. [`SnapshotChecker`] hashes what comes by, keeps the last 32 bytes apart, and at
//! the end knows whether all of it came and came unchanged. It does not look at the tree: [`crate::verify`] does.

use sha2::{Digest, Sha256};

use crate::Error;
use crate::error::Damage;
use crate::page::Meta;

/// Bytes of the SHA-256 at the end of a snapshot.
pub const TRAILER_LEN: u64 = 32;

/// Whether a snapshot of this size has a trailer, by the rule etcd itself uses: pages come in multiples of 512.
pub(crate) fn has_trailer(size: u64) -> bool {
    size % 512 == TRAILER_LEN
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// What a snapshot that came in whole is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Received {
    /// Size with the trailer, in bytes.
    pub size: u64,
    /// Size of the database, without the trailer, in bytes.
    pub database_size: u64,
    /// Page size of the database, in bytes.
    pub page_size: u32,
    /// SHA-256 of the database, as the trailer says and as it is, in hex.
    pub sha256: String,
    /// SHA-256 of the whole snapshot, trailer included, in hex: what `sha256sum` says of the file.
    pub file_sha256: String,
}

/// Checks a snapshot as its bytes come in. Holds little more than the 112 bytes of head and trailer.
pub struct SnapshotChecker {
    name: String,
    sha: Sha256,
    /// The last 32 bytes that came: they are the trailer if nothing follows.
    tail: Vec<u8>,
    head: Vec<u8>,
    size: u64,
}

/// What is kept of the beginning: the first meta page.
const HEAD: usize = crate::page::HEADER_LEN + crate::page::META_LEN;

impl SnapshotChecker {
    /// A checker before the first byte; `name` is what messages call the snapshot.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            sha: Sha256::new(),
            tail: Vec::new(),
            head: Vec::new(),
            size: 0,
        }
    }

    /// Takes the bytes that come next.
    ///
    /// # Errors
    /// [`Error::Damaged`] as soon as it is seen that this is no snapshot, so that a transfer need not go on in vain.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let missing = HEAD.saturating_sub(self.head.len());
        if missing > 0 {
            self.head
                .extend_from_slice(&bytes[..missing.min(bytes.len())]);
            if self.head.len() == HEAD {
                self.meta()?;
            }
        }
        self.size += bytes.len() as u64;
        let keep = usize::try_from(TRAILER_LEN).unwrap_or(0);
        if let Some(older) = bytes.len().checked_sub(keep) {
            self.sha.update(&self.tail);
            self.sha.update(&bytes[..older]);
            self.tail.clear();
            self.tail.extend_from_slice(&bytes[older..]);
        } else {
            self.tail.extend_from_slice(bytes);
            let older = self.tail.len().saturating_sub(keep);
            self.sha.update(&self.tail[..older]);
            self.tail.drain(..older);
        }
        Ok(())
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes there will be in all, trailer included; known as soon as the first 80 bytes have come.
    pub fn expected_size(&self) -> Option<u64> {
        let meta = Meta::parse(&self.head).ok()?;
        Some(meta.database_size().saturating_add(TRAILER_LEN))
    }

    fn meta(&self) -> Result<Meta, Error> {
        let damaged = |damage| Error::damaged(&self.name, damage);
        // The server writes both meta pages anew for each snapshot: the first one must be good.
        let meta = Meta::parse(&self.head).map_err(|_| damaged(Damage::NoMeta))?;
        meta.check_bounds().map_err(damaged)?;
        Ok(meta)
    }

    /// What it is, if the end of the snapshot has come.
    ///
    /// # Errors
    /// [`Error::Damaged`] when bytes are missing, too many, or changed.
    pub fn finish(&self) -> Result<Received, Error> {
        let meta = self.meta()?;
        let expected = meta.database_size().saturating_add(TRAILER_LEN);
        let damaged = |damage| Err(Error::damaged(&self.name, damage));
        if self.size < expected {
            return damaged(Damage::Truncated {
                size: self.size,
                expected,
            });
        }
        if self.size > expected {
            return damaged(Damage::ExtraBytes {
                size: self.size,
                expected,
            });
        }
        let whole = self.sha.clone().chain_update(&self.tail);
        let (expected, found) = (hex(&self.tail), hex(&self.sha.clone().finalize()));
        if expected != found {
            return damaged(Damage::Checksum { expected, found });
        }
        Ok(Received {
            size: self.size,
            database_size: meta.database_size(),
            page_size: meta.page_size,
            sha256: found,
            file_sha256: hex(&whole.finalize()),
        })
    }
}
