//! The raft log as the WAL's records make it: what is in it at the end, in bounded memory.

use crate::raft::{ConfChange, ConfChanges, Entry, EntryKind, HardState, LogPosition};

use super::WalDamageKind;
use super::record::{Record, RecordKind, WalMetadata, WalSnapshot};

/// Configuration changes that are kept. A cluster makes a few in a year, and old segments are purged.
const MAX_CHANGES: usize = 100_000;
/// What their members' JSON may take together, in bytes.
const MAX_CHANGE_BYTES: usize = 16 << 20;
/// Snapshot records that are kept, the last ones; one is written every 10,000 entries.
const MAX_SNAPSHOTS: usize = 10_000;
/// Jumps that are kept, the first ones.
const MAX_JUMPS: usize = 100;
/// Beginnings of terms that are kept, the last ones.
const MAX_TERMS: usize = 10_000;

/// Membership changes in one entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedChange {
    /// Where the entry stands.
    pub position: LogPosition,
    /// What it changes; one unless somebody wrote a `ConfChangeV2`.
    pub changes: Vec<ConfChange>,
}

/// A place where indexes are missing between two entries.
///
/// It is harmless when etcd starts from a snapshot at `next - 1` or later: a member that received a snapshot from its
/// leader goes on behind it. Otherwise etcd refuses (`wal: slice bounds out of range`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexJump {
    /// Last index before.
    pub after: u64,
    /// First index behind.
    pub next: u64,
}

/// What the records read so far say.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    pub(super) metadata: Option<WalMetadata>,
    pub(super) hard_state: Option<HardState>,
    pub(super) snapshots: Vec<WalSnapshot>,
    pub(super) changes: Vec<LoggedChange>,
    change_bytes: usize,
    pub(super) jumps: Vec<IndexJump>,
    /// Where each term begins, by ascending index.
    pub(super) terms: Vec<LogPosition>,
    pub(super) entries: u64,
    pub(super) first: Option<LogPosition>,
    /// The last entry; before the first one, an index one below it.
    pub(super) last: LogPosition,
}

impl Log {
    /// A log whose first segment may begin at this index.
    pub(super) fn starting_at(index: u64) -> Self {
        Self {
            last: LogPosition {
                term: 0,
                index: index.saturating_sub(1),
            },
            ..Self::default()
        }
    }

    /// Takes in one record whose CRC was right.
    pub(super) fn take(&mut self, record: &Record<'_>) -> Result<(), WalDamageKind> {
        let unreadable = |what| move |error| WalDamageKind::Unreadable { what, error };
        match record.kind {
            RecordKind::Metadata => {
                let metadata = WalMetadata::decode(record.data).map_err(unreadable("metadata"))?;
                if self.metadata.is_some_and(|known| known != metadata) {
                    return Err(WalDamageKind::MetadataConflict);
                }
                self.metadata = Some(metadata);
            }
            RecordKind::Entry => {
                let entry = Entry::decode(record.data).map_err(unreadable("entry"))?;
                self.entry(&entry)?;
            }
            RecordKind::State => {
                self.hard_state =
                    Some(HardState::decode(record.data).map_err(unreadable("hard state"))?);
            }
            RecordKind::Snapshot => {
                let snapshot =
                    WalSnapshot::decode(record.data).map_err(unreadable("snapshot record"))?;
                self.snapshot(snapshot);
            }
            RecordKind::Crc => {}
            RecordKind::Unknown(number) => return Err(WalDamageKind::UnknownRecord(number)),
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), WalDamageKind> {
        let position = entry.position;
        self.entries = self.entries.saturating_add(1);
        self.first.get_or_insert(position);
        let after = self.last.index;
        if position.index > after.saturating_add(1) && self.jumps.len() < MAX_JUMPS {
            self.jumps.push(IndexJump {
                after,
                next: position.index,
            });
        }
        // A new leader overwrites what was never committed: the log then ends with the entry that came last.
        while self
            .changes
            .last()
            .is_some_and(|change| change.position.index >= position.index)
        {
            let dropped = self.changes.pop();
            self.change_bytes -= dropped.as_ref().map_or(0, LoggedChange::bytes);
        }
        while self
            .terms
            .last()
            .is_some_and(|start| start.index >= position.index)
        {
            self.terms.pop();
        }
        self.begin_term(position);
        self.last = position;
        let unreadable = |error| WalDamageKind::Unreadable {
            what: "configuration change",
            error,
        };
        let changes = match entry.kind {
            EntryKind::ConfChange => vec![ConfChange::decode(entry.data).map_err(unreadable)?],
            EntryKind::ConfChangeV2 => ConfChanges::decode(entry.data).map_err(unreadable)?.changes,
            EntryKind::Normal | EntryKind::Unknown(_) => return Ok(()),
        };
        let change = LoggedChange { position, changes };
        self.change_bytes += change.bytes();
        if self.changes.len() >= MAX_CHANGES || self.change_bytes > MAX_CHANGE_BYTES {
            return Err(WalDamageKind::TooManyChanges);
        }
        self.changes.push(change);
        Ok(())
    }

    fn begin_term(&mut self, position: LogPosition) {
        if self
            .terms
            .last()
            .is_some_and(|start| start.term == position.term)
        {
            return;
        }
        if self.terms.len() >= MAX_TERMS {
            self.terms.drain(..MAX_TERMS / 2);
        }
        self.terms.push(position);
    }

    fn snapshot(&mut self, snapshot: WalSnapshot) {
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            self.snapshots.drain(..MAX_SNAPSHOTS / 2);
        }
        self.snapshots.push(snapshot);
    }
}

impl LoggedChange {
    fn bytes(&self) -> usize {
        self.changes
            .iter()
            .map(|change| change.context.len() + 64)
            .sum()
    }
}
