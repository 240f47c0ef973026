//! Bringing a file from a node through `exec`, noticing every cut and every changed byte.
//!
//! Streams through an apiserver end early without an error, so nothing counts but what is in the stream itself. It
//! begins with [`MAGIC`], then frames follow, all numbers little-endian:
//!
//! | bytes | |
//! |---|---|
//! | 8 | offset in the file |
//! | 4 | kind (upper 2 bits) and length of the payload (lower 30), at most `MAX_PAYLOAD` |
//! | 4 | CRC-32C over the 12 bytes before and the payload |
//! | … | payload |
//!
//! Kinds: 0 data (an empty one says only that the sender is alive), 1 the end (offset is the file's size, payload its
//! SHA-256), 2 the sender failed (payload a [`Failure`] as JSON), 3 data compressed by zstd, of at most `MAX_PAYLOAD` bytes
//! again: the way through kubelet and apiserver costs more than the compression, and a slow line much more. After the end the sender waits for [`ACKNOWLEDGEMENT`]
//! before it exits: a remote program's last output is lost when it ends before all of it was drained.
//!
//! The format changes only with [`MAGIC`].

mod follow;
mod frame;
mod receiver;
mod whole;

pub(crate) use follow::part_of;
pub use follow::{Follow, follow};
pub use frame::{Decoder, Frame, FrameWriter};
pub use receiver::Receiver;
pub use whole::{Whole, read_whole};

pub use etcd_datadir::stream::hex;

use crate::failure::Failure;

/// What a stream begins with; the digit is the format's version.
pub const MAGIC: [u8; 8] = *b"KETCDX2\n";

/// The longest payload of a frame, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// What the receiver writes back, one line, once it has everything.
pub const ACKNOWLEDGEMENT: &str = "received";

/// Why a stream is not taken. Only [`TransferError::Sink`] and [`TransferError::Sender`] are not a matter of the connection;
/// after the others it helps to connect again and go on at the last verified byte.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It does not begin as a stream of this format does: another program's output, or another version's.
    #[error(
        "the stream does not begin as expected: it is not from this version of kubectl-etcd's job"
    )]
    Foreign,
    /// A frame is not what was sent.
    #[error("the stream is damaged in the frame for byte {offset}")]
    Damaged {
        /// The file's offset up to which all is verified.
        offset: u64,
    },
    /// A frame is whole but not the next one.
    #[error("the stream goes on at byte {found} instead of {expected}")]
    Gap {
        /// What should have come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// It stopped before the end.
    #[error("the stream was cut after {verified} verified bytes")]
    Cut {
        /// Bytes that are good.
        verified: u64,
    },
    /// Something came after the end.
    #[error("the stream goes on after its end")]
    AfterEnd,
    /// All bytes came, and they are not those of the file.
    #[error("what was received has the sha256 {found}, the file on the node {expected}")]
    Checksum {
        /// The sender's.
        expected: String,
        /// The receiver's.
        found: String,
    },
    /// The sender says why it cannot go on.
    #[error("{0}")]
    Sender(Failure),
    /// What was received could not be stored.
    #[error("could not store what was received")]
    Sink(#[source] std::io::Error),
}
