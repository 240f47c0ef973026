//! Files as they lie in people's backup folders.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers as well"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use etcd_operations::ids::{ClusterId, MemberId};
use etcd_operations::report::SnapshotReport;
use etcd_operations::stored::description::Description;

fn sample(name: &str) -> PathBuf {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/offline.in");
    samples.join(name)
}

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-etcd"))
        .args(args)
        .current_dir(folder)
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// A folder with a snapshot and what describes it, as `snapshot save` leaves both.
fn backup() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(sample("small.snapshot"), folder.path().join("a.db")).unwrap();
    describe(folder.path(), 3_049_407_158);
    folder
}

fn describe(folder: &Path, hash: u32) {
    let path = folder.join("a.db");
    let report = SnapshotReport {
        has_objects: Some(true),
        path: path.clone(),
        size_bytes: 20_512,
        sha256: String::new(),
        cluster_id: ClusterId(7),
        member_id: MemberId(8),
        revision: 11,
        raft_term: 2,
        etcd_version: "3.6.16".into(),
        storage_version: None,
        hash,
        total_keys: 5,
        taken_at: "2026-11-20T21:00:00Z".parse().unwrap(),
        took_ms: 3,
        packed: None,
    };
    let described = Description::new(&report, &path).text().unwrap();
    fs::write(Description::path_of(&path), described).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_folder_of_good_snapshots_and_what_describes_them_is_good() {
    let folder = backup();
    let output = run(folder.path(), &["snapshot", "verify", "a.db", "a.db.json"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("a.db.json: skipped, it describes a.db, which is compared with it"),
        "{said}"
    );
    assert!(!said.contains("damaged"), "{said}");
    // Standard output has the snapshots alone.
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains(".json"),
        "{said}"
    );
}

#[test]
fn a_snapshot_that_is_not_the_one_described_is_told() {
    let folder = backup();
    describe(folder.path(), 1);
    let output = run(folder.path(), &["snapshot", "verify", "a.db"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("not the one that a.db.json describes"),
        "{said}"
    );
    // One that is described and gone is no good end either.
    fs::rename(folder.path().join("a.db"), folder.path().join("b.db")).unwrap();
    let output = run(folder.path(), &["snapshot", "verify", "b.db", "a.db.json"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("it describes a.db, which does not exist"),
        "{said}"
    );
}

#[test]
fn what_is_no_snapshot_is_called_what_it_is() {
    let folder = backup();
    fs::write(folder.path().join("notes.txt"), "to do: test the restore\n").unwrap();
    fs::write(folder.path().join("a.db.part"), "half").unwrap();
    let files = ["a.db", "a.db.json", "a.db.part", "notes.txt"];
    let output = run(
        folder.path(),
        &[&["snapshot", "verify"], &files[..]].concat(),
    );
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("notes.txt: not an etcd database: it is a text file"),
        "{said}"
    );
    assert!(said.contains("a.db.part: skipped"), "{said}");
    for (args, code, what) in [
        (
            &["snapshot", "verify", "notes.txt"][..],
            1,
            "none of the files is an etcd snapshot",
        ),
        (
            &["snapshot", "verify", "a.db.json"],
            1,
            "there is no snapshot among the files",
        ),
        (
            &["snapshot", "inspect", "notes.txt"],
            1,
            "notes.txt is not an etcd snapshot: it is a text file",
        ),
        (
            &["snapshot", "usage", "."],
            1,
            ". is not an etcd snapshot: it is a folder",
        ),
        (
            &["snapshot", "restore", "notes.txt", "--data-dir", "d"],
            1,
            "it is a text file",
        ),
    ] {
        let output = run(folder.path(), args);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(what), "{args:?}: {said}");
        assert!(!said.contains("meta page"), "{args:?}: {said}");
    }
}

#[test]
fn a_packed_snapshot_is_taken_by_every_command_that_takes_one() {
    let folder = tempfile::tempdir().unwrap();
    let packed = gzip(&fs::read(sample("small.snapshot")).unwrap());
    fs::write(folder.path().join("a.gz"), packed).unwrap();
    for args in [
        &["snapshot", "verify", "a.gz"][..],
        &["snapshot", "inspect", "a.gz"],
        &["snapshot", "usage", "a.gz"],
        &["snapshot", "restore", "a.gz", "--data-dir", "restored"],
        &["datadir", "inspect", "restored"],
        &["datadir", "inspect", "restored/member"],
        &["datadir", "inspect", "restored/member/snap/db"],
    ] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output));
    }
    let output = run(folder.path(), &["snapshot", "verify", "-o", "json", "a.gz"]);
    let said = text(&output);
    assert!(said.contains("\"form\": \"gzip\""), "{said}");
}
