//! Damaged snapshots get a clean verdict: never a panic, never a hang, never 'reliable'.

use crate::support::Numbers;
use crate::support::bolt::{Shape, build, with_trailer};
use crate::support::model::{History, Model};
use etcd_datadir::Error;
use etcd_datadir::error::Damage;
use etcd_datadir::hash::hashkv;
use etcd_datadir::inspect::inspect;
use etcd_datadir::page::{Header, Meta};
use etcd_datadir::progress::ignore;
use etcd_datadir::source::{MemorySource, Source};
use etcd_datadir::tree::Database;
use etcd_datadir::usage::{UsageOptions, UsageStream, usage};
use etcd_datadir::verify::{Sha256State, Verdict, Verification, VerifyOptions, verify};
use proptest::prelude::*;

pub(super) fn database() -> Vec<u8> {
    let history = History {
        changes: 220,
        keys: 60,
        value_len: 260,
        compacted_percent: 0,
        seed: 11,
    };
    build(
        &Model::new(&history).buckets(),
        &Shape {
            children: 8,
            free_percent: 5,
            ..Shape::default()
        },
    )
}

fn look(bytes: Vec<u8>) -> Verification {
    verify(
        &MemorySource::new("test", bytes),
        &VerifyOptions::default(),
        None,
        &mut ignore,
    )
    .unwrap()
}

/// Verifies a database that was damaged and given a trailer that fits: only the structure can tell.
fn look_inside(database: Vec<u8>) -> Verification {
    let verification = look(with_trailer(database));
    assert!(!matches!(verification.sha256, Sha256State::Wrong { .. }));
    verification
}

/// Everything that reads a database must come back from a damaged one.
fn read_all(bytes: Vec<u8>) {
    let mut stream = UsageStream::new("test");
    if bytes
        .chunks(3000)
        .try_for_each(|piece| stream.push(piece))
        .is_ok()
    {
        let _ = stream.finish(&UsageOptions::default());
    }
    let source = MemorySource::new("test", bytes);
    let _ = hashkv(&source, 0, &mut ignore);
    let _ = usage(&source, &UsageOptions::default(), &mut ignore);
    let _ = inspect(&source, "/registry", &mut ignore);
    for sha256 in [false, true] {
        let _ = verify(
            &source,
            &VerifyOptions {
                sha256,
                records: true,
            },
            None,
            &mut ignore,
        );
    }
}

const PAGE: usize = 4096;

fn page(database: &[u8], number: usize) -> &[u8] {
    &database[number * PAGE..(number + 1) * PAGE]
}

/// Pages of a kind (1 branch, 2 leaf) that bear their own number, with their count of elements.
fn pages_of_kind(database: &[u8], kind: u16) -> Vec<(usize, u16)> {
    let header = |number| Header::parse(page(database, number)).unwrap();
    let used = used_pages(database);
    let all = (2..database.len() / PAGE)
        .filter(|n| header(*n).id == *n as u64 && header(*n).flags == kind);
    all.filter(|number| used.contains(number))
        .map(|number| (number, header(number).count))
        .collect()
}

/// Pages the tree refers to.
fn used_pages(database: &[u8]) -> Vec<usize> {
    let source = MemorySource::new("test", database.to_vec());
    let mut db = etcd_datadir::tree::Database::open(&source).unwrap();
    let mut todo = vec![db.meta().root];
    todo.extend(
        db.buckets()
            .unwrap()
            .iter()
            .map(|bucket| bucket.header.root)
            .filter(|root| *root != 0),
    );
    let (mut used, mut run) = (Vec::new(), Vec::new());
    while let Some(number) = todo.pop() {
        used.push(usize::try_from(number).unwrap());
        if db.read_run(number, 0, &mut run).unwrap().flags == 1 {
            let branch = etcd_datadir::page::Branch::parse(number, &run).unwrap();
            todo.extend(branch.elements().map(|element| element.unwrap().child));
        }
    }
    used
}

