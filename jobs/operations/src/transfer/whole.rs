//! A file read or received to its last byte.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{MAX_PAYLOAD, hex};

/// What a whole file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// Reads to the end, and gives each piece to `take` with how many bytes have been read.
///
/// # Errors
/// What `read` or `take` says; reading ends with it.
pub fn read_whole<E>(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
    mut take: impl FnMut(&[u8], u64) -> Result<(), E>,
) -> Result<Whole, E> {
    let (mut sha, mut size_bytes, mut buffer) = (Sha256::new(), 0, vec![0; MAX_PAYLOAD]);
    loop {
        let count = read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let piece = &buffer[..count];
        sha.update(piece);
        size_bytes += count as u64;
        take(piece, size_bytes)?;
    }
    Ok(Whole {
        size_bytes,
        sha256: hex(&sha.finalize()),
    })
}
