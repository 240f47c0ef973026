//! Snapshots that come through a pipe or a redirection.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cmd/offline.in")
        .join(name)
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd"));
    command
        .arg("snapshot")
        .args(args)
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn piped(args: &[&str], bytes: &[u8]) -> Output {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // It may have ended before it has read all.
    stdin.write_all(bytes).ok();
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn a_pipe_is_read_whether_packed_or_not() {
    let read = |name: &'static str| (name, fs::read(sample(name)).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&read("small.snapshot").1).unwrap();
    for (name, bytes) in [
        read("small.snapshot"),
        read("small.db.zst"),
        read("small.tar.zst"),
        ("small.gz", gzip.finish().unwrap()),
    ] {
        for action in [
            &["verify", "-"][..],
            &["inspect", "-"],
            &["usage", "-"],
            &["verify", "-o", "name", "-"],
        ] {
            let output = piped(action, &bytes);
            let said = text(&output);
            assert!(output.status.success(), "{name} {action:?}: {said}");
            assert!(said.contains("standard input"), "{said}");
        }
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("restored");
        let data = data.to_str().unwrap();
        let output = piped(&["restore", "-", "--data-dir", data], &bytes);
        assert!(output.status.success(), "{}", text(&output));
        assert!(Path::new(data).join("member/snap/db").is_file());
    }
}

#[test]
fn what_comes_cut_or_not_at_all_is_told_apart() {
    let bytes = fs::read(sample("small.tar.zst")).unwrap();
    for (bytes, code, what) in [
        (&bytes[..bytes.len() - 1], 4, "it was cut"),
        (&[], 1, "standard input is empty"),
    ] {
        for action in ["verify", "inspect", "usage"] {
            let output = piped(&[action, "-"], bytes);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(what), "{said}");
        }
    }
}

#[test]
fn a_database_in_use_is_not_restored_from_either_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    fs::copy(sample("raw.bolt"), &path).unwrap();
    let held = File::open(&path).unwrap();
    held.lock().unwrap();
    let data = dir.path().join("restored");
    let data = data.to_str().unwrap();
    let given = path.to_str().unwrap();
    for file in [given, "-"] {
        let args = [
            "restore",
            file,
            "--data-dir",
            data,
            "--accept-unproven-data",
        ];
        let stdin = File::open(&path).unwrap();
        let output = command(&args).stdin(stdin).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("in use by a running etcd"), "{said}");
    }
}
