//! What an inspection tells, each with what it means.

use std::path::PathBuf;

use thiserror::Error;

use crate::ids::MemberId;
use crate::raft::LogPosition;
use crate::wal::{IndexJump, WalDamage};

/// Why etcd would not start from the directory, or would start into something worse.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is a database and no WAL. etcd would begin a new log, and because the database counts all its entries as
    /// applied already, drop every write in silence.
    #[error(
        "there is a database (applied up to index {consistent_index}) and no WAL: etcd would start as a new member and \
         drop every write up to that index"
    )]
    NoWal {
        /// What the database says was applied.
        consistent_index: u64,
    },
    /// There is no WAL, and nothing was ever written to the database: etcd made it before it had asked the cluster to let it
    /// join, and ended.
    #[error(
        "it is new: the database is empty and there is no WAL, so it has not joined a cluster yet"
    )]
    NeverJoined,
    /// The WAL is damaged where etcd does not repair it.
    #[error("the WAL is damaged: {0}")]
    WalDamaged(WalDamage),
    /// There is nothing that says whose WAL it is.
    #[error("the WAL does not say whose it is")]
    NoMetadata,
    /// The WAL does not reach back to where etcd would have to begin reading.
    #[error(
        "the WAL begins at index {first}, etcd would have to read it from {needed} on: no usable .snap file is newer"
    )]
    WalTooShort {
        /// First index the segments may hold.
        first: u64,
        /// Index of the start.
        needed: u64,
    },
    /// Entries are missing in what etcd would read.
    #[error("entries {} to {} are missing in the WAL", .0.after.saturating_add(1), .0.next.saturating_sub(1))]
    IndexGap(IndexJump),
    /// The hard state speaks of entries that are not there: durable ones were lost. raft panics.
    #[error(
        "entries up to {commit} were committed, but the WAL ends with {last}: entries that were on disk are gone"
    )]
    CommitBeyondLog {
        /// Commit index in the hard state.
        commit: u64,
        /// The end of the log.
        last: LogPosition,
    },
    /// The database has applied entries the WAL does not have.
    #[error(
        "the database has applied entries up to {consistent_index}, but the WAL ends with {last}: they do not belong \
         together, or the WAL lost its end"
    )]
    DatabaseAhead {
        /// What the database says was applied.
        consistent_index: u64,
        /// The end of the log.
        last: LogPosition,
    },
    /// The log begins behind what the database has applied, and no received database fills the gap.
    #[error(
        "the database has applied entries up to {consistent_index}, but the log goes on from a snapshot at {snapshot}, \
         whose database is not here"
    )]
    DatabaseBehind {
        /// What the database says was applied.
        consistent_index: u64,
        /// Index of the snapshot.
        snapshot: u64,
    },
    /// There is a log that needs a database, and none.
    #[error("the database file is missing")]
    DatabaseMissing,
    /// The database is damaged.
    #[error("the database is damaged: {0}")]
    DatabaseDamaged(String),
    /// The database received from the leader, which etcd would take, is damaged or another one.
    #[error("the database received from the leader, {}, is damaged: {why}", path.display())]
    ReceivedDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The cluster removed this member; it starts and ends at once.
    #[error("member {0} was removed from the cluster: etcd would end at once")]
    Removed(MemberId),
}

/// What is lost when etcd starts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Loss {
    /// The last record is incomplete and is cut off. It was never acknowledged by this member.
    #[error("the last record of the WAL is incomplete and will be cut off at byte {offset} of {}", file.display())]
    TornRecord {
        /// The segment.
        file: PathBuf,
        /// Where it is cut.
        offset: u64,
    },
    /// Records behind a hole in the WAL are overwritten.
    #[error(
        "the WAL ends at byte {offset} of {}, but there is more from byte {resumes_at} on, which will be overwritten: \
         the machine lost what it was writing",
        file.display()
    )]
    BehindHole {
        /// The segment.
        file: PathBuf,
        /// Where it ends.
        offset: u64,
        /// Where there is more.
        resumes_at: u64,
    },
}

/// Something worth knowing that decides nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Finding {
    /// A `.snap` file etcd would pass over.
    #[error("{}: not usable: {why}", path.display())]
    BadSnap {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The members differ between WAL, `.snap` file and database.
    #[error("{0}; etcd 3.6 and later go by the database, earlier ones by the others")]
    Membership(String),
    /// Members changed in the log, and not known to be committed.
    #[error("{0} membership changes at the end of the log may never have been committed")]
    PendingChanges(usize),
    /// Data of the v2 API, with which etcd 3.6 does not start.
    #[error(
        "there is data of the v2 API in the .snap file; etcd 3.6 and later do not start with it"
    )]
    UserDataInV2Store,
    /// One release would start, another not.
    #[error("{0}")]
    OtherRelease(String),
    /// There is no database, and the WAL still holds everything since the beginning.
    #[error(
        "the database is missing, but the WAL holds every entry from the first on: etcd makes it anew"
    )]
    DatabaseRebuilt,
    /// etcd will take a database that was received from the leader.
    #[error(
        "etcd will put the database received with the snapshot at index {0} in the place of its own"
    )]
    TakesReceived(u64),
    /// The database was not walked.
    #[error("the database was not checked")]
    DatabaseNotChecked,
    /// The database that etcd will take was not walked.
    #[error("the database received with the snapshot at index {0} was not checked")]
    ReceivedNotChecked(u64),
    /// What was seen behind damage.
    #[error("behind the damage the WAL went on to {0}")]
    WentOnTo(LogPosition),
}
