use std::fs;
use std::io::Write;

use etcd_datadir::progress::ignore;
use sha2::{Digest, Sha256};

use super::*;
use crate::report::Packed;
use crate::stored::description::tests::snapshot as report;
use crate::transfer::hex;

/// A real snapshot.
fn sample() -> Vec<u8> {
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugin");
    fs::read(format!("{plugin}/tests/cmd/offline.in/small.snapshot")).unwrap()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What its description says of the sample in this file.
fn described(file: &[u8]) -> SnapshotReport {
    let sample = sample();
    SnapshotReport {
        size_bytes: file.len() as u64,
        sha256: hex(&Sha256::digest(file)),
        revision: 11,
        hash: 0xb5c2_42b6,
        packed: (file != sample).then(|| Packed {
            size_bytes: sample.len() as u64,
            sha256: hex(&Sha256::digest(&sample)),
            bundle: None,
        }),
        ..report("2026-11-20T21:00:00Z")
    }
}

/// What is noted when a file is read again.
async fn noted(file: &[u8], described: &SnapshotReport) -> KeptState {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db.zst");
    fs::write(&path, file).unwrap();
    let described = Description::new(described, &path);
    described.store(&path, Replace::Nothing).unwrap();
    let name = "a.db.zst".parse().unwrap();
    let report = verify(dir.path(), &name, &mut |_| {}).await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    let Report::SnapshotVerify(kept) = report else {
        panic!("{report:?}");
    };
    assert!(
        Description::beside(&path)
            .unwrap()
            .unwrap()
            .checked
            .is_some()
    );
    kept.state
}

#[tokio::test]
async fn a_packed_snapshot_that_is_as_described_is_whole() {
    for file in [sample(), packed(&sample())] {
        let state = noted(&file, &described(&file)).await;
        assert!(matches!(state, KeptState::Verified { .. }), "{state:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_packed_snapshot_is_noted() {
    let file = packed(&sample());
    let right = described(&file);
    let wrong = |change: &dyn Fn(&mut Packed)| {
        let mut packed = right.packed.clone().unwrap();
        change(&mut packed);
        SnapshotReport {
            packed: Some(packed),
            ..right.clone()
        }
    };
    let cut = &file[..file.len() - 10];
    let flipped = {
        let mut bytes = sample();
        bytes[9000] ^= 1;
        packed(&bytes)
    };
    for (file, described, what) in [
        (cut, described(cut), "cut"),
        (&flipped, described(&flipped), "sha256"),
        (
            &file,
            SnapshotReport {
                sha256: "ab".into(),
                ..right.clone()
            },
            "not the one that is described",
        ),
        (&file, wrong(&|p| p.sha256 = "ab".into()), "not the one"),
        (&file, wrong(&|p| p.size_bytes += 1), "not the one"),
        (
            &file,
            SnapshotReport {
                packed: None,
                ..right.clone()
            },
            "not the one that is described",
        ),
    ] {
        match noted(file, &described).await {
            KeptState::Damaged { what: found } => assert!(found.contains(what), "{found}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_bundle_is_not_taken_for_a_compressed_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, packed(&sample())).unwrap();
    let opened = unpack::open(&path, &Spool::new(dir.path()), &mut ignore).unwrap();
    let mut described = described(&packed(&sample()));
    assert!(opened.is_described_by(&described));
    if let Some(packed) = &mut described.packed {
        packed.bundle = Some(crate::report::BundleSummary {
            nodes: vec!["cp-1".into()],
            pki: false,
        });
    }
    assert!(!opened.is_described_by(&described));
}
