//! What a real etcd cannot be made to do: a server that stops in the middle, lies, or says nothing.

#![expect(
    clippy::unwrap_used,
    reason = "tests: the helpers of tests panic as tests do"
)]

#[path = "../shared/kv.rs"]
mod kv;
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use etcd_operations::failure::FailureKind;
use etcd_operations::operation::{HashKv, Operation, SnapshotSave};
use etcd_operations::pack::{BundleParts, Level, Packing};
use etcd_operations::report::Report;
use etcd_operations::run::run;
use etcd_operations::target::Target;
use server::{Ending, REVISION, Script, blank_database, serve, with_trailer};

fn target(url: &str) -> Target {
    Target {
        node: "cp-1".into(),
        pod: "etcd-cp-1".into(),
        member_name: "cp-1".into(),
        client_urls: vec![url.into()],
        peer_urls: vec![],
        tls: None,
        data_dir: "/nowhere".into(),
        wal_dir: None,
        quota_bytes: None,
        image: None,
    }
}

fn save(folder: &Path, packing: Packing) -> Operation {
    Operation::SnapshotSave(SnapshotSave {
        folder: folder.to_owned(),
        name: "s.db".into(),
        packing,
        numbered: false,
        hold_seconds: 0,
    })
}

/// A snapshot of what the script sends: the failure, and that nothing is left.
async fn failed_save(script: Script) -> (FailureKind, String) {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(script).await;
    let operation = save(dir.path(), Packing::Plain);
    let result = run(&operation, &target(&server.url), &mut |_| {}).await;
    let failure = result.expect_err("a bad snapshot was accepted");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "{failure}: left {left:?}");
    (failure.kind, failure.message)
}

#[tokio::test]
async fn a_stream_that_ends_early_is_no_snapshot() {
    let whole = with_trailer(blank_database(64));
    for cut in [0, 50, 100, 4096, whole.len() - 32, whole.len() - 1] {
        let script = Script {
            bytes: whole[..cut].to_vec(),
            total: whole.len(),
            ending: Ending::Close,
        };
        let (kind, message) = failed_save(script).await;
        assert_eq!(kind, FailureKind::Corrupt, "cut at {cut}: {message}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_is_no_snapshot() {
    let whole = with_trailer(blank_database(64));
    let script = Script {
        bytes: whole[..100_000].to_vec(),
        total: whole.len(),
        ending: Ending::Break,
    };
    let (kind, message) = failed_save(script).await;
    assert_ne!(kind, FailureKind::Corrupt, "{message}");
    assert!(message.contains("the wire was cut"), "{message}");
}

#[tokio::test]
async fn a_wrong_trailer_is_seen() {
    let mut bytes = with_trailer(blank_database(64));
    bytes[20_000] ^= 1;
    let (kind, message) = failed_save(Script::all(bytes)).await;
    assert_eq!(kind, FailureKind::Corrupt);
    assert!(
        message.contains("sha256") || message.contains("SHA-256"),
        "{message}"
    );
}

#[tokio::test]
async fn a_damaged_tree_under_a_right_trailer_is_seen() {
    let (kind, message) = failed_save(Script::all(with_trailer(blank_database(64)))).await;
    assert_eq!(kind, FailureKind::Corrupt);
    assert!(
        message.starts_with("etcd sent a snapshot of a damaged database: "),
        "{message}"
    );
}

#[tokio::test]
async fn what_is_no_database_is_refused_at_its_first_bytes() {
    let script = Script {
        bytes: vec![0x3c; 200_000],
        total: 1 << 40,
        ending: Ending::Silence,
    };
    let begun = Instant::now();
    let (kind, message) = failed_save(script).await;
    assert_eq!(kind, FailureKind::Corrupt, "{message}");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "waited for a stream that never ends"
    );
}

#[tokio::test]
async fn empty_messages_for_ever_are_noticed() {
    let whole = with_trailer(blank_database(64));
    let script = Script {
        bytes: whole[..8192].to_vec(),
        total: whole.len(),
        ending: Ending::EmptyForEver,
    };
    let (kind, message) = failed_save(script).await;
    assert_eq!(kind, FailureKind::Corrupt);
    assert!(message.contains("without content"), "{message}");
}

#[tokio::test]
async fn a_snapshot_that_is_stopped_leaves_nothing() {
    let level = Level::default();
    stopped(Packing::Plain).await;
    stopped(Packing::Zstd { level }).await;
    let parts = BundleParts {
        top: "s".into(),
        level,
        pki: false,
        root: "/nowhere".into(),
    };
    stopped(Packing::Bundle { parts, whole: true }).await;
}

async fn stopped(packing: Packing) {
    let dir = tempfile::tempdir().unwrap();
    let whole = with_trailer(blank_database(64));
    let script = Script {
        bytes: whole[..100_000].to_vec(),
        total: whole.len(),
        ending: Ending::Silence,
    };
    let server = serve(script).await;
    let (operation, target) = (save(dir.path(), packing), target(&server.url));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut stop = Some(stop);
    let part = dir.path().join("s.db.part");
    let mut steps = Vec::new();
    // The first progress comes when the file is there; then it is stopped.
    let mut on_progress = |progress: etcd_operations::wire::Progress| {
        assert!(part.exists());
        steps.push(progress.step);
        if let Some(stop) = stop.take() {
            stop.send(()).unwrap();
        }
    };
    tokio::select! {
        ended = run(&operation, &target, &mut on_progress) => panic!("{ended:?}"),
        _ = stopped => {}
    }
    assert_eq!(steps, ["saving"]);
    assert!(!part.exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_socket_that_accepts_and_says_nothing_does_not_hold_up_the_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let begun = Instant::now();
    let report = run(&Operation::Status, &target(&url), &mut |_| {})
        .await
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    let Report::Status(status) = report else {
        panic!("{report:?}")
    };
    let failure = status.own.failure().unwrap();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(
        failure.message.ends_with("did not answer within 2.0 s"),
        "{failure}"
    );
    assert!(status.evidence.is_some());
}

#[tokio::test]
async fn a_member_that_ends_before_the_revision_says_where_it_ends() {
    let server = serve(Script::all(Vec::new())).await;
    for (asked, hashed) in [(REVISION - 1, REVISION - 1), (REVISION + 9, REVISION)] {
        let hash = Operation::HashKv(HashKv {
            revision: asked,
            has_it: false,
        });
        let report = run(&hash, &target(&server.url), &mut |_| {}).await.unwrap();
        let Report::HashKv(said) = report else {
            panic!("{report:?}")
        };
        assert_eq!((said.revision, said.hash), (hashed, 7));
        assert_eq!(said.compact_revision, None);
    }
}
