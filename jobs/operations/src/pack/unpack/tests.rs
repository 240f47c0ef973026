use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use etcd_datadir::progress::ignore;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use super::*;
use crate::disk::Room;
use crate::report::{BundledFile, Contents};
use crate::stored::description::tests::snapshot as report;
use crate::transfer::hex;

/// What a zstd frame begins with.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

const DATABASE: &[u8] = b"not looked at here";

fn header(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    // Not by way of set_path, which refuses what is tried here.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o600);
    header.set_cksum();
    header
}

fn add(archive: &mut Vec<u8>, header: &Header, bytes: &[u8]) {
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
}

fn file(archive: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let header = header(name, EntryType::Regular, bytes.len() as u64);
    add(archive, &header, bytes);
}

fn description(files: &[(&str, &[u8])]) -> Vec<u8> {
    let described = |(path, bytes): &(&str, &[u8])| BundledFile {
        path: (*path).to_owned(),
        size_bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
    };
    let mut description = Description::new(&report("2026-11-20T21:00:00Z"), Path::new("b"));
    description.contents = Some(Contents {
        files: files.iter().map(described).collect(),
        left_out: Vec::new(),
    });
    description.text().unwrap()
}

const FILES: [(&str, &[u8]); 3] = [
    ("snapshot.db", DATABASE),
    ("kubeadm-config.yaml", b"kind: ClusterConfiguration"),
    ("masters/cp-1/etc/kubernetes/pki/ca.crt", b"ca"),
];

/// An archive of these files, and after them what is to be tried.
fn archive_of(files: &[(&str, &[u8])], then: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, bytes) in files {
        file(&mut archive, &format!("b/{path}"), bytes);
    }
    then(&mut archive);
    archive
}

fn end(archive: &mut Vec<u8>) {
    archive.resize(archive.len() + 2 * BLOCK, 0);
}

fn good() -> Vec<u8> {
    archive_of(&FILES, |archive| {
        file(archive, "b/description.json", &description(&FILES));
        end(archive);
    })
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn spool() -> Spool {
    Spool::new(std::env::temp_dir()).with_room(|_| Ok(room(u64::MAX)))
}

/// Opens bytes as a stream.
fn opened(bytes: &[u8]) -> Result<Opened, UnpackError> {
    stream(bytes, None, "x", &spool(), Forms::Own, &mut ignore)
}

fn bytes_of(opened: &Opened) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(opened.source.size()).unwrap()];
    opened.source.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Why bytes are taken for damaged.
