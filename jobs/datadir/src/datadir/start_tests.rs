//! Starts from WALs made in memory.

use std::path::Path;

use super::*;
use crate::datadir::DatabaseFacts;
use crate::ids::{ClusterId, MemberId};
use crate::progress::ignore;
use crate::raft::{ConfState, Entry, EntryKind, HardState};
use crate::records::meta::MetaBucket;
use crate::snap::{SnapFile, SnapFound, SnapName, V2Store};
use crate::wal::{IndexJump, SegmentName, WalMetadata, WalSnapshot, WalWriter, read_segments};

fn at(index: u64) -> LogPosition {
    LogPosition { term: 1, index }
}

fn wal_with(make: impl FnOnce(&mut WalWriter)) -> WalSummary {
    let mut writer = WalWriter::new(&WalMetadata {
        member_id: MemberId(1),
        cluster_id: ClusterId(2),
    });
    make(&mut writer);
    let bytes = writer.as_bytes();
    let names = [(
        SegmentName {
            sequence: 0,
            index: 0,
        },
        bytes.len() as u64,
    )];
    read_segments(Path::new("wal"), &names, |_| Ok(bytes), 0, &mut ignore)
        .unwrap()
        .unwrap()
}

fn entries(writer: &mut WalWriter, range: std::ops::RangeInclusive<u64>) {
    for index in range {
        writer.entry(&Entry {
            kind: EntryKind::Normal,
            position: at(index),
            data: b"x",
        });
    }
}

fn commit(writer: &mut WalWriter, commit: u64) {
    writer.hard_state(&HardState {
        term: 1,
        vote: 1,
        commit,
    });
}

fn snapshot(writer: &mut WalWriter, index: u64) {
    writer.snapshot(&WalSnapshot {
        position: at(index),
        conf_state: None,
    });
}

fn database(consistent_index: u64) -> DatabaseState {
    let meta = MetaBucket {
        consistent_index: Some(consistent_index),
        ..MetaBucket::default()
    };
    DatabaseState::Readable(Box::new(DatabaseFacts {
        size_bytes: 0,
        revision: 0,
        meta,
        cluster_version: None,
        members: Vec::new(),
        removed: Vec::new(),
        check: None,
    }))
}

fn snap_file(index: u64) -> SnapFound {
    let (conf_state, store) = (ConfState::default(), V2Store::default());
    let content = Ok(SnapFile {
        position: at(index),
        conf_state,
        store,
    });
    SnapFound {
        path: "snap".into(),
        name: SnapName(at(index)),
        content,
    }
}

fn start(
    wal: &WalSummary,
    snaps: &[SnapFound],
    database: &DatabaseState,
    rule: StartRule,
) -> Result<u64, Refusal> {
    Parts {
        wal,
        snaps,
        database,
        received: &[],
    }
    .start(rule)
    .map(|start| start.snapshot.index)
}

/// A member that was away for long: its leader sent a snapshot at index 50, and it went on from there.
fn after_a_received_snapshot() -> WalSummary {
    wal_with(|writer| {
        entries(writer, 1..=5);
        commit(writer, 5);
        snapshot(writer, 50);
        commit(writer, 50);
        entries(writer, 51..=60);
        commit(writer, 60);
    })
}

#[test]
fn a_received_snapshot_stands_for_what_is_missing() {
    let wal = after_a_received_snapshot();
    let gap = Err(Refusal::IndexGap(IndexJump { after: 5, next: 51 }));
    assert_eq!(
        start(&wal, &[snap_file(50)], &database(60), StartRule::UpTo36),
        Ok(50)
    );
    // Without the .snap file etcd to 3.6 has nothing to begin with but the first entry; 3.7 needs no file.
    assert_eq!(start(&wal, &[], &database(60), StartRule::UpTo36), gap);
    assert_eq!(start(&wal, &[], &database(60), StartRule::From37), Ok(50));
    // A .snap file that the WAL knows nothing of does not count.
    assert_eq!(
        start(&wal, &[snap_file(55)], &database(60), StartRule::UpTo36),
        gap
    );
    assert!(!wal.is_from_the_beginning());
}

