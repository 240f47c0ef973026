//! The fetch against every way in which a stream can end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use etcd_operations::transfer::{FrameWriter, Whole};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::receive::{Held, receive};
use super::*;
use crate::connection::{Connection, READYZ};
use crate::created::Created;
use crate::fake::{self, Reply, Step};
use crate::runners::launch::Heard;
use crate::runners::program::Program;
use crate::session::Cluster;

fn content() -> Vec<u8> {
    (0..300_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

/// What `etcd-job read --offset` prints.
fn stream(content: &[u8], offset: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = FrameWriter::new(&mut out, offset as u64).unwrap();
    for part in content[offset..].chunks(100_000) {
        writer.data(part).unwrap();
    }
    writer.end(&Sha256::digest(content).into()).unwrap();
    out
}

fn offset(path: &str) -> usize {
    let (_, rest) = path.split_once("command=--offset&command=").unwrap();
    rest.split('&').next().unwrap().parse().unwrap()
}

/// As the apiserver passes it on: in messages of 32 KiB, up to so many bytes, and then that.
fn steps(bytes: &[u8], end: Step) -> Vec<Step> {
    let mut steps: Vec<_> = bytes
        .chunks(32 << 10)
        .map(|part| Step::Send(1, part.to_vec()))
        .collect();
    steps.push(end);
    steps
}

async fn cluster(handler: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Cluster {
    let server = fake::serve(handler).await;
    Cluster {
        connection: Connection::prepare(&fake::flags(server)).await.unwrap(),
        created: Created::default(),
        owner: crate::owner::Owner::named("test"),
        image: Some(Program::Image {
            reference: "x".into(),
            pull_secrets: Vec::new(),
        }),
        located: crate::session::namespace::Located {
            name: "kube-system".into(),
            missing: false,
            programs: None,
            instead: None,
        },
        compared: crate::user_cache::UserCache::default(),
        program: OnceCell::new(),
        swept: Once::new(),
        heard: Heard::default(),
        notices: std::sync::Arc::new(|_| {}),
    }
}

async fn fetched(cluster: &Cluster) -> (Result<Whole, String>, Vec<u8>) {
    // What is taken into memory is not looked at meanwhile: this content is no snapshot.
    let mut sink = Sink::memory();
    let held = Held {
        pod: "pod",
        file: Path::new("/kubectl-etcd/snapshot/snapshot.db"),
    };
    let whole = receive(cluster, held, &mut sink, &mut |_| {}).await;
    (whole.map_err(|error| error.message), sink.into_memory())
}

#[tokio::test]
async fn cuts_at_any_place_are_noticed_and_gone_on_from() {
    let ends: [fn() -> Step; 3] = [
        || Step::Close,
        || Step::Drop,
        // The remote program is killed.
        || {
            let killed = br#"{"status":"Failure","message":"x","details":{"causes":[{"reason":"ExitCode","message":"137"}]}}"#;
            Step::Send(3, killed.to_vec())
        },
    ];
    for end in ends {
        let connections = std::sync::Arc::new(AtomicUsize::new(0));
        let asked = std::sync::Arc::new(Mutex::new(Vec::new()));
        let (counted, told) = (connections.clone(), asked.clone());
        let cluster = cluster(move |path| {
            let all = content();
            let from = offset(path);
            told.lock().unwrap().push(from);
            let bytes = stream(&all, from);
            // In the magic, in a header, in a payload, at a frame's end, in the trailer, and after it.
            let cuts = [0, 5, 8 + 7, 150_000, 8 + 100_016, 400_000];
            match cuts.get(counted.fetch_add(1, Ordering::Relaxed)) {
                Some(cut) => Reply::Exec(steps(&bytes[..*cut.min(&bytes.len())], end())),
                None => Reply::Exec(steps(&bytes, fake::success())),
            }
        })
        .await;
        let (whole, stored) = fetched(&cluster).await;
        let all = content();
        assert_eq!(whole.unwrap().size_bytes, all.len() as u64);
        assert!(stored == all, "what was stored differs");
        let asked = asked.lock().unwrap().clone();
        assert!(
            asked.is_sorted() && *asked.last().unwrap() > 400_000,
            "each goes on where the last one ended: {asked:?}"
        );
    }
}

#[tokio::test]
async fn a_trailer_without_a_farewell_is_enough() {
    let cluster =
        cluster(|path| Reply::Exec(steps(&stream(&content(), offset(path)), Step::Drop))).await;
    let (whole, stored) = fetched(&cluster).await;
    assert_eq!(whole.unwrap().size_bytes, stored.len() as u64);
}

#[tokio::test]
async fn another_program_or_a_refusal_is_not_tried_again() {
    let foreign = cluster(|_| {
        Reply::Exec(vec![
            Step::Send(1, b"#!/bin/sh: usage of something else".to_vec()),
            Step::Stall,
        ])
    })
    .await;
    let (whole, _) = fetched(&foreign).await;
    assert!(whole.unwrap_err().contains("does not begin as expected"));
    let refused = cluster(|path| match path {
        READYZ => Reply::Json(200, "readyz check passed".into()),
        _ => fake::refused(403, "pods \"pod\" is forbidden: User \"jane\" cannot create resource \"pods/exec\" in API group \"\""),
    }).await;
    let (whole, _) = fetched(&refused).await;
    assert!(whole.unwrap_err().contains("pods/exec"));
}

#[tokio::test]
async fn a_refusal_by_an_apiserver_that_has_just_started_is_waited_out() {
    let asked = AtomicUsize::new(0);
    let started = cluster(move |path| match path {
        READYZ => Reply::Json(500, "[-]informer-sync failed: reason withheld\n".into()),
        _ if asked.fetch_add(1, Ordering::Relaxed) < 2 => {
            fake::refused(403, "pods \"pod\" is forbidden: User \"kubernetes-admin\" cannot create resource \"pods/exec\" in API group \"\"")
        }
        path => Reply::Exec(steps(&stream(&content(), offset(path)), fake::success())),
    })
    .await;
    assert!(fetched(&started).await.0.is_ok());
}

/// What becomes of a snapshot that the node sends, whole by its own word, on its way into a file here.
async fn stored(content: &'static [u8]) -> (Result<(), String>, Vec<String>) {
    let cluster =
        cluster(move |path| Reply::Exec(steps(&stream(content, offset(path)), fake::success())))
            .await;
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Sink::file(&folder.path().join("s.db")).unwrap();
    let held = Held {
        pod: "pod",
        file: Path::new("/kubectl-etcd/snapshot/snapshot.db"),
    };
    let came = receive(&cluster, held, &mut sink, &mut |_| {}).await;
    let checked = match came {
        Ok(_) => sink.checked().await.map_err(|error| sink.fault(error)),
        Err(error) => Err(error),
    };
    let checked = checked.map_err(|error| error.message);
    drop(sink);
    let left = std::fs::read_dir(folder.path()).unwrap();
    let left = left.map(|one| one.unwrap().file_name().display().to_string());
    (checked.map(drop), left.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_sends_as_a_whole_snapshot_is_looked_at_here() {
    let sent: [(&[u8], &str); 4] = [
        (
            include_bytes!("../../../../tests/cmd/offline.in/flipped.snapshot"),
            "sha256",
        ),
        (
            include_bytes!("../../../../tests/cmd/offline.in/cut.snapshot"),
            "bytes",
        ),
        (
            include_bytes!("../../../../tests/cmd/offline.in/cut.tar.zst"),
            "cut",
        ),
        (
            include_bytes!("../../../../tests/cmd/offline.in/changed.tar.zst"),
            "sha256",
        ),
    ];
    for (content, what) in sent {
        let (checked, left) = stored(content).await;
        let why = checked.unwrap_err();
        assert!(why.to_lowercase().contains(what), "{what}: {why}");
        assert!(left.is_empty(), "{left:?}");
    }
    for content in [
        include_bytes!("../../../../tests/cmd/offline.in/small.snapshot").as_slice(),
        include_bytes!("../../../../tests/cmd/offline.in/small.db.zst"),
        include_bytes!("../../../../tests/cmd/offline.in/small.tar.zst"),
    ] {
        assert_eq!(stored(content).await.0, Ok(()));
    }
}
