//! Writing a first segment.

use std::io::Write;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::Error;
use crate::disk::create_private;
use crate::raft::{Entry, HardState};

use super::frame::put_frame;
use super::record::{Record, RecordKind, WalMetadata, WalSnapshot};

/// What etcd preallocates for a segment, in bytes (`wal.SegmentSizeBytes`). A segment may be shorter or longer.
pub const SEGMENT_BYTES: u64 = 64_000_000;

/// The records of a segment in the making, as etcd 3.4 to 3.6 write them; all later versions read them.
#[derive(Debug, Clone)]
pub struct WalWriter {
    bytes: Vec<u8>,
    crc: u32,
}

impl WalWriter {
    /// The beginning every WAL has (`wal.Create`): crc, metadata, and the snapshot of nothing.
    #[must_use]
    pub fn new(metadata: &WalMetadata) -> Self {
        let mut writer = Self::going_on(0, metadata);
        let nothing = WalSnapshot {
            position: crate::raft::LogPosition::default(),
            conf_state: None,
        };
        writer.snapshot(&nothing);
        writer
    }

    /// The beginning of a segment that goes on from another one's last crc.
    pub(super) fn going_on(crc: u32, metadata: &WalMetadata) -> Self {
        let mut writer = Self {
            bytes: Vec::new(),
            crc,
        };
        put_frame(
            &mut writer.bytes,
            &Record {
                kind: RecordKind::Crc,
                crc,
                data: &[],
            }
            .encode(),
        );
        writer.put(RecordKind::Metadata, &metadata.encode());
        writer
    }

    /// Records that follow others, the last of which has this crc.
    pub(super) fn record_after(crc: u32) -> Self {
        Self {
            bytes: Vec::new(),
            crc,
        }
    }

    #[cfg(test)]
    pub(super) fn crc(&self) -> u32 {
        self.crc
    }

    pub(super) fn put(&mut self, kind: RecordKind, data: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, data);
        put_frame(
            &mut self.bytes,
            &Record {
                kind,
                crc: self.crc,
                data,
            }
            .encode(),
        );
    }

    /// Appends an entry of the log.
    pub fn entry(&mut self, entry: &Entry<'_>) {
        self.put(RecordKind::Entry, &entry.encode());
    }

    /// Appends the hard state.
    pub fn hard_state(&mut self, state: &HardState) {
        self.put(RecordKind::State, &state.encode());
    }

    /// Appends a snapshot record.
    pub fn snapshot(&mut self, snapshot: &WalSnapshot) {
        self.put(RecordKind::Snapshot, &snapshot.encode());
    }

    /// The frames so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the segment to a new file of mode 0600, preallocated as etcd does, and flushes it to disk.
    ///
    /// # Errors
    /// [`Error::Io`]; a full disk is noticed here and not when etcd first writes.
    pub(crate) fn write_to(&self, path: &Path) -> Result<(), Error> {
        let fail = |action: &str, e| Error::io(&path.display().to_string(), action, e);
        let mut file = create_private(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, SEGMENT_BYTES) {
            Ok(()) => {}
            // As etcd's `preallocExtend`: not every file system can.
            Err(Errno::OPNOTSUPP | Errno::INTR) => {
                file.set_len(SEGMENT_BYTES).map_err(|e| fail("extend", e))?;
            }
            Err(e) => return Err(fail("reserve 64 MB for", e.into())),
        }
        file.write_all(&self.bytes).map_err(|e| fail("write", e))?;
        file.sync_all().map_err(|e| fail("flush", e))
    }
}
