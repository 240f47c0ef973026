//! Entries of the raft log and the hard state.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::wire::{WireError, each_field, numbered, put_bytes, put_uint};

/// A place in the raft log. Ordered as raft's election rule orders logs: by term, then by index.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// Term of the entry.
    pub term: u64,
    /// Index of the entry; the first entry of a cluster has index 1.
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {} index {}", self.term, self.index)
    }
}

/// What an entry is (`raftpb.EntryType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A request of etcd's; empty when a new leader confirms its term.
    Normal,
    /// One change of the membership.
    ConfChange,
    /// Several changes at once.
    ConfChangeV2,
    /// A number no released raft knows.
    Unknown(u64),
}

numbered!(EntryKind {
    0 => Normal,
    1 => ConfChange,
    2 => ConfChangeV2,
});

/// An entry of the log, borrowed from the record it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What the entry is.
    pub kind: EntryKind,
    /// Where it stands in the log.
    pub position: LogPosition,
    /// What it holds: etcd's `InternalRaftRequest`, or a configuration change.
    pub data: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Reads `raftpb.Entry`: 1 type, 2 term, 3 index, 4 data.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message.
    pub fn decode(message: &'a [u8]) -> Result<Self, WireError> {
        let mut entry = Self {
            kind: EntryKind::Normal,
            position: LogPosition::default(),
            data: &[],
        };
        each_field!(message, field, {
            1 => entry.kind = EntryKind::from_number(field.varint()?),
            2 => entry.position.term = field.varint()?,
            3 => entry.position.index = field.varint()?,
            4 => entry.data = field.bytes()?,
        });
        Ok(entry)
    }

    /// The message as etcd 3.4 to 3.6 write it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + 32);
        put_uint(&mut out, 1, self.kind.number());
        put_uint(&mut out, 2, self.position.term);
        put_uint(&mut out, 3, self.position.index);
        if !self.data.is_empty() {
            put_bytes(&mut out, 4, self.data);
        }
        out
    }
}

/// What a raft node must remember besides its log (`raftpb.HardState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardState {
    /// Latest term seen.
    pub term: u64,
    /// Member voted for in that term, 0 for none.
    pub vote: u64,
    /// Highest index known to be committed when this was written. It may lag: raft does not write it for its own sake.
    pub commit: u64,
}

impl HardState {
    /// Reads `raftpb.HardState`: 1 term, 2 vote, 3 commit.
    ///
    /// # Errors
    /// [`WireError`] when the bytes are no such message.
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        let mut state = Self::default();
        each_field!(message, field, {
            1 => state.term = field.varint()?,
            2 => state.vote = field.varint()?,
            3 => state.commit = field.varint()?,
        });
        Ok(state)
    }

    /// The message as etcd 3.4 to 3.6 write it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        put_uint(&mut out, 1, self.term);
        put_uint(&mut out, 2, self.vote);
        put_uint(&mut out, 3, self.commit);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back() {
        let entry = Entry {
            kind: EntryKind::ConfChange,
            position: LogPosition {
                term: 3,
                index: 300,
            },
            data: b"some data",
        };
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn the_form_of_3_7_without_zeros_is_read() {
        assert_eq!(
            HardState::decode(&[0x08, 7]),
            Ok(HardState {
                term: 7,
                vote: 0,
                commit: 0
            })
        );
        assert_eq!(Entry::decode(&[]).map(|e| e.kind), Ok(EntryKind::Normal));
    }

    #[test]
    fn logs_are_ordered_by_term_before_index() {
        assert!(LogPosition { term: 3, index: 1 } > LogPosition { term: 2, index: 99 });
        assert!(LogPosition { term: 3, index: 2 } > LogPosition { term: 3, index: 1 });
    }
}