/// A leaf of the bucket `key` with several records.
fn some_leaf(database: &[u8]) -> usize {
    let leaves = pages_of_kind(database, 2);
    leaves
        .into_iter()
        .filter(|(_, count)| *count > 3)
        .map(|(number, _)| number)
        .nth(5)
        .unwrap()
}

fn some_branch(database: &[u8]) -> usize {
    pages_of_kind(database, 1)
        .into_iter()
        .find(|(_, count)| *count > 3)
        .unwrap()
        .0
}

/// Child `index` of a branch page.
fn child(database: &[u8], branch: usize, index: usize) -> usize {
    let at = branch * PAGE + 16 + 16 * index + 8;
    usize::try_from(u64::from_le_bytes(database[at..at + 8].try_into().unwrap())).unwrap()
}

fn set_child(database: &mut [u8], branch: usize, index: usize, to: u64) {
    let at = branch * PAGE + 16 + 16 * index + 8;
    database[at..at + 8].copy_from_slice(&to.to_le_bytes());
}

fn swap_pages(database: &mut [u8], a: usize, b: usize) {
    let (one, other) = (page(database, a).to_vec(), page(database, b).to_vec());
    database[a * PAGE..][..PAGE].copy_from_slice(&other);
    database[b * PAGE..][..PAGE].copy_from_slice(&one);
}

fn finds(name: &str, damage: impl FnOnce(&mut Vec<u8>), expected: impl Fn(&Damage) -> bool) {
    let mut database = database();
    damage(&mut database);
    let verification = look_inside(database.clone());
    assert_eq!(verification.verdict, Verdict::Damaged, "{name}");
    let found = verification
        .findings
        .iter()
        .any(|finding| expected(&finding.damage));
    assert!(found, "{name}: {:?}", verification.findings);
    read_all(with_trailer(database));
}

#[test]
fn an_undamaged_one_is_reliable() {
    assert_eq!(look(with_trailer(database())).verdict, Verdict::Reliable);
    assert_eq!(look(database()).verdict, Verdict::NoTrailer);
}

#[test]
fn every_one_of_ten_thousand_flipped_bits_is_refused() {
    let snapshot = with_trailer(database());
    let half = |seed: u64| {
        let mut numbers = Numbers::new(seed);
        for _ in 0..5_000 {
            let bit = numbers.below(snapshot.len() * 8);
            let mut flipped = snapshot.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let verification = look(flipped);
            assert_eq!(
                verification.verdict,
                Verdict::Damaged,
                "bit {bit}: {verification:?}"
            );
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| half(1));
        scope.spawn(|| half(2));
    });
}

