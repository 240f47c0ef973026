use std::io::Write;
use std::process::{Command, Stdio};

use etcd_datadir::progress::ignore;
use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::*;
use crate::failure::{Failure, FailureKind};
use crate::pack::unpack::{Compression, ForeignPack};

/// What begins as a database does, and is none. What it is is for others to say.
fn database(seed: u8) -> Vec<u8> {
    let mut bytes = vec![seed; 70_000];
    bytes[..16].fill(0);
    bytes[16..20].copy_from_slice(&[0xed, 0xda, 0x0c, 0xed]);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ::tar::Builder::new(Vec::new());
    let mut folder = ::tar::Header::new_gnu();
    folder.set_entry_type(::tar::EntryType::Directory);
    folder.set_size(0);
    archive
        .append_data(&mut folder, "backup/", &[][..])
        .unwrap();
    for (name, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn zip(files: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in files {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

const DEFLATED: zip::CompressionMethod = zip::CompressionMethod::Deflated;

fn of_free(free: u64) -> crate::disk::Room {
    crate::disk::Room { free, size: free }
}

fn spool() -> Spool {
    Spool::new(std::env::temp_dir()).with_room(|_| Ok(of_free(u64::MAX)))
}

/// Opens bytes as a file.
fn opened(bytes: &[u8]) -> Result<Opened, UnpackError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    open(file.path(), &spool(), &mut ignore)
}

/// Opens bytes as what is piped in.
fn piped(bytes: &[u8]) -> Result<Opened, UnpackError> {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || drop(writer.write_all(&bytes)));
    let reader = File::from(std::os::fd::OwnedFd::from(reader));
    let opened = open_file(reader, "standard input", &spool(), &mut ignore);
    writing.join().unwrap();
    opened
}

fn bytes_of(opened: &Opened) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(opened.source.size()).unwrap()];
    opened.source.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn is_not(result: Result<Opened, UnpackError>) -> (String, String) {
    match result {
        Err(UnpackError::NotASnapshot { what, hint, .. }) => {
            (what, hint.unwrap_or_default().written())
        }
        other => panic!("{other:?}"),
    }
}

fn damage(result: Result<Opened, UnpackError>) -> String {
    match result {
        Err(UnpackError::Damaged { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_is_read_however_it_is_packed() {
    let database = database(7);
    let files: &[(&str, &[u8])] = &[
        ("backup/ca.crt", b"-----BEGIN CERTIFICATE-----"),
        ("backup/etcd.db", &database),
        ("backup/empty", b""),
    ];
    let alone: &[(&str, &[u8])] = &[("etcd.db", &database)];
    let tar = tar(files);
    use Compression::{Bzip2, Gzip, Lz4, Xz, Zstd};
    let in_tar = Some((Archive::Tar, "backup/etcd.db".to_owned()));
    let in_zip = |name: &str| Some((Archive::Zip, name.to_owned()));
    for (bytes, layers, archive) in [
        (gzip(&database), vec![Gzip], None),
        (bzip2(&database), vec![Bzip2], None),
        (xz(&database), vec![Xz], None),
        (lz4(&database), vec![Lz4], None),
        (gzip(&zstd(&database)), vec![Gzip, Zstd], None),
        (
            [gzip(&database[..9]), gzip(&database[9..])].concat(),
            vec![Gzip],
            None,
        ),
        (
            [bzip2(&database[..9]), bzip2(&database[9..])].concat(),
            vec![Bzip2],
            None,
        ),
        (
            [xz(&database[..9]), xz(&database[9..])].concat(),
            vec![Xz],
            None,
        ),
        (
            [lz4(&database[..9]), lz4(&database[9..])].concat(),
            vec![Lz4],
            None,
        ),
        (tar.clone(), vec![], in_tar.clone()),
        (gzip(&tar), vec![Gzip], in_tar.clone()),
        (bzip2(&tar), vec![Bzip2], in_tar.clone()),
        (xz(&tar), vec![Xz], in_tar.clone()),
        (zstd(&tar), vec![Zstd], in_tar),
        (zip(files, DEFLATED), vec![], in_zip("backup/etcd.db")),
        (
            zip(alone, zip::CompressionMethod::Stored),
            vec![],
            in_zip("etcd.db"),
        ),
        (gzip(&zip(alone, DEFLATED)), vec![Gzip], in_zip("etcd.db")),
    ] {
        for opened in [opened(&bytes).unwrap(), piped(&bytes).unwrap()] {
            let expected = ForeignPack {
                layers: layers.clone(),
                archive: archive.clone(),
            };
            assert!(
                matches!(&opened.found, Found::Foreign(found) if *found == expected),
                "{:?}",
                opened.found
            );
            assert!(bytes_of(&opened) == database, "{expected:?}");
            let unpacked = opened.unpacked.unwrap();
            assert_eq!(unpacked.input.size_bytes, bytes.len() as u64);
            assert_eq!(unpacked.snapshot.size_bytes, database.len() as u64);
        }
    }
}

#[test]
fn what_this_project_packs_is_what_it_was() {
    for (bytes, plain) in [(database(1), true), (zstd(&database(1)), false)] {
        let found = opened(&bytes).unwrap().found;
        assert_eq!(matches!(found, Found::Plain), plain);
        assert_eq!(matches!(found, Found::Zstd), !plain);
    }
    // A bundle that was cut is one all the same, and not an archive of somebody else.
    let cut = tar(&[("b/other", b"x")]);
    assert!(damage(opened(&zstd(&begun_bundle(0o600)))).contains("cut"));
    assert!(damage(opened(&begun_bundle(0o600))).contains("cut"));
    assert!(damage(opened(&zstd(&begun_bundle(0o4755)))).contains("setuid"));
    assert!(is_not(opened(&cut)).0.contains("text"));
}

/// A bundle as this project writes it, without what comes behind the snapshot.
fn begun_bundle(mode: u32) -> Vec<u8> {
    use crate::pack::Level;
    use crate::pack::segment::{Attributes, Segment};
    let attributes = Attributes { mode, modified: 7 };
    let segment = Segment::begin(Vec::new(), "b", Level::default()).unwrap();
    let segment = segment.small("snapshot.db", &database(2), attributes);
    let (packed, _) = segment.unwrap().finish().unwrap();
    zstd::decode_all(&packed[..]).unwrap()
}

#[test]
fn a_snapshot_of_the_name_that_bundles_have_is_read_in_the_archives_of_others() {
    let database = database(4);
    let ustar = |name: &str, owner: &str, uid| {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(database.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(7);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_username(owner).unwrap();
        // Not by way of append_data, which leaves `.` out.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let mut archive = ::tar::Builder::new(Vec::new());
        archive.append(&header, &database[..]).unwrap();
        archive.into_inner().unwrap()
    };
    let gnu = |name: &str| {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(database.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let mut archive = ::tar::Builder::new(Vec::new());
        archive.append(&header, &database[..]).unwrap();
        archive.into_inner().unwrap()
    };
    for archive in [
        gnu("backup/snapshot.db"),
        gnu("./snapshot.db"),
        gnu("/snapshot.db"),
        ustar("./snapshot.db", "", 0),
        ustar("/snapshot.db", "", 0),
        ustar("a/b/snapshot.db", "", 0),
        ustar("backup/snapshot.db", "root", 0),
        ustar("backup/snapshot.db", "", 1000),
    ] {
        for bytes in [archive.clone(), zstd(&archive)] {
            let opened = opened(&bytes).unwrap();
            assert!(matches!(opened.found, Found::Foreign(_)));
            assert!(bytes_of(&opened) == database);
        }
    }
}

#[test]
fn what_others_programs_write_is_read() {
    let database = database(3);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("etcd.db"), &database).unwrap();
    std::fs::create_dir(folder.path().join("backup")).unwrap();
    std::fs::write(folder.path().join("backup/snapshot.db"), &database).unwrap();
    let mut tried = 0;
    for command in [
        "gzip -c etcd.db",
        "bzip2 -c etcd.db",
        "xz -c etcd.db",
        "xz -9 -c etcd.db",
        "lz4 -c etcd.db",
        "lz4 -l -c etcd.db",
        "tar -c etcd.db",
        "tar -cz etcd.db",
        "tar --format=pax -cz etcd.db",
        "tar -cJ etcd.db",
        "tar -c backup/snapshot.db",
        "tar -c -C backup ./snapshot.db",
        "tar --format=ustar -c backup/snapshot.db",
        "tar --format=pax -c backup/snapshot.db",
        "tar --format=pax -c -C backup ./snapshot.db",
        "zip -q - etcd.db",
        "python3 -c \"import zipfile; zipfile.ZipFile('py.zip', 'w', zipfile.ZIP_DEFLATED).write('etcd.db')\"; cat py.zip",
    ] {
        let made = Command::new("sh")
            .args(["-c", command])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        // A host need not have all of them.
        if !made.status.success() {
            continue;
        }
        tried += 1;
        assert!(
            bytes_of(&opened(&made.stdout).unwrap()) == database,
            "{command}"
        );
    }
    assert!(tried > 2, "only {tried} of the programs are here");
}

#[test]
fn an_archive_of_several_databases_says_which() {
    let (one, two) = (database(1), database(2));
    let files: &[(&str, &[u8])] = &[("a/one.db", &one), ("a/two.db", &two), ("a/notes", b"text")];
    let (what, hint) = is_not(opened(&gzip(&tar(files))));
    assert_eq!(
        what,
        "it is a tar archive of 2 databases: \"a/one.db\", \"a/two.db\""
    );
    assert!(hint.starts_with("unpack it (tar -xf)"), "{hint}");
    let (what, hint) = is_not(opened(&zip(files, DEFLATED)));
    assert_eq!(
        what,
        "it is a zip archive of 2 databases: \"a/one.db\", \"a/two.db\""
    );
    assert!(hint.contains("unzip"), "{hint}");
}

#[test]
fn an_archive_without_a_database_says_what_it_has() {
    let gz = gzip(b"x");
    let files: &[(&str, &[u8])] = &[("a", b"text"), ("b.gz", &gz), ("c", &[1, 2, 3])];
    let (what, _) = is_not(opened(&tar(files)));
    assert_eq!(
        what,
        "it is a tar archive of 3 files, none of which begins as a database does: \"a\" (a text file), \"b.gz\" (a gzip file), \"c\""
    );
    let (what, _) = is_not(opened(&zip(&[], DEFLATED)));
    assert_eq!(what, "it is a zip archive without a file in it");
    // The only file is looked at for what it is.
    let (what, _) = is_not(opened(&gzip(&tar(&[("a", b"{}")]))));
    assert_eq!(what, "what is packed in it (gzip, tar) is a JSON file");
    // A damaged database in it may be one all the same.
    let broken = vec![0xa9; 9000];
    assert!(bytes_of(&opened(&tar(&[("a.db", &broken)])).unwrap()) == broken);
}

#[test]
fn what_is_no_database_is_called_what_it_is() {
    let at = |at: usize, magic: &[u8]| {
        let mut bytes = vec![0; 80_000];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    };
    for (bytes, what) in [
        (b"7z\xbc\xaf\x27\x1c rest".to_vec(), "it is a 7z archive"),
        (b"{\"kind\": \"x\"}".to_vec(), "it is a JSON file"),
        (b"\n  kind: List\n".to_vec(), "it is a text file"),
        (
            b"<html>404".to_vec(),
            "it is an HTML page, such as a server's error",
        ),
        (
            "a text whose last character is cut: \u{e9}".as_bytes()[..37].to_vec(),
            "it is a text file",
        ),
        (
            b"age-encryption.org/v1\n\x01\x02".to_vec(),
            "it is encrypted by age",
        ),
        (
            at(1080, b"\x53\xef"),
            "it is an image of an ext4 file system",
        ),
        (at(512, b"LABELONE"), "it is an LVM volume"),
        (
            at(65600, b"_BHRfS_M"),
            "it is an image of a btrfs file system",
        ),
        (
            at(0, b"\x04\0\0\0\0\0\0\x84\x08\x04\x10\0"),
            "it is a file of etcd's write-ahead log",
        ),
        (
            at(0, b"SQLite format 3\0"),
            "it is a SQLite database: K3s without etcd keeps its state in one",
        ),
        (
            gzip(b"#!/bin/sh"),
            "what is packed in it (gzip) is a script",
        ),
        (zstd(b"a: b"), "what is packed in it (zstd) is a text file"),
        (gzip(b""), "what is packed in it (gzip) is an empty file"),
    ] {
        assert_eq!(is_not(opened(&bytes)).0, what);
    }
    assert_eq!(is_not(opened(b"")).0, "it is an empty file");
    let error = Failure::from(opened(b"text").err().unwrap());
    assert_eq!(error.kind, FailureKind::Other);
}

#[test]
fn a_database_with_destroyed_pages_is_left_for_others_to_judge() {
    for bytes in [vec![0; 9000], vec![0xa5; 9000], vec![1, 2, 3]] {
        assert!(matches!(opened(&bytes).unwrap().found, Found::Plain));
    }
}

#[test]
fn what_is_cut_or_changed_is_damaged() {
    let database = database(4);
    let tar = tar(&[("etcd.db", &database)]);
    for packed in [
        gzip(&database),
        bzip2(&database),
        xz(&database),
        gzip(&tar),
        tar[..40_000].to_vec(),
    ] {
        let cut = &packed[..packed.len() - 30];
        assert!(!damage(opened(cut)).is_empty());
    }
    let zip = zip(&[("etcd.db", &database)], zip::CompressionMethod::Stored);
    assert!(damage(opened(&zip[..zip.len() - 30])).contains("zip cannot read it"));
    let mut changed = zip;
    changed[5000] ^= 1;
    assert!(damage(opened(&changed)).contains("zip cannot read it"));
    let mut changed = gzip(&database);
    let last = changed.len() - 6;
    changed[last] ^= 1;
    assert!(damage(opened(&changed)).contains("gzip cannot read it"));
}

#[test]
fn layers_without_end_are_refused() {
    let mut bytes = database(5);
    for _ in 0..4 {
        bytes = gzip(&bytes);
    }
    assert!(damage(opened(&bytes)).contains("more than 3 times"));
}

#[test]
fn a_bomb_ends_at_the_disks_limit() {
    use std::sync::atomic::{AtomicU64, Ordering};
    // 300 MiB of zeros, which no disk here has room for.
    let zeros = vec![0; 1 << 20];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..300 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let left = AtomicU64::new((512 << 20) + (100 << 20));
    let small = Spool::new(std::env::temp_dir())
        .with_room(move |_| Ok(of_free(left.fetch_sub(64 << 20, Ordering::Relaxed))));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bomb).unwrap();
    match open(file.path(), &small, &mut ignore) {
        Err(UnpackError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::NoSpace),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stopping_stops_whatever_is_unpacked() {
    let database = database(6);
    for bytes in [
        gzip(&database),
        xz(&tar(&[("a", &database)])),
        zip(&[("a", &database)], DEFLATED),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let stopped = open(file.path(), &spool(), &mut |_| {
            std::ops::ControlFlow::Break(())
        });
        match stopped {
            Err(UnpackError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Interrupted),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_path_may_lead_to_a_pipe_and_not_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let (to, bytes) = (fifo.clone(), gzip(&database(8)));
    let writing = std::thread::spawn(move || std::fs::write(to, bytes).unwrap());
    assert!(bytes_of(&open(&fifo, &spool(), &mut ignore).unwrap()) == database(8));
    writing.join().unwrap();
    let (what, hint) = is_not(open(folder.path(), &spool(), &mut ignore));
    assert_eq!(what, "it is a folder");
    assert!(hint.contains("*.db"), "{hint}");
    std::fs::create_dir_all(folder.path().join("member/snap")).unwrap();
    std::fs::write(folder.path().join("member/snap/db"), b"x").unwrap();
    let (what, hint) = is_not(open(folder.path(), &spool(), &mut ignore));
    assert_eq!(what, "it is a data directory of etcd");
    assert!(hint.starts_with("{inspect-data-directory "), "{hint}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_are_read_or_refused(at in 0usize..4000, byte: u8, form in 0usize..7) {
        let database = &database(9)[..3000];
        let tar = tar(&[("a", database)]);
        let mut bytes = match form {
            0 => gzip(database),
            1 => bzip2(database),
            2 => xz(database),
            3 => lz4(database),
            4 => tar,
            5 => gzip(&tar),
            _ => zip(&[("a", database), ("b", b"x")], DEFLATED),
        };
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = opened(&bytes);
    }

    #[test]
    fn any_bytes_after_a_magic_number_are_read_or_refused(
        magic in 0usize..6, bytes in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let magics: [&[u8]; 6] = [b"\x1f\x8b\x08", b"BZh91AY&SY", b"\xfd7zXZ\0", b"\x04\x22\x4d\x18", b"PK\x03\x04", b"\x02\x21\x4c\x18"];
        let _ = opened(&[magics[magic], &bytes].concat());
    }
}