fn damage(bytes: &[u8]) -> String {
    match opened(bytes) {
        Err(UnpackError::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

fn sum(bytes: &[u8]) -> Sum {
    Sum {
        size_bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
    }
}

#[test]
fn plain_and_packed_and_bundled_are_known_by_their_content() {
    let dir = tempfile::tempdir().unwrap();
    let two_frames = [packed(&DATABASE[..7]), packed(&DATABASE[7..])].concat();
    let good = good();
    for (bytes, form) in [
        (DATABASE.to_vec(), "plain"),
        (packed(DATABASE), "zstd"),
        (two_frames, "zstd"),
        (packed(&good), "bundle"),
        (
            [packed(&good[..900]), packed(&good[900..])].concat(),
            "bundle",
        ),
        (good, "bundle"),
    ] {
        let path = dir.path().join("misleading.tar.zst");
        std::fs::write(&path, &bytes).unwrap();
        let from_file = open(&path, &spool(), &mut ignore).unwrap();
        let streamed = opened(&bytes).unwrap();
        for (opened, in_place) in [(from_file, form == "plain"), (streamed, false)] {
            let found = match &opened.found {
                Found::Plain => "plain",
                Found::Zstd => "zstd",
                Found::Bundle(_) => "bundle",
                Found::Foreign(_) => unreachable!(),
            };
            assert_eq!(found, form);
            assert_eq!(bytes_of(&opened), DATABASE);
            let read = (!in_place).then(|| Unpacked {
                input: sum(&bytes),
                snapshot: sum(DATABASE),
            });
            assert_eq!(opened.unpacked, read);
            if !in_place {
                let found = opened.source.file().metadata().unwrap();
                assert_eq!((found.nlink(), found.mode() & 0o777), (0, 0o600));
            }
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_was_begun_is_a_stream_of_its_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, [b"gone", DATABASE].concat()).unwrap();
    for (skip, in_place) in [(0, true), (4, false)] {
        let mut file = File::open(&path).unwrap();
        file.seek(io::SeekFrom::Start(skip)).unwrap();
        let opened = open_as(file, "x", &spool(), Forms::Own, &mut ignore).unwrap();
        assert_eq!(opened.unpacked.is_none(), in_place);
        assert!(bytes_of(&opened).ends_with(DATABASE));
        assert_eq!(opened.source.size(), DATABASE.len() as u64 + 4 - skip);
    }
}

#[test]
fn only_regular_files_under_plain_paths_are_taken() {
    let snapshot = &FILES[..1];
    let with = |name: &str, kind| {
        archive_of(snapshot, |archive| {
            add(archive, &header(name, kind, 0), b"");
        })
    };
    for (name, kind, what) in [
        ("/b/x", EntryType::Regular, "a slash at the beginning"),
        ("b/../../etc/cron.d/x", EntryType::Regular, "`..`"),
        ("b/./x", EntryType::Regular, "`.`"),
        ("b//x", EntryType::Regular, "an empty part"),
        ("b/x/", EntryType::Regular, "an empty part"),
        ("b/\u{1b}[2J", EntryType::Regular, "a control character"),
        ("x", EntryType::Regular, "not in a folder"),
        ("b/x", EntryType::Symlink, "a symbolic link"),
        ("b/x", EntryType::Link, "a hard link"),
        ("b/x", EntryType::Char, "a device"),
        ("b/x", EntryType::Block, "a device"),
        ("b/x", EntryType::Fifo, "a named pipe"),
        ("b/x", EntryType::Directory, "a folder"),
        ("b/x", EntryType::GNUSparse, "a sparse file"),
        ("././@LongLink", EntryType::GNULongName, "a long name"),
        ("././@LongLink", EntryType::GNULongLink, "a long name"),
        ("b/x", EntryType::XHeader, "an extended header"),
        ("b/x", EntryType::XGlobalHeader, "an extended header"),
        ("b/x", EntryType::Continuous, "of an unknown kind"),
        ("c/x", EntryType::Regular, "two top folders"),
        ("b/snapshot.db", EntryType::Regular, "twice"),
    ] {
        let found = damage(&packed(&with(name, kind)));
        assert!(found.contains(what), "{name}: {found}");
    }
    let mut gnu = Header::new_gnu();
    gnu.set_path("b/x").unwrap();
    gnu.set_size(0);
    gnu.set_cksum();
    let found = damage(&archive_of(snapshot, |archive| add(archive, &gnu, b"")));
    assert!(found.contains("not written as ustar"), "{found}");
    // A backslash is a character as any other.
    let odd = [FILES[0], ("a\\b", b"1".as_slice())];
    let archive = archive_of(&odd, |archive| {
        file(archive, "b/description.json", &description(&odd));
        end(archive);
    });
    assert!(opened(&archive).is_ok());
}

#[test]
fn a_bundle_is_what_its_description_says_and_nothing_else() {
    let described = description(&FILES);
    let with = |files: &[(&str, &[u8])], text: &[u8]| {
        damage(&archive_of(files, |archive| {
            file(archive, "b/description.json", text);
            end(archive);
        }))
    };
    let mut other = FILES;
    other[2].1 = b"cb";
    let mut longer = FILES;
    longer[2].1 = b"ca ";
    let plain = Description::new(&report("2026-11-20T21:00:00Z"), Path::new("b"));
    for (found, what) in [
        (with(&other, &described), "its sha256 is another one"),
        (with(&longer, &described), "has 3 bytes instead of 2"),
        (with(&FILES[..2], &described), "is missing"),
        (with(&FILES, &description(&FILES[..2])), "does not say so"),
        (with(&FILES, &description(&[FILES[0], FILES[0]])), "twice"),
        (with(&FILES, b"{}"), "is not understood"),
        (with(&FILES, &plain.text().unwrap()), "does not say what"),
        (with(&FILES[1..], &described), "instead of snapshot.db"),
        (with(&[], &described), "instead of snapshot.db"),
    ] {
        assert!(found.contains(what), "{what}: {found}");
    }
}

#[test]
fn what_ends_too_early_or_too_late_is_refused() {
    let good = good();
    let ended = good.len() - 2 * BLOCK;
    let without = archive_of(&FILES, end);
    let after = archive_of(&FILES, |archive| {
        file(archive, "b/description.json", &description(&FILES));
        file(archive, "b/x", b"");
        end(archive);
    });
    let mut half = good.clone();
    half[ended + BLOCK] = 1;
    let long = [good.as_slice(), &[0; (1 << 20) + 1]].concat();
    let mut filling = good.clone();
    filling[BLOCK + DATABASE.len()] = 1;
    for (bytes, what) in [
        (&good[..ended], "cut"),
        (&good[..ended + BLOCK], "cut"),
        (&good[..700], "cut"),
        (&without, "description.json is missing"),
        (&after, "something follows description.json"),
        (&half, "its end is followed by something"),
        (&[good.as_slice(), b"x"].concat(), "followed by something"),
        (&long, "its end is followed by something"),
        (&filling, "not filled up with zeros"),
    ] {
        let found = damage(&packed(bytes));
        assert!(found.contains(what), "{what}: {found}");
    }
    // As GNU tar ends its archives.
    let record = [good.as_slice(), &[0; 9 * 1024]].concat();
    assert!(opened(&packed(&record)).is_ok());
    for more in [b"garbage".as_slice(), &[0; 100]] {
        let found = damage(&[packed(&good).as_slice(), more].concat());
        assert!(found.contains("zstd cannot read it"), "{found}");
    }
}

#[test]
fn nothing_in_a_bundle_is_larger_than_it_may_be() {
    for (path, size) in [("description.json", 4 << 20), ("x", 16 << 20)] {
        let too_large = header(&format!("b/{path}"), EntryType::Regular, size + 1);
        let found = damage(&archive_of(&FILES[..1], |a| add(a, &too_large, b"")));
        assert!(found.contains("more than"), "{found}");
    }
    let mut many = archive_of(&FILES[..1], |_| {});
    for number in 0..10_000 {
        file(&mut many, &format!("b/{number}"), b"");
    }
    assert!(damage(&packed(&many)).contains("more than 10000 entries"));
    let mut together = archive_of(&FILES[..1], |_| {});
    for number in 0..17 {
        file(&mut together, &format!("b/{number}"), &vec![0; 16 << 20]);
    }
    let found = damage(&packed(&together));
    assert!(found.contains("more than 268435456 bytes"), "{found}");
}

/// Of a disk so small that its 15 percent are less than what stays free on any.
fn room(free: u64) -> Room {
    Room {
        free,
        size: 1 << 30,
    }
}

#[test]
fn a_bomb_does_not_make_kubelet_evict_pods() {
    let looks = std::sync::Arc::new(AtomicU64::new(0));
    // A large disk that has so little free that an eighth of it is less than the second look finds taken.
    let spool = |of: fn(Spool) -> Spool| {
        let looks = std::sync::Arc::clone(&looks);
        looks.store(0, Ordering::Relaxed);
        of(Spool::new(std::env::temp_dir())).with_room(move |_| {
            looks.fetch_add(1, Ordering::Relaxed);
            Ok(Room {
                free: 800 << 20,
                size: 100 << 30,
            })
        })
    };
    let bomb = packed(&vec![0; 200 << 20]);
    let on_node = spool(|spool| spool.with_always(0));
    let failed = stream(&bomb[..], None, "x", &on_node, Forms::Own, &mut ignore);
    let Err(UnpackError::Failed(failure)) = failed else {
        panic!("it was unpacked")
    };
    assert_eq!(failure.kind, FailureKind::NoSpace);
    let kept = (100u64 << 30) / 100 * 15;
    let words = format!("of which {kept} stay free");
    assert!(failure.message.contains(&words), "{failure}");
    assert_eq!(
        looks.load(Ordering::Relaxed),
        3,
        "at its begin, 64 and 128 MiB"
    );
    // One GiB is always taken, and everything where no kubelet evicts pods.
    for of in [
        |spool| spool,
        |spool: Spool| spool.with_always(0).without_kubelet(),
    ] {
        let spool = spool(of);
        let unpacked = stream(&bomb[..], None, "x", &spool, Forms::Own, &mut ignore);
        assert!(!matches!(unpacked, Err(UnpackError::Failed(_))));
    }
}

#[test]
fn a_snapshot_of_usual_size_is_unpacked_on_a_disk_that_is_nearly_full() {
    const GIB: u64 = 1 << 30;
    let fits = |size: u64, free: u64, bytes: u64| {
        let spool = Spool::new("/x").with_room(move |_| Ok(Room { free, size }));
        // What is announced counts as what is written.
        let written = Spool::new("/x").with_room(move |_| {
            Ok(Room {
                free: free - bytes,
                size,
            })
        });
        let announced = spool.room_for(0, bytes, "x").is_ok();
        assert_eq!(announced, written.room_for(bytes, 0, "x").is_ok());
        announced
    };
    // 15 percent stay, or it is an eighth of what is free.
    assert!(fits(100 * GIB, 20 * GIB, 5 * GIB) && !fits(100 * GIB, 20 * GIB, 5 * GIB + 1));
    assert!(fits(100 * GIB, 16 * GIB, 2 * GIB) && !fits(100 * GIB, 16 * GIB, 2 * GIB + 1));
    assert!(fits(100 * GIB, 5 * GIB, GIB) && !fits(100 * GIB, 5 * GIB, GIB + 1));
    // 512 MiB stay free everywhere.
    assert!(fits(10 * GIB, GIB, GIB / 2) && !fits(10 * GIB, GIB, GIB / 2 + 1));
}

#[test]
fn a_disk_is_never_filled() {
    let failed = |bytes: &[u8], spool: &Spool| match stream(
        bytes,
        None,
        "x",
        spool,
        Forms::Own,
        &mut ignore,
    ) {
        Err(UnpackError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    };
    let keep: u64 = 512 << 20;
    // What an entry says of itself is believed as far as this.
    let huge = header("b/snapshot.db", EntryType::Regular, 5 << 30);
    let spool = Spool::new(std::env::temp_dir())
        .or_else("set TMPDIR")
        .with_room(move |_| Ok(room(keep + (5 << 30) - 1)));
    let failure = failed(&archive_of(&[], |archive| add(archive, &huge, b"")), &spool);
    assert_eq!(failure.kind, FailureKind::NoSpace);
    assert_eq!(
        failure.hint.map(|hint| hint.written()).as_deref(),
        Some("free 1 bytes there, or set TMPDIR")
    );
    // A bomb says nothing: the disk is looked at again on the way.
    let looks = AtomicU64::new(0);
    let spool = Spool::new(std::env::temp_dir()).with_room(move |_| {
        let before = looks.fetch_add(1, Ordering::Relaxed);
        Ok(room(if before == 0 { keep } else { keep - 1 }))
    });
    let bomb = packed(&vec![0; 65 << 20]);
    assert!(bomb.len() < 10_000);
    assert_eq!(failed(&bomb, &spool).kind, FailureKind::NoSpace);
    // Nor is anything begun on a full one.
    assert_eq!(failed(b"x", &spool).kind, FailureKind::NoSpace);
}

#[test]
fn nothing_more_memory_than_zstds_own_limit_is_given() {
    // A frame whose window is 256 MiB.
    let found = damage(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00]);
    assert!(found.contains("too much memory"), "{found}");
}

#[test]
fn trouble_is_no_damage() {
    let kind = |result| match result {
        Err(UnpackError::Failed(failure)) => failure.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(opened(b"")), FailureKind::Missing);
    let nowhere = Spool::new(PathBuf::from("/nonexistent"));
    let packed = packed(DATABASE);
    let result = stream(&packed[..], None, "x", &nowhere, Forms::Own, &mut ignore);
    assert_eq!(kind(result), FailureKind::Missing);
    let result = stream(&packed[..], None, "x", &spool(), Forms::Own, &mut |_| {
        ControlFlow::Break(())
    });
    assert_eq!(kind(result), FailureKind::Interrupted);
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    let broken = packed[..9].chain(Broken);
    let result = stream(broken, None, "x", &spool(), Forms::Own, &mut ignore);
    assert_eq!(kind(result), FailureKind::Other);
}

proptest! {
    #[test]
    fn any_bytes_are_opened_or_refused(
        begin in 0usize..3,
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let good = good();
        let bytes = match begin {
            0 => bytes,
            1 => [&ZSTD[..], &bytes].concat(),
            _ => packed(&[&good[..300], &bytes].concat()),
        };
        let _ = opened(&bytes);
    }

    #[test]
    fn a_changed_byte_of_a_packed_bundle_is_noticed_or_changes_nothing(
        at: prop::sample::Index,
        flip in 1u8..,
    ) {
        let packed = packed(&good());
        let mut changed = packed.clone();
        let at = at.index(changed.len());
        changed[at] ^= flip;
        let before = opened(&packed).unwrap();
        // Without the magic number it is no packed file any more; what it is then has no valid page.
        match opened(&changed) {
            Ok(found) if at >= ZSTD.len() => {
                prop_assert_eq!(bytes_of(&found), bytes_of(&before));
                let (Found::Bundle(found), Found::Bundle(before)) = (found.found, before.found) else {
                    panic!("not a bundle any more");
                };
                prop_assert_eq!(found, before);
            }
            Ok(found) => prop_assert!(matches!(found.found, Found::Plain)),
            Err(error) => prop_assert!(matches!(error, UnpackError::Damaged { .. }), "{}", error),
        }
    }

    #[test]
    fn a_changed_byte_of_an_unpacked_bundle_never_changes_a_file_in_it(
        at: prop::sample::Index,
        flip in 1u8..,
    ) {
        let mut changed = good();
        let at = at.index(changed.len());
        changed[at] ^= flip;
        match opened(&changed).map(|opened| (bytes_of(&opened), opened.found)) {
            Ok((bytes, Found::Bundle(_))) => prop_assert_eq!(bytes, DATABASE),
            Ok((bytes, Found::Plain)) => prop_assert_eq!(bytes, changed),
            Ok((_, other)) => panic!("{other:?}"),
            Err(error) => prop_assert!(matches!(error, UnpackError::Damaged { .. }), "{}", error),
        }
    }

    #[test]
    fn a_cut_bundle_is_noticed(at: prop::sample::Index, pack: bool) {
        let whole = if pack { packed(&good()) } else { good() };
        let known_from = if pack { ZSTD.len() } else { 262 };
        let at = known_from + at.index(whole.len() - known_from);
        let found = damage(&whole[..at]);
        prop_assert!(found.contains("cut"), "{} of {}: {}", at, whole.len(), found);
    }
}

#[test]
fn what_is_packed_is_unpacked() {
    use crate::pack::Level;
    use crate::pack::segment::{Attributes, Segment};
    let level = Level::default();
    let mut entry = Segment::begin(Vec::new(), "b", level)
        .unwrap()
        .file("snapshot.db", DATABASE.len() as u64, Attributes::now())
        .unwrap();
    entry.write(DATABASE).unwrap();
    let (out, mut contents) = entry.end().unwrap().finish().unwrap();
    let mut segment = Segment::begin(out, "b", level).unwrap();
    for (path, bytes) in &FILES[1..] {
        segment = segment.small(path, bytes, Attributes::now()).unwrap();
    }
    let (out, more) = segment.finish().unwrap();
    contents.append(more);
    let description = Description::new(&report("2026-11-20T21:00:00Z"), Path::new("snapshot.db"))
        .with_contents(Some(contents.clone()));
    let last = Segment::begin(out, "b", level).unwrap();
    let bundle = last.finish_bundle(&description.text().unwrap()).unwrap();
    let opened = opened(&bundle).unwrap();
    assert_eq!(bytes_of(&opened), DATABASE);
    let Found::Bundle(found) = opened.found else {
        panic!("not a bundle");
    };
    assert_eq!(*found, description);
}