#[test]
fn pages_that_went_wrong_are_named() {
    finds(
        "zeroed leaf",
        |db| {
            let leaf = some_leaf(db);
            db[leaf * PAGE..][..PAGE].fill(0);
        },
        |damage| matches!(damage, Damage::PageId { found: 0, .. }),
    );
    finds(
        "zeroed branch",
        |db| {
            let branch = some_branch(db);
            db[branch * PAGE..][..PAGE].fill(0);
        },
        |damage| matches!(damage, Damage::PageId { found: 0, .. }),
    );
    finds(
        "swapped leaves",
        |db| {
            let branch = some_branch(db);
            let (a, b) = (child(db, branch, 0), child(db, branch, 1));
            swap_pages(db, a, b);
        },
        |damage| matches!(damage, Damage::PageId { .. }),
    );
    finds(
        "a leaf in another one's place",
        |db| {
            let branch = some_branch(db);
            let (a, b) = (child(db, branch, 0), child(db, branch, 1));
            set_child(db, branch, 0, b as u64);
            set_child(db, branch, 1, a as u64);
        },
        |damage| matches!(damage, Damage::KeyRange { .. }),
    );
    finds(
        "elements in the wrong order",
        |db| {
            let leaf = some_leaf(db);
            // The revision's last byte before the separator, in the second key.
            let element = leaf * PAGE + 16 + 16;
            let pos = u32::from_le_bytes(db[element + 4..element + 8].try_into().unwrap()) as usize;
            db[element + pos + 6] = 0;
            db[element + pos + 7] = 0;
        },
        |damage| matches!(damage, Damage::KeyOrder { .. } | Damage::KeyRange { .. }),
    );
    finds(
        "count too high",
        |db| {
            let leaf = some_leaf(db);
            db[leaf * PAGE + 10..][..2].copy_from_slice(&60_000u16.to_le_bytes());
        },
        |damage| matches!(damage, Damage::PageCount { count: 60_000, .. }),
    );
    finds(
        "overflow beyond the end",
        |db| {
            let leaf = some_leaf(db);
            db[leaf * PAGE + 12..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
        },
        |damage| matches!(damage, Damage::Overflow { .. }),
    );
    finds(
        "overflow over the next page",
        |db| {
            let leaf = some_leaf(db);
            db[leaf * PAGE + 12..][..4].copy_from_slice(&3u32.to_le_bytes());
        },
        |damage| matches!(damage, Damage::UsedTwice { .. }),
    );
    finds(
        "wild element",
        |db| {
            let leaf = some_leaf(db);
            db[leaf * PAGE + 16 + 12..][..4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        },
        |damage| matches!(damage, Damage::Element { .. }),
    );
}

#[test]
fn trees_that_are_none_are_named() {
    let wild = |to: u64| {
        move |db: &mut Vec<u8>| {
            let branch = some_branch(db);
            set_child(db, branch, 1, to);
        }
    };
    for to in [0, 1, u64::MAX, 1 << 33] {
        finds("wild pointer", wild(to), |damage| {
            matches!(damage, Damage::PageOutOfRange { .. })
        });
    }
    finds(
        "duplicate child",
        |db| {
            let branch = some_branch(db);
            let first = child(db, branch, 0);
            set_child(db, branch, 1, first as u64);
        },
        |damage| matches!(damage, Damage::UsedTwice { .. }),
    );
    finds(
        "a branch below itself, at the left edge",
        |db| {
            let branch = some_branch(db);
            set_child(db, branch, 0, branch as u64);
        },
        |damage| matches!(damage, Damage::TooDeep { .. } | Damage::UsedTwice { .. }),
    );
    finds(
        "a branch below itself, elsewhere",
        |db| {
            let branch = some_branch(db);
            set_child(db, branch, 2, branch as u64);
        },
        |damage| matches!(damage, Damage::PageKind { .. } | Damage::UsedTwice { .. }),
    );
    finds(
        "root is a free page",
        |db| {
            let mut meta = Meta::parse(&db[..80]).unwrap();
            meta.root = 1;
            db[..80].copy_from_slice(&meta.encode());
        },
        |damage| matches!(damage, Damage::PageOutOfRange { page: 1, .. }),
    );
}

#[test]
fn metas_trailers_and_cuts_are_named() {
    let meta_gone = |db: &mut Vec<u8>| db[16] ^= 1;
    finds("first meta bad", meta_gone, |damage| {
        matches!(damage, Damage::BadMeta { page: 0, .. })
    });
    finds(
        "second meta bad",
        |db| db[PAGE + 30] ^= 1,
        |damage| matches!(damage, Damage::BadMeta { page: 1, .. }),
    );
    let both = |db: &mut Vec<u8>| {
        db[16] ^= 1;
        db[PAGE + 16] ^= 1;
    };
    finds("both metas bad", both, |damage| *damage == Damage::NoMeta);
    finds(
        "a page too much",
        |db| db.resize(db.len() + PAGE, 7),
        |d| matches!(d, Damage::ExtraBytes { .. }),
    );
    finds(
        "a page missing",
        |db| db.truncate(db.len() - PAGE),
        |d| matches!(d, Damage::Truncated { .. }),
    );

    let snapshot = with_trailer(database());
    let mut wrong = snapshot.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let verification = look(wrong);
    assert_eq!(verification.verdict, Verdict::Damaged);
    assert!(matches!(
        verification.findings[0].damage,
        Damage::Checksum { .. }
    ));
    for cut in [
        1,
        31,
        33,
        500,
        PAGE,
        PAGE + 32,
        snapshot.len() / 2,
        snapshot.len() - 10,
        snapshot.len(),
    ] {
        let verification = look(snapshot[..snapshot.len() - cut].to_vec());
        assert_eq!(verification.verdict, Verdict::Damaged, "cut by {cut}");
        read_all(snapshot[..snapshot.len() - cut].to_vec());
    }
    // Exactly the trailer is missing: a sound database, but nothing says that it is what etcd sent.
    assert_eq!(
        look(snapshot[..snapshot.len() - 32].to_vec()).verdict,
        Verdict::NoTrailer
    );
}

#[test]
fn a_database_file_with_one_torn_meta_is_as_good_as_any() {
    let mut database = database();
    database[16 + 50] ^= 1;
    let verification = look(database);
    assert_eq!(verification.verdict, Verdict::NoTrailer);
    assert!(!verification.findings[0].fatal);
}

#[test]
fn records_that_cannot_be_are_named() {
    let model = Model::new(&History {
        changes: 50,
        keys: 10,
        value_len: 50,
        compacted_percent: 0,
        seed: 5,
    });
    for (bucket, key, value) in [
        ("key", b"no revision".to_vec(), b"".to_vec()),
        (
            "key",
            model.stored[3].stored_key(),
            b"\x0a\x7fshort".to_vec(),
        ),
        (
            "key",
            model.stored[3].stored_key(),
            model.stored[40].value.clone(),
        ),
        ("lease", 9i64.to_be_bytes().to_vec(), vec![8, 8]),
        ("members", b"xyz".to_vec(), b"{}".to_vec()),
        ("members_removed", b"xyz".to_vec(), b"removed".to_vec()),
        ("alarm", vec![0xff], Vec::new()),
        ("meta", b"term".to_vec(), b"1".to_vec()),
        ("meta", b"confState".to_vec(), b"{".to_vec()),
        ("cluster", b"clusterVersion".to_vec(), b"new".to_vec()),
        ("auth", b"authEnabled".to_vec(), b"yes".to_vec()),
        ("authUsers", b"root".to_vec(), b"\x0a\x03abc".to_vec()),
    ] {
        let mut buckets = model.buckets();
        let records = &mut buckets
            .iter_mut()
            .find(|(name, _)| name == bucket)
            .unwrap()
            .1;
        records.retain(|(known, _)| *known != key);
        records.push((key.clone(), value));
        let snapshot = with_trailer(build(&buckets, &Shape::default()));
        let verification = look(snapshot.clone());
        assert_eq!(
            verification.verdict,
            Verdict::Damaged,
            "{bucket} {}",
            key.escape_ascii()
        );
        assert!(
            matches!(&verification.findings[0].damage, Damage::Record { bucket: found, .. } if found == bucket),
            "{bucket} {}: {:?}",
            key.escape_ascii(),
            verification.findings
        );
        read_all(snapshot);
    }
}

#[test]
fn a_list_of_free_pages_that_lies_is_named() {
    let shape = Shape {
        freelist: true,
        free_percent: 30,
        ..Shape::default()
    };
    let model = Model::new(&History {
        changes: 500,
        keys: 30,
        value_len: 300,
        compacted_percent: 0,
        seed: 8,
    });
    let database = build(&model.buckets(), &shape);
    let list = usize::try_from(Meta::parse(&database).unwrap().freelist.unwrap()).unwrap();
    assert_eq!(look_inside(database.clone()).verdict, Verdict::Reliable);
    for (name, at, bytes) in [
        ("a used page is listed", 16, 0u64.to_le_bytes().to_vec()),
        (
            "a page is listed twice",
            24,
            database[list * PAGE + 16..][..8].to_vec(),
        ),
        (
            "one that is not there is listed",
            16,
            u64::MAX.to_le_bytes().to_vec(),
        ),
        ("one is left out", 10, vec![database[list * PAGE + 10] - 1]),
        ("too many are claimed", 10, vec![0xfe, 0xff]),
    ] {
        let mut damaged = database.clone();
        damaged[list * PAGE + at..][..bytes.len()].copy_from_slice(&bytes);
        let verification = look_inside(damaged.clone());
        assert_eq!(verification.verdict, Verdict::Damaged, "{name}");
        let found = verification
            .findings
            .iter()
            .all(|f| matches!(f.damage, Damage::Freelist { .. }));
        assert!(found, "{name}: {:?}", verification.findings);
        read_all(with_trailer(damaged));
    }
}

#[test]
fn not_a_database_is_said_to_be_none() {
    for bytes in [
        Vec::new(),
        vec![0; 31],
        vec![0; 32],
        vec![0; 100_000],
        b"{}".repeat(40_000),
    ] {
        let verification = look(bytes.clone());
        assert_eq!(verification.verdict, Verdict::Damaged);
        assert_eq!(verification.findings[0].damage, Damage::NoMeta);
        read_all(bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random bytes written over a sound database, with a trailer that fits, so that all of it is looked into.
    #[test]
    fn overwritten_bytes_never_break_a_reader(
        overwritten in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..9)), 1..6),
        fix_metas in any::<bool>(),
    ) {
        let mut database = database();
        for (page, at, bytes) in overwritten {
            // Mostly near the beginning of a page, where its header and table are.
            let start = page.index(database.len() / PAGE) * PAGE + at.index(at.index(PAGE - 16).max(1));
            database[start..start + bytes.len()].copy_from_slice(&bytes);
        }
        if fix_metas {
            let meta = Meta::parse(&self::database()).unwrap();
            database[..80].copy_from_slice(&meta.encode());
        }
        read_all(with_trailer(database));
    }

    #[test]
    fn shuffled_and_repeated_pages_never_break_a_reader(order in prop::collection::vec(any::<prop::sample::Index>(), 1..60)) {
        let database = database();
        let mut mixed = database[..2 * PAGE].to_vec();
        for index in order {
            mixed.extend_from_slice(page(&database, index.index(database.len() / PAGE)));
        }
        mixed.resize(database.len(), 0);
        read_all(with_trailer(mixed));
    }
}

/// Counts what is read of a file.
struct Counting {
    inner: MemorySource,
    read: std::sync::atomic::AtomicUsize,
}

impl Source for Counting {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        self.read
            .fetch_add(buf.len(), std::sync::atomic::Ordering::Relaxed);
        self.inner.read_exact_at(buf, offset)
    }
}

