//! etcd's write-ahead log: reading it as etcd does, and writing the one a restored member starts from.
//!
//! A WAL is a directory of segments named `<sequence>-<index>.wal`, both numbers in 16 hexadecimal digits, the index
//! being that of the first entry the segment may hold. A segment is a run of frames followed by zeros (it is
//! preallocated). A frame is a 64-bit little-endian length field, a record and zero to seven bytes of padding to a
//! multiple of eight: the length's low 56 bits are the record's length; with padding, the top byte is `0x80 | padding`.
//! A record (`walpb.Record`) is a type, a CRC and data. The CRC-32C runs over the data of all records so far, through
//! all segments: the first record of a segment carries the value it starts from.
//! Rules from `server/storage/wal/{decoder,wal,repair,util}.go` of etcd 3.5 to 3.7.

mod commit;
mod damage;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod log;
mod record;
mod scan;
mod segment;
mod tail;
mod write;

pub use commit::commit_to_the_end;
pub use damage::{TornReason, WalDamage, WalDamageKind};
pub use log::{IndexJump, LoggedChange};
pub use record::{Record, RecordKind, WalMetadata, WalSnapshot};
pub use scan::{Beyond, SegmentSummary, WalSummary, read_segments, read_wal};
pub use segment::{SegmentName, list_segments};
pub use tail::Tail;
pub use write::{SEGMENT_BYTES, WalWriter};

#[cfg(test)]
mod tests;
