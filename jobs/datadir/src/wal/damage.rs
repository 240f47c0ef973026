//! What can be wrong with a WAL.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::raft::WireError;

/// Why the last record counts as torn: written only in part when the machine or the process went away.
/// etcd cuts it off once (`wal.Repair`) and starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TornReason {
    /// The file ends inside a frame.
    ShortFrame,
    /// The frame claims more than the rest of the file.
    LengthBeyondFile,
    /// The record is damaged and at least one 512-byte sector of it was never written (is all zero).
    ZeroSector,
}

impl fmt::Display for TornReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShortFrame => "the file ends inside it",
            Self::LengthBeyondFile => "it claims to be longer than the file",
            Self::ZeroSector => "a sector of it was never written",
        })
    }
}

/// Damage etcd refuses to start with, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: byte {offset}: {kind}", file.display())]
pub struct WalDamage {
    /// The segment.
    pub file: PathBuf,
    /// Byte offset of the frame, or of the file's beginning for what concerns the whole segment.
    pub offset: u64,
    /// What is wrong.
    pub kind: WalDamageKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WalDamageKind {
    /// A record's data do not give its CRC: changed after it was written. etcd: `walpb: crc mismatch`.
    #[error("the record's crc is {stated:08x}, its data give {found:08x}")]
    CrcMismatch {
        /// In the record.
        stated: u32,
        /// Computed from the data.
        found: u32,
    },
    /// The segment does not continue the one before it although it has the next number: that one lost its end, or one
    /// of the two comes from elsewhere. etcd: `wal: crc mismatch`.
    #[error("the segment goes on from crc {stated:08x}, the one before it ended with {found:08x}")]
    ChainBroken {
        /// What the segment says it continues.
        stated: u32,
        /// What the segment before it ended with.
        found: u32,
    },
    /// Segments are not there. etcd: `wal: file sequence numbers do not increase continuously`, or a crc mismatch.
    #[error("{count} segments before it are missing: sequence {after:x} is followed by {next:x}")]
    MissingSegments {
        /// Last sequence number there.
        after: u64,
        /// The next one there.
        next: u64,
        /// How many are not there.
        count: u64,
    },
    /// A frame that is cut short, as at a torn end, but in a segment that others follow. etcd repairs only the last.
    #[error("the record is incomplete ({0}), and it is not in the last segment")]
    CutBeforeLast(TornReason),
    /// The record is no protobuf message.
    #[error("not a record: {0}")]
    NotARecord(WireError),
    /// The record is whole (its CRC is right), what it holds cannot be read.
    #[error("the {what} cannot be read: {error}")]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        error: WireError,
    },
    /// A record type no released etcd writes.
    #[error("unexpected record type {0}")]
    UnknownRecord(u64),
    /// The ids differ from those in an earlier segment. etcd: `wal: conflicting metadata found`.
    #[error("the member or cluster id differs from an earlier segment's")]
    MetadataConflict,
    /// A record larger than 64 MiB: no request etcd accepts comes near (`--max-request-bytes` is 1.5 MiB by default).
    #[error("a record of {bytes} bytes is more than is read here")]
    TooLarge {
        /// Its length.
        bytes: u64,
    },
    /// More configuration changes than any cluster makes between two segments' purges.
    #[error("more configuration changes than are kept here")]
    TooManyChanges,
}
