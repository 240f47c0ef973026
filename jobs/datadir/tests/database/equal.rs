//! Databases of every shape are read as the plain model of them says.

use crate::support::Numbers;
use crate::support::bolt::{Shape, build, with_trailer};
use crate::support::model::{History, Model};
use etcd_datadir::hash::hashkv;
use etcd_datadir::inspect::inspect;
use etcd_datadir::progress::ignore;
use etcd_datadir::source::MemorySource;
use etcd_datadir::stream::SnapshotChecker;
use etcd_datadir::tree::Database;
use etcd_datadir::usage::{Usage, UsageOptions, UsageStream, usage};
use etcd_datadir::verify::{Verdict, VerifyOptions, verify};
use proptest::prelude::*;

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    (
        prop::sample::select(vec![1024usize, 2048, 4096, 16384, 65536]),
        1..20usize,
        2..9usize,
        any::<[bool; 3]>(),
        prop::sample::select(vec![0usize, 10, 50]),
        any::<u64>(),
    )
        .prop_map(
            |(page_size, fill, children, [inline, shuffled, freelist], free_percent, seed)| Shape {
                page_size,
                leaf_bytes: page_size * fill / 10,
                children,
                inline,
                shuffled,
                free_percent,
                freelist,
                seed,
            },
        )
}

pub(crate) fn histories() -> impl Strategy<Value = History> {
    (
        0..250usize,
        1..80usize,
        0..900usize,
        prop::sample::select(vec![0usize, 40, 100]),
        any::<u64>(),
    )
        .prop_map(
            |(changes, keys, value_len, compacted_percent, seed)| History {
                changes,
                keys,
                value_len,
                compacted_percent,
                seed,
            },
        )
}

