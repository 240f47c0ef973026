//! How etcd would start: from which snapshot, and what would stop it.

use crate::raft::LogPosition;
use crate::restore::EtcdVersion;
use crate::snap::SnapFound;
use crate::wal::WalSummary;

use super::database::{DatabaseState, ReceivedDatabase};
use super::finding::Refusal;

/// By which releases' rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartRule {
    /// 3.4 to 3.6: from the newest `.snap` file that is whole and has a snapshot record in the WAL; without one, from
    /// the first entry on.
    UpTo36,
    /// 3.7: from the last snapshot record in the WAL; `.snap` files are not read.
    From37,
}

impl StartRule {
    /// The rule of the etcd that ran here, by the cluster version in the database.
    #[must_use]
    pub(crate) fn of_cluster_version(version: Option<&str>) -> Self {
        match version.and_then(EtcdVersion::parse) {
            Some(version) if version >= (EtcdVersion { major: 3, minor: 7 }) => Self::From37,
            _ => Self::UpTo36,
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::UpTo36 => Self::From37,
            Self::From37 => Self::UpTo36,
        }
    }

    /// The releases, for messages.
    #[must_use]
    pub(crate) fn releases(self) -> &'static str {
        match self {
            Self::UpTo36 => "etcd 3.4 to 3.6",
            Self::From37 => "etcd 3.7",
        }
    }
}

/// How etcd would start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The snapshot it starts from; zero for the beginning of the log.
    pub snapshot: LogPosition,
    /// It makes a new database and applies everything from the first entry on.
    pub rebuilds_database: bool,
    /// It takes the database that was received with this snapshot.
    pub takes_received: bool,
}

/// What a start depends on.
pub(super) struct Parts<'p> {
    pub(super) wal: &'p WalSummary,
    pub(super) snaps: &'p [SnapFound],
    pub(super) database: &'p DatabaseState,
    pub(super) received: &'p [ReceivedDatabase],
}

impl Parts<'_> {
    /// The snapshot that etcd would begin with.
    pub(super) fn snapshot(&self, rule: StartRule) -> LogPosition {
        match rule {
            StartRule::UpTo36 => {
                let usable = self
                    .snaps
                    .iter()
                    .filter_map(|snap| snap.content.as_ref().ok())
                    .map(|snap| snap.position);
                let mut recorded = usable.filter(|at| {
                    self.wal
                        .valid_snapshots()
                        .any(|snapshot| snapshot.position == *at)
                });
                recorded.next().unwrap_or_default()
            }
            StartRule::From37 => self
                .wal
                .valid_snapshots()
                .next_back()
                .map(|s| s.position)
                .unwrap_or_default(),
        }
    }

    /// Goes through etcd's checks in etcd's order.
    pub(super) fn start(&self, rule: StartRule) -> Result<Start, Refusal> {
        if let Some(damage) = &self.wal.damage {
            return Err(Refusal::WalDamaged(damage.clone()));
        }
        if self.wal.metadata.is_none() {
            return Err(Refusal::NoMetadata);
        }
        let snapshot = self.snapshot(rule);
        // The segment that holds the start is the last one whose name has no greater index.
        let first = self
            .wal
            .segments
            .first()
            .map_or(0, |segment| segment.name.index);
        if first > snapshot.index {
            return Err(Refusal::WalTooShort {
                first,
                needed: snapshot.index,
            });
        }
        if let Some(jump) = self
            .wal
            .jumps
            .iter()
            .find(|jump| jump.next > snapshot.index.saturating_add(1))
        {
            return Err(Refusal::IndexGap(*jump));
        }
        let last = self.wal.last.max_index(snapshot);
        if self.wal.commit() > last.index {
            return Err(Refusal::CommitBeyondLog {
                commit: self.wal.commit(),
                last,
            });
        }
        self.with_database(snapshot, last)
    }

    fn with_database(&self, snapshot: LogPosition, last: LogPosition) -> Result<Start, Refusal> {
        let consistent_index = match self.database {
            DatabaseState::Unreadable(error) => {
                return Err(Refusal::DatabaseDamaged(error.to_string()));
            }
            DatabaseState::Missing => 0,
            DatabaseState::Readable(facts) => facts.consistent_index(),
        };
        let missing = matches!(self.database, DatabaseState::Missing);
        let takes_received = snapshot.index > consistent_index;
        let consistent_index = if takes_received {
            let behind = Refusal::DatabaseBehind {
                consistent_index,
                snapshot: snapshot.index,
            };
            let without = if missing {
                Refusal::DatabaseMissing
            } else {
                behind
            };
            self.received_with(snapshot.index).ok_or(without)??
        } else {
            consistent_index
        };
        if consistent_index > last.index {
            return Err(Refusal::DatabaseAhead {
                consistent_index,
                last,
            });
        }
        // etcd opens its own database first, even when it then takes the received one.
        if let Some(why) = self.database.fatal() {
            return Err(Refusal::DatabaseDamaged(why));
        }
        Ok(Start {
            snapshot,
            rebuilds_database: missing && !takes_received,
            takes_received,
        })
    }

    /// Up to where the database received with the snapshot at this index goes, or what is wrong with it; `None` when
    /// there is none.
    fn received_with(&self, index: u64) -> Option<Result<u64, Refusal>> {
        let here = |received: &&ReceivedDatabase| received.index == index;
        let received = self.received.iter().find(here)?;
        let content = received.content.as_ref()?;
        let damaged = |why| Refusal::ReceivedDamaged {
            path: received.path.clone(),
            why,
        };
        let reach = match content {
            DatabaseState::Missing => return None,
            DatabaseState::Unreadable(error) => return Some(Err(damaged(error.to_string()))),
            DatabaseState::Readable(facts) => facts.consistent_index(),
        };
        if let Some(why) = content.fatal() {
            return Some(Err(damaged(why)));
        }
        if reach < index {
            let why = format!(
                "it has applied entries up to {reach} only, and the snapshot is at {index}"
            );
            return Some(Err(damaged(why)));
        }
        Some(Ok(reach))
    }

    /// Indexes of the snapshots whose received database etcd would take, by the one rule or the other.
    pub(super) fn wants_received(&self) -> Vec<u64> {
        let consistent_index = self
            .database
            .facts()
            .map_or(0, |facts| facts.consistent_index());
        [StartRule::UpTo36, StartRule::From37]
            .map(|rule| self.snapshot(rule).index)
            .into_iter()
            .filter(|index| *index > consistent_index)
            .collect()
    }
}

impl LogPosition {
    /// The one with the greater index.
    fn max_index(self, other: Self) -> Self {
        if other.index > self.index {
            other
        } else {
            self
        }
    }
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
