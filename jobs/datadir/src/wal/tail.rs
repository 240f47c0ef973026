//! How a WAL ends.

use std::io::{self, Read};
use std::path::PathBuf;

use super::TornReason;
use super::frame::read_fully;

/// How a WAL ends. With any of these etcd starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// After a whole record.
    Clean,
    /// With a record that was not completely written. etcd copies the segment to `<name>.broken` and cuts the record
    /// off. Nothing in it was ever acknowledged, unless the disk forgot what it had confirmed.
    Torn {
        /// The last segment.
        file: PathBuf,
        /// Byte offset it is cut off at.
        offset: u64,
        /// How it shows.
        reason: TornReason,
    },
    /// With zeros where a record should begin, and more bytes behind them. etcd takes the zeros for the end and
    /// overwrites the rest. Power loss during a write does this; a disk that forgets confirmed writes does, too.
    Hole {
        /// The last segment.
        file: PathBuf,
        /// Byte offset of the end as etcd sees it.
        offset: u64,
        /// Byte offset of the first byte behind it that is not zero.
        resumes_at: u64,
    },
}

/// Looks for the first byte that is not zero; `offset` is where `rest` begins. Reads to the end of the segment.
pub(super) fn first_nonzero(rest: &mut impl Read, mut offset: u64) -> io::Result<Option<u64>> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        let got = read_fully(rest, &mut chunk)?;
        if got == 0 {
            return Ok(None);
        }
        if let Some(at) = chunk[..got].iter().position(|&b| b != 0) {
            return Ok(Some(offset + at as u64));
        }
        offset += got as u64;
    }
}
