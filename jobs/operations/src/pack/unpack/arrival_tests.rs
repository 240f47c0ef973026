//! What may arrive instead of a snapshot.

use std::io::Write;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::failure::FailureKind;
use crate::pack::segment::{Attributes, Segment};
use crate::pack::{Level, SNAPSHOT};
use crate::transfer::hex;

const SMALL: &[u8] = include_bytes!("../../../tests/snapshots/small.snapshot");

fn of_free(free: u64) -> crate::disk::Room {
    crate::disk::Room { free, size: free }
}

fn spool() -> Spool {
    Spool::new(std::env::temp_dir()).with_room(|_| Ok(of_free(u64::MAX)))
}

fn full() -> Spool {
    Spool::new(std::env::temp_dir()).with_room(|_| Ok(of_free(0)))
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A bundle of the snapshot, and of one more file with this mode.
fn bundle(database: &[u8], mode: u32) -> Vec<u8> {
    let attributes = Attributes { mode, modified: 7 };
    let segment = Segment::begin(Vec::new(), "b", Level::default()).unwrap();
    let mut entry = segment
        .file(SNAPSHOT, database.len() as u64, Attributes::now())
        .unwrap();
    entry.write(database).unwrap();
    let segment = entry.end().unwrap();
    let mut segment = segment
        .small("masters/m1/etc/x", b"kind: Pod", attributes)
        .unwrap();
    let contents = segment.contents().clone();
    let report = crate::stored::description::tests::snapshot("2026-11-20T21:00:00Z");
    let description =
        crate::stored::description::Description::new(&report, std::path::Path::new(SNAPSHOT));
    let text = description.with_contents(Some(contents)).text().unwrap();
    segment.finish_bundle(&text).unwrap()
}

fn came(bytes: &[u8], spool: &Spool) -> Result<Arrived, UnpackError> {
    arriving(bytes, "x", spool, &AtomicBool::new(false))
}

/// As into a file, which has the bytes before they are handed over.
fn came_into_a_file(bytes: &[u8]) -> Result<Arrived, UnpackError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    arriving_in(&file, bytes, "x", &spool(), &AtomicBool::new(false))
}

fn damage(result: Result<Arrived, UnpackError>) -> String {
    match result {
        Err(UnpackError::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_form_is_known_by_the_bytes_that_came() {
    let plain = Sum {
        size_bytes: SMALL.len() as u64,
        sha256: hex(&Sha256::digest(SMALL)),
    };
    for bytes in [SMALL.to_vec(), packed(SMALL), bundle(SMALL, 0o600)] {
        for arrived in [came(&bytes, &spool()), came_into_a_file(&bytes)] {
            let arrived = arrived.unwrap();
            assert_eq!(arrived.snapshot, plain);
            assert_eq!(arrived.input.sha256, hex(&Sha256::digest(&bytes)));
            assert_eq!(arrived.input.size_bytes, bytes.len() as u64);
            let pages = arrived.pages.unwrap();
            assert_eq!(pages.hash.revision, pages.status.revision);
        }
    }
}

#[test]
fn damage_anywhere_is_seen_in_every_form() {
    let mut flipped = SMALL.to_vec();
    flipped[9_000] ^= 1;
    // The trailer is right, and the tree is not.
    let mut rewritten = SMALL[..SMALL.len() - 32].to_vec();
    rewritten[2 * 4096..].fill(0xee);
    let digest = Sha256::digest(&rewritten);
    rewritten.extend_from_slice(&digest);
    let longer = [SMALL, b"more"].concat();
    let cut = &SMALL[..SMALL.len() - 1];
    for bad in [&flipped[..], &rewritten, &longer, cut, b"", b"{}"] {
        damage(came(bad, &spool()));
        damage(came_into_a_file(bad));
        damage(came(&packed(bad), &spool()));
        damage(came(&bundle(bad, 0o600), &spool()));
    }
}

#[test]
fn without_room_all_but_the_pages_is_checked_all_the_same() {
    for bytes in [SMALL.to_vec(), packed(SMALL), bundle(SMALL, 0o600)] {
        let arrived = came(&bytes, &full()).unwrap();
        assert_eq!(arrived.snapshot.size_bytes, SMALL.len() as u64);
        let failure = arrived.pages.unwrap_err();
        assert_eq!(failure.kind, FailureKind::NoSpace, "{failure}");
    }
    let mut flipped = SMALL.to_vec();
    flipped[9_000] ^= 1;
    damage(came(&packed(&flipped), &full()));
    assert!(damage(came(&bundle(SMALL, 0o4755), &full())).contains("setuid"));
}

#[test]
fn a_file_that_would_be_run_as_root_is_refused() {
    assert!(damage(came(&bundle(SMALL, 0o4755), &spool())).contains("setuid"));
    assert!(came(&bundle(SMALL, 0o755), &spool()).is_ok());
}

/// Endless zeros after a whole snapshot: packed they are next to nothing.
#[test]
fn what_unpacks_without_end_is_not_waited_for() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(SMALL).unwrap();
    // Not io::repeat: unoptimized, it fills each byte by itself.
    let zeros = vec![0; 1 << 20];
    for _ in 0..4 << 10 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let begun = std::time::Instant::now();
    damage(came(&bomb, &spool()));
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn what_is_stopped_ends() {
    let stopped = AtomicBool::new(true);
    let failed = arriving(&packed(SMALL)[..], "x", &spool(), &stopped);
    assert!(matches!(failed, Err(UnpackError::Failed(_))), "{failed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_byte_is_seen(at: prop::sample::Index, bit in 0u8..8, form in 0usize..3) {
        let mut bytes = match form {
            0 => SMALL.to_vec(),
            1 => packed(SMALL),
            _ => bundle(SMALL, 0o600),
        };
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(arrived) = came(&bytes, &spool()) {
            // What zstd does not look at: the snapshot is the same.
            prop_assert!(form > 0);
            prop_assert_eq!(arrived.snapshot.sha256, hex(&Sha256::digest(SMALL)));
        }
    }
}
