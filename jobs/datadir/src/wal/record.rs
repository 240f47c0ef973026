//! Records of the WAL and the small messages they carry.

use crate::ids::{ClusterId, MemberId};
use crate::raft::wire::{WireError, each_field, numbered, put_bytes, put_uint};
use crate::raft::{ConfState, LogPosition};

/// What a record holds (`server/storage/wal/wal.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Member and cluster id; second record of every segment.
    Metadata,
    /// An entry of the raft log.
    Entry,
    /// The hard state.
    State,
    /// The CRC to go on from; first record of every segment.
    Crc,
    /// A snapshot was taken or received.
    Snapshot,
    /// A number no released etcd writes.
    Unknown(u64),
}

numbered!(RecordKind {
    1 => Metadata,
    2 => Entry,
    3 => State,
    4 => Crc,
    5 => Snapshot,
});

/// One record (`walpb.Record`), borrowed from the frame it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it holds.
    pub kind: RecordKind,
    /// Running CRC-32C up to and with this record's data.
    pub crc: u32,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads `walpb.Record`: 1 type, 2 crc, 3 data.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message.
    pub fn decode(message: &'a [u8]) -> Result<Self, WireError> {
        let mut record = Self {
            kind: RecordKind::Unknown(0),
            crc: 0,
            data: &[],
        };
        each_field!(message, field, {
            1 => record.kind = RecordKind::from_number(field.varint()?),
            2 => {
                record.crc = u32::try_from(field.varint()?)
                    .map_err(|_| WireError::OutOfRange { field: 2 })?;
            },
            3 => record.data = field.bytes()?,
        });
        Ok(record)
    }

    /// The message as etcd writes it; the crc record has no data field.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + 24);
        put_uint(&mut out, 1, self.kind.number());
        put_uint(&mut out, 2, u64::from(self.crc));
        if self.kind != RecordKind::Crc {
            put_bytes(&mut out, 3, self.data);
        }
        out
    }
}

/// Whose WAL it is (`etcdserverpb.Metadata`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalMetadata {
    /// The member.
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: ClusterId,
}

impl WalMetadata {
    /// Reads `etcdserverpb.Metadata`: 1 member id, 2 cluster id.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message.
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut metadata = Self {
            member_id: MemberId(0),
            cluster_id: ClusterId(0),
        };
        each_field!(message, field, {
            1 => metadata.member_id = MemberId(field.varint()?),
            2 => metadata.cluster_id = ClusterId(field.varint()?),
        });
        Ok(metadata)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        put_uint(&mut out, 1, self.member_id.0);
        put_uint(&mut out, 2, self.cluster_id.0);
        out
    }
}

/// A snapshot record (`walpb.Snapshot`): up to where a snapshot holds the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalSnapshot {
    /// Last entry in the snapshot; both zero for the beginning of the log.
    pub position: LogPosition,
    /// Raft's configuration there; etcd 3.4 does not write it.
    pub conf_state: Option<ConfState>,
}

impl WalSnapshot {
    /// Reads `walpb.Snapshot`: 1 index, 2 term, 3 configuration.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message.
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut snapshot = Self {
            position: LogPosition::default(),
            conf_state: None,
        };
        each_field!(message, field, {
            1 => snapshot.position.index = field.varint()?,
            2 => snapshot.position.term = field.varint()?,
            3 => snapshot.conf_state = Some(ConfState::decode(field.bytes()?)?),
        });
        Ok(snapshot)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, 1, self.position.index);
        put_uint(&mut out, 2, self.position.term);
        if let Some(conf_state) = &self.conf_state {
            put_bytes(&mut out, 3, &conf_state.encode());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_their_messages_come_back() {
        let metadata = WalMetadata {
            member_id: MemberId(u64::MAX),
            cluster_id: ClusterId(1),
        };
        assert_eq!(WalMetadata::decode(&metadata.encode()), Ok(metadata));
        let snapshot = WalSnapshot {
            position: LogPosition { term: 2, index: 9 },
            conf_state: Some(ConfState {
                voters: vec![4],
                ..ConfState::default()
            }),
        };
        assert_eq!(WalSnapshot::decode(&snapshot.encode()), Ok(snapshot));
        let record = Record {
            kind: RecordKind::Entry,
            crc: 0xdead_beef,
            data: b"x",
        };
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn a_crc_record_is_four_bytes() {
        assert_eq!(
            Record {
                kind: RecordKind::Crc,
                crc: 0,
                data: &[]
            }
            .encode(),
            [0x08, 4, 0x10, 0]
        );
    }
}