#[test]
fn a_snapshot_not_yet_committed_does_not_count() {
    let wal = wal_with(|writer| {
        entries(writer, 1..=5);
        commit(writer, 5);
        snapshot(writer, 50);
    });
    for rule in [StartRule::UpTo36, StartRule::From37] {
        assert_eq!(
            start(&wal, &[snap_file(50)], &database(5), rule),
            Ok(0),
            "{rule:?}"
        );
    }
    assert_eq!(wal.last, at(5), "the log ends with its last entry");
}

#[test]
fn a_database_older_than_the_snapshot_is_refused_unless_the_leader_sent_one() {
    let wal = after_a_received_snapshot();
    let snaps = [snap_file(50)];
    let behind = Err(Refusal::DatabaseBehind {
        consistent_index: 5,
        snapshot: 50,
    });
    assert_eq!(start(&wal, &snaps, &database(5), StartRule::UpTo36), behind);
    assert_eq!(
        start(&wal, &snaps, &DatabaseState::Missing, StartRule::UpTo36),
        Err(Refusal::DatabaseMissing)
    );
    assert_eq!(start_with(&wal, &database(5), database(50)), Ok(true));
}

/// Whether etcd takes the database received with the snapshot at index 50.
fn start_with(
    wal: &WalSummary,
    own: &DatabaseState,
    received: DatabaseState,
) -> Result<bool, Refusal> {
    let received = [ReceivedDatabase {
        path: "x.snap.db".into(),
        index: 50,
        size_bytes: 1,
        content: Some(received),
    }];
    let parts = Parts {
        wal,
        snaps: &[snap_file(50)],
        database: own,
        received: &received,
    };
    assert_eq!(parts.wants_received(), [50, 50]);
    let started = parts.start(StartRule::UpTo36);
    started.map(|start| start.takes_received)
}

/// A database with this consistent index that was walked: a leaf in it was overwritten.
fn damaged(consistent_index: u64) -> DatabaseState {
    let DatabaseState::Readable(mut facts) = database(consistent_index) else {
        panic!("it is readable")
    };
    let source = crate::source::MemorySource::new("db", vec![0; 8192]);
    let check = crate::verify::verify(&source, &Default::default(), None, &mut ignore).unwrap();
    facts.check = Some(check);
    DatabaseState::Readable(facts)
}

#[test]
fn a_received_database_that_is_damaged_or_too_old_is_refused() {
    let wal = after_a_received_snapshot();
    let unreadable = DatabaseState::Unreadable(crate::Error::Cancelled);
    for bad in [unreadable, database(49), damaged(50)] {
        let found = start_with(&wal, &database(5), bad);
        assert!(
            matches!(found, Err(Refusal::ReceivedDamaged { .. })),
            "{found:?}"
        );
    }
    let found = start_with(&wal, &damaged(5), database(50));
    assert!(
        matches!(found, Err(Refusal::DatabaseDamaged(_))),
        "{found:?}"
    );
}

#[test]
fn what_the_log_lost_is_noticed() {
    let wal = wal_with(|writer| {
        entries(writer, 1..=5);
        commit(writer, 9);
    });
    let lost = Err(Refusal::CommitBeyondLog {
        commit: 9,
        last: at(5),
    });
    assert_eq!(start(&wal, &[], &database(5), StartRule::UpTo36), lost);
    let wal = wal_with(|writer| {
        entries(writer, 1..=5);
        commit(writer, 4);
    });
    let ahead = Err(Refusal::DatabaseAhead {
        consistent_index: 7,
        last: at(5),
    });
    assert_eq!(start(&wal, &[], &database(7), StartRule::UpTo36), ahead);
    assert_eq!(start(&wal, &[], &database(5), StartRule::UpTo36), Ok(0));
}