#[test]
fn a_cycle_of_long_runs_ends_when_they_are_longer_than_the_database() {
    const PAGES: usize = 1000;
    let mut file = vec![0; PAGES * PAGE];
    for txid in [8u64, 7] {
        let meta = Meta {
            page_size: 4096,
            flags: 0,
            root: 3,
            sequence: 0,
            freelist: None,
            high_water: PAGES as u64,
            txid,
        };
        let at = usize::try_from(txid % 2).unwrap() * PAGE;
        file[at..at + 80].copy_from_slice(&meta.encode());
    }
    let branch = Header {
        id: 3,
        flags: etcd_datadir::page::BRANCH,
        count: 1,
        overflow: 900,
    };
    file[3 * PAGE..3 * PAGE + 16].copy_from_slice(&branch.encode());
    // Its only child is itself.
    file[3 * PAGE + 16..3 * PAGE + 20].copy_from_slice(&16u32.to_le_bytes());
    file[3 * PAGE + 24] = 3;
    let source = Counting {
        inner: MemorySource::new("cycle", file),
        read: 0.into(),
    };
    let found = Database::open(&source).unwrap().buckets();
    assert!(
        matches!(
            found,
            Err(Error::Damaged {
                damage: Damage::TooDeep { .. },
                ..
            })
        ),
        "{found:?}"
    );
    let read = source.read.into_inner();
    assert!(read < 3 * PAGES * PAGE, "{read} bytes");
}