fn by_stream(snapshot: &[u8], options: &UsageOptions, seed: u64) -> Usage {
    let (mut stream, mut rest, mut numbers) =
        (UsageStream::new("test"), snapshot, Numbers::new(seed));
    while !rest.is_empty() {
        let (now, later) = rest.split_at((1 + numbers.below(40_000)).min(rest.len()));
        stream.push(now).unwrap();
        rest = later;
    }
    stream.finish(options).unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_shape_is_read_alike(shape in shapes(), history in histories()) {
        let model = Model::new(&history);
        let snapshot = with_trailer(build(&model.buckets(), &shape));
        let source = MemorySource::new("test", snapshot.clone());

        let all = VerifyOptions::default();
        let verification = verify(&source, &all, None, &mut ignore).unwrap();
        prop_assert_eq!(&verification.findings, &vec![]);
        prop_assert_eq!(verification.verdict, Verdict::Reliable);
        let status = verification.status.unwrap();
        let (hash, records) = model.status_hash();
        prop_assert_eq!((status.hash, status.total_keys_all), (hash, records));
        prop_assert_eq!(status.total_keys_live, model.live().len() as u64);
        prop_assert_eq!(status.revision, model.stored.last().map_or(0, |change| change.revision.main));
        prop_assert_eq!((status.total_size + 32, status.version.as_str()), (snapshot.len() as u64, "3.6.0"));

        // Without the trailer each of two threads reads one half: nothing else may change.
        let unhashed = VerifyOptions { sha256: false, records: true };
        let verification = verify(&source, &unhashed, None, &mut ignore).unwrap();
        prop_assert_eq!(verification.verdict, Verdict::NotFullyChecked);
        prop_assert_eq!(verification.status, Some(status));
        let pages = verification.pages.unwrap();

        for revision in [0, model.current / 2, model.compacted.unwrap_or(1), model.current] {
            if revision != 0 && revision < model.compacted.unwrap_or(0) {
                prop_assert!(hashkv(&source, revision, &mut ignore).is_err());
                continue;
            }
            if model.stored.is_empty() {
                continue;
            }
            let last = model.stored.last().map_or(0, |change| change.revision.main).max(model.compacted.unwrap_or(0));
            let wanted = if revision == 0 { last } else { revision };
            if wanted <= last {
                prop_assert_eq!(hashkv(&source, revision, &mut ignore).unwrap().hash, model.hashkv(wanted), "{}", wanted);
            }
        }

        let options = UsageOptions { top: 3, ..UsageOptions::default() };
        let found = usage(&source, &options, &mut ignore).unwrap();
        prop_assert_eq!(&by_stream(&snapshot, &options, shape.seed), &found);
        let live: u64 = model.live().iter().map(|change| change.size()).sum();
        let total: u64 = model.stored.iter().map(|change| change.size()).sum();
        prop_assert_eq!((found.all.live_bytes, found.all.history_bytes), (live, total - live));
        prop_assert_eq!(found.all.revisions, model.stored.len() as u64);
        prop_assert_eq!(found.all.keys, model.live().len() as u64);
        prop_assert_eq!(found.free_bytes, pages.free * shape.page_size as u64);
        prop_assert_eq!(found.resources.iter().map(|group| group.amounts.bytes()).sum::<u64>(), total);
        prop_assert_eq!(found.namespaces.iter().map(|group| group.amounts.bytes()).sum::<u64>(), total);

        let inspection = inspect(&source, "/registry", &mut ignore).unwrap();
        prop_assert_eq!(inspection.keys, model.live().len() as u64);
        let objects: u64 = inspection.kubernetes.resources.values().map(|objects| objects.objects).sum();
        prop_assert_eq!(objects, model.live().len() as u64);
        prop_assert_eq!((inspection.members.len(), inspection.leases, inspection.alarms.len()), (1, 1, 1));
        prop_assert_eq!(inspection.meta.finished_compact_revision, model.compacted);
    }

    #[test]
    fn a_walk_gives_every_record_in_key_order(shape in shapes(), history in histories()) {
        let buckets = Model::new(&history).buckets();
        let source = MemorySource::new("test", build(&buckets, &shape));
        let mut db = Database::open(&source).unwrap();
        for (name, mut expected) in buckets {
            let bucket = db.bucket(&name).unwrap().unwrap();
            let mut found = Vec::new();
            db.walk(&bucket, &mut |entry| {
                found.push((entry.element.key.to_vec(), entry.element.value.to_vec()));
                Ok(())
            }).unwrap();
            expected.sort();
            prop_assert_eq!(db.last_key(&bucket).unwrap(), expected.last().map(|(key, _)| key.clone()));
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_snapshot_received_in_pieces_is_checked(history in histories(), cut in 0..2usize, seed in any::<u64>()) {
        let snapshot = with_trailer(build(&Model::new(&history).buckets(), &Shape::default()));
        let mut numbers = Numbers::new(seed);
        let mut checker = SnapshotChecker::new("test");
        let mut rest = &snapshot[..snapshot.len() - cut];
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + numbers.below(90)).min(rest.len()));
            checker.push(now).unwrap();
            rest = later;
        }
        prop_assert_eq!(checker.expected_size(), Some(snapshot.len() as u64));
        prop_assert_eq!(checker.finish().is_ok(), cut == 0);
    }
}

#[test]
fn the_bytes_passed_on_are_the_databases() {
    let model = Model::new(&History {
        changes: 900,
        keys: 50,
        value_len: 3000,
        compacted_percent: 0,
        seed: 3,
    });
    let database = build(
        &model.buckets(),
        &Shape {
            free_percent: 20,
            ..Shape::default()
        },
    );
    let source = MemorySource::new("test", with_trailer(database.clone()));
    let mut copied = Vec::new();
    let mut tee = |offset: u64, bytes: &std::sync::Arc<Vec<u8>>| {
        assert_eq!(offset, copied.len() as u64);
        copied.extend_from_slice(bytes);
        Ok(())
    };
    let verification = verify(
        &source,
        &VerifyOptions::default(),
        Some(&mut tee),
        &mut ignore,
    )
    .unwrap();
    assert_eq!(verification.verdict, Verdict::Reliable);
    assert!(copied == database);
}

#[test]
fn work_can_be_stopped() {
    let model = Model::new(&History {
        changes: 900,
        keys: 50,
        value_len: 3000,
        compacted_percent: 0,
        seed: 3,
    });
    let source = MemorySource::new(
        "test",
        with_trailer(build(&model.buckets(), &Shape::default())),
    );
    let mut stop = |_: etcd_datadir::progress::Progress| std::ops::ControlFlow::Break(());
    for sha256 in [true, false] {
        let options = VerifyOptions {
            sha256,
            records: true,
        };
        let stopped = verify(&source, &options, None, &mut stop);
        assert!(
            matches!(stopped, Err(etcd_datadir::Error::Cancelled)),
            "{stopped:?}"
        );
    }
}
