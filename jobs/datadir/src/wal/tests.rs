//! WALs made in memory, damaged in every way etcd tells apart.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::ids::{ClusterId, MemberId};
use crate::progress::ignore;
use crate::raft::{ConfChange, ConfChangeKind, Entry, EntryKind, HardState, LogPosition};

const FIRST: SegmentName = SegmentName {
    sequence: 0,
    index: 0,
};
const METADATA: WalMetadata = WalMetadata {
    member_id: MemberId(1),
    cluster_id: ClusterId(2),
};

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

fn put(writer: &mut WalWriter, term: u64, index: u64, data: &[u8]) {
    writer.entry(&Entry {
        kind: EntryKind::Normal,
        position: at(term, index),
        data,
    });
}

/// A WAL with entries 1 to `n` of 40 bytes each; gives the offsets the records end at, too.
fn wal(n: u64) -> (WalWriter, Vec<usize>) {
    let mut writer = WalWriter::new(&METADATA);
    let mut ends = vec![writer.as_bytes().len()];
    for index in 1..=n {
        put(&mut writer, 1, index, &[b'x'; 40]);
        ends.push(writer.as_bytes().len());
    }
    writer.hard_state(&HardState {
        term: 1,
        vote: 1,
        commit: n,
    });
    ends.push(writer.as_bytes().len());
    (writer, ends)
}

fn read(files: &[(SegmentName, &[u8])]) -> WalSummary {
    let names: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (*name, bytes.len() as u64))
        .collect();
    let open = |name| Ok(files.iter().find(|(n, _)| *n == name).unwrap().1);
    read_segments(Path::new("wal"), &names, open, 0, &mut ignore)
        .unwrap()
        .unwrap()
}

fn read_one(bytes: &[u8]) -> WalSummary {
    read(&[(FIRST, bytes)])
}

/// Splits off a second segment, as `wal.cut` does: crc, metadata, state, then what follows.
fn second_segment(crc: u32, from: u64, to: u64) -> Vec<u8> {
    let mut writer = WalWriter::going_on(crc, &METADATA);
    writer.hard_state(&HardState {
        term: 1,
        vote: 1,
        commit: from - 1,
    });
    for index in from..=to {
        put(&mut writer, 1, index, b"second");
    }
    writer.as_bytes().to_vec()
}

#[test]
fn a_whole_wal_is_read() {
    let (writer, _) = wal(5);
    let mut bytes = writer.as_bytes().to_vec();
    bytes.resize(bytes.len() + 4096, 0);
    let read = read_one(&bytes);
    assert_eq!(read.metadata, Some(METADATA));
    assert_eq!(
        (read.last, read.first, read.entries),
        (at(1, 5), Some(at(1, 1)), 5)
    );
    assert_eq!(
        (read.commit(), read.damage, read.tail),
        (5, None, Tail::Clean)
    );
    assert_eq!(read.snapshots.len(), 1);
    assert_eq!(read.segments[0].used_bytes, writer.as_bytes().len() as u64);
}

#[test]
fn a_cut_anywhere_loses_only_what_is_behind_it() {
    let (writer, ends) = wal(5);
    for len in 8..writer.as_bytes().len() {
        let read = read_one(&writer.as_bytes()[..len]);
        let whole = ends
            .iter()
            .filter(|&&end| end <= len)
            .count()
            .saturating_sub(1)
            .min(5);
        assert_eq!(read.last.index, whole as u64, "cut at {len}");
        assert_eq!(read.damage, None);
        let at_end = read.segments[0].used_bytes == len as u64;
        assert_eq!(read.tail == Tail::Clean, at_end, "cut at {len}");
    }
}

#[test]
fn a_flip_is_a_crc_mismatch_and_no_torn_tail() {
    let (writer, ends) = wal(5);
    let mut bytes = writer.as_bytes().to_vec();
    bytes[ends[4] + 30] ^= 1;
    let read = read_one(&bytes);
    let damage = read.damage.unwrap();
    assert!(
        matches!(damage.kind, WalDamageKind::CrcMismatch { .. }),
        "{damage}"
    );
    assert_eq!((damage.offset, read.last.index), (ends[4] as u64, 4));
}

#[test]
fn a_sector_never_written_is_a_torn_tail_only_in_the_last_segment() {
    let mut writer = WalWriter::new(&METADATA);
    put(&mut writer, 1, 1, &[7; 3000]);
    let mut torn = writer.as_bytes().to_vec();
    torn[1024..1536].fill(0);
    assert!(matches!(
        read_one(&torn).tail,
        Tail::Torn {
            reason: TornReason::ZeroSector,
            ..
        }
    ));
    let next = SegmentName {
        sequence: 1,
        index: 2,
    };
    let followed = read(&[(FIRST, &torn), (next, &second_segment(writer.crc(), 2, 3))]);
    assert!(matches!(
        followed.damage.unwrap().kind,
        WalDamageKind::CrcMismatch { .. }
    ));
}

#[test]
fn zeros_before_more_records_are_a_hole() {
    let (writer, ends) = wal(5);
    let mut bytes = writer.as_bytes().to_vec();
    bytes[ends[3]..ends[4]].fill(0);
    let read = read_one(&bytes);
    assert_eq!(read.last.index, 3);
    let (offset, resumes_at) = (ends[3] as u64, ends[4] as u64);
    assert_eq!(
        read.tail,
        Tail::Hole {
            file: Path::new("wal").join(FIRST.to_string()),
            offset,
            resumes_at
        }
    );
}

#[test]
fn two_segments_are_one_log() {
    let (writer, _) = wal(5);
    let next = SegmentName {
        sequence: 1,
        index: 6,
    };
    let read = read(&[
        (FIRST, writer.as_bytes()),
        (next, &second_segment(writer.crc(), 6, 9)),
    ]);
    assert_eq!(
        (read.damage, read.last, read.jumps.len()),
        (None, at(1, 9), 0)
    );
}

#[test]
fn a_missing_segment_is_told_from_a_broken_chain() {
    let (writer, _) = wal(5);
    let wrong = second_segment(writer.crc() ^ 1, 6, 9);
    let next = |sequence| SegmentName { sequence, index: 6 };
    let broken = read(&[(FIRST, writer.as_bytes()), (next(1), &wrong)]);
    assert!(matches!(
        broken.damage.unwrap().kind,
        WalDamageKind::ChainBroken { .. }
    ));
    let missing = read(&[(FIRST, writer.as_bytes()), (next(3), &wrong)]);
    assert_eq!(
        missing.damage.unwrap().kind,
        WalDamageKind::MissingSegments {
            after: 0,
            next: 3,
            count: 2
        }
    );
    assert_eq!(
        missing.last,
        at(1, 5),
        "what is sound ends before the missing segments"
    );
    assert_eq!(
        missing.beyond.unwrap().last,
        at(1, 9),
        "what was there is still told"
    );
}

#[test]
fn purged_first_segments_are_no_damage() {
    let later = SegmentName {
        sequence: 7,
        index: 100,
    };
    let read = read(&[(later, &second_segment(0xabc, 100, 103))]);
    assert_eq!(
        (read.damage, read.last, read.jumps.len()),
        (None, at(1, 103), 0)
    );
}

#[test]
fn a_cut_before_the_last_segment_is_damage() {
    let (writer, _) = wal(5);
    let short = &writer.as_bytes()[..writer.as_bytes().len() - 3];
    let next = SegmentName {
        sequence: 1,
        index: 6,
    };
    let read = read(&[(FIRST, short), (next, &second_segment(writer.crc(), 6, 9))]);
    assert!(matches!(
        read.damage.unwrap().kind,
        WalDamageKind::CutBeforeLast(TornReason::LengthBeyondFile)
    ));
}

#[test]
fn missing_indexes_are_a_jump() {
    let (mut writer, _) = wal(5);
    assert!(read_one(writer.as_bytes()).is_from_the_beginning());
    put(&mut writer, 1, 9, b"after a gap");
    let read = read_one(writer.as_bytes());
    assert_eq!(read.jumps, [IndexJump { after: 5, next: 9 }]);
    assert!(!read.is_from_the_beginning());
}

#[test]
fn what_a_new_leader_overwrites_is_gone() {
    let (mut writer, _) = wal(5);
    let change = ConfChange {
        kind: ConfChangeKind::Remove,
        member_id: 9,
        context: Vec::new(),
    }
    .encode();
    writer.entry(&Entry {
        kind: EntryKind::ConfChange,
        position: at(1, 6),
        data: &change,
    });
    put(&mut writer, 1, 7, b"never committed");
    assert_eq!(read_one(writer.as_bytes()).changes.len(), 1);
    put(&mut writer, 2, 6, b"the new leader's");
    let read = read_one(writer.as_bytes());
    assert_eq!(
        (read.last, read.changes.len(), read.jumps.len()),
        (at(2, 6), 0, 0)
    );
}

#[test]
fn other_metadata_and_unknown_records_are_damage() {
    let (mut writer, _) = wal(1);
    writer.put(
        RecordKind::Metadata,
        &WalMetadata {
            member_id: MemberId(9),
            ..METADATA
        }
        .encode(),
    );
    assert_eq!(
        read_one(writer.as_bytes()).damage.unwrap().kind,
        WalDamageKind::MetadataConflict
    );
    let (mut writer, _) = wal(1);
    writer.put(RecordKind::Unknown(6), b"");
    assert_eq!(
        read_one(writer.as_bytes()).damage.unwrap().kind,
        WalDamageKind::UnknownRecord(6)
    );
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_summary(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz::wal(&bytes);
    }

    #[test]
    fn a_damaged_wal_never_says_more_than_the_whole_one(at in 0usize..600, value in any::<u8>()) {
        let (writer, _) = wal(5);
        let mut bytes = writer.as_bytes().to_vec();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != value);
        bytes[at] = value;
        let damaged = read_one(&bytes);
        let whole = read_one(writer.as_bytes());
        prop_assert!(damaged.last <= whole.last);
        let in_padding_or_silent = damaged.last == whole.last && damaged.hard_state == whole.hard_state;
        prop_assert!(in_padding_or_silent || damaged.damage.is_some() || damaged.tail != Tail::Clean || damaged.entries < 5);
    }
}
