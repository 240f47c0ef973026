//! Tests of what comes of holding a snapshot against other members.

use std::sync::atomic::AtomicBool;

use etcd_operations::ids::{ClusterId, MemberId};
use etcd_operations::pack::unpack::arriving;

use super::*;
use crate::assess::fixtures;

const SNAPSHOT: &[u8] = include_bytes!("../../../../tests/cmd/offline.in/small.snapshot");

fn pages() -> Pages {
    let (spool, never) = (crate::spool::spool(), AtomicBool::new(false));
    let arrived = arriving(SNAPSHOT, "x", &spool, &never).unwrap();
    arrived.pages.unwrap()
}

fn said(hash: u32, compacted: Option<u64>) -> Said {
    Ok(HashReport {
        cluster_id: ClusterId(1),
        member_id: MemberId(2),
        revision: 11,
        hash,
        compact_revision: compacted.map(u64::cast_signed),
    })
}

async fn judged(first: Said, others: &[Said]) -> Result<Compared, Mismatch> {
    judged_of(pages(), first, others).await
}

async fn judged_of(pages: Pages, first: Said, others: &[Said]) -> Result<Compared, Mismatch> {
    let nodes: Vec<Node> = (1..=3).map(fixtures::node).collect();
    let members: Vec<MemberOn<'_>> = nodes
        .iter()
        .map(|node| MemberOn {
            node,
            member_id: String::new(),
            cluster_id: String::new(),
        })
        .collect();
    let ask = async |member: &MemberOn<'_>| {
        let at = nodes.iter().position(|node| *node == *member.node);
        others[at.unwrap() - 1].clone()
    };
    judge(pages, &members[..=others.len()], first, ask).await
}

#[tokio::test]
async fn the_same_hash_at_the_same_compaction_is_the_same_data() {
    let own = pages().hash;
    let same = judged(said(own.hash, own.compact_revision), &[]).await;
    let node = "cp-1".to_owned();
    let hash = own.hash;
    assert_eq!(same, Ok(Compared::Same { node, hash }));
    // Compacted since: the snapshot is hashed as if it were as well.
    let further = own.revision - 1;
    assert!(further > own.compact_revision.unwrap_or(0));
    let as_there = pages().hash_compacted(further).unwrap();
    assert_ne!(as_there.hash, own.hash);
    let same = judged(said(as_there.hash, Some(further)), &[]).await;
    assert!(matches!(same, Ok(Compared::Same { .. })), "{same:?}");
}

#[tokio::test]
async fn what_cannot_be_compared_is_said_and_is_no_mismatch() {
    let own = pages().hash;
    let silent = RunError::new(RunErrorKind::TimedOut, "not done within 20 s");
    for (said, why) in [
        (Err(silent), "not done within 20 s"),
        (said(1, Some(own.revision + 1)), "not between"),
    ] {
        match judged(said, &[]).await {
            Ok(Compared::Not { why: told }) => {
                assert!(told.starts_with("cp-1: ") && told.contains(why), "{told}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn more_than_is_committed_is_other_data() {
    // As if it had been compacted.
    let compacted = || {
        let mut pages = pages();
        pages.hash.compact_revision = Some(5);
        pages
    };
    let own = compacted().hash;
    let mut ends = said(own.hash, own.compact_revision).unwrap();
    ends.revision -= 1;
    let less = said(own.hash, own.compact_revision.map(|at| at - 1));
    for (first, words) in [
        (Ok(ends), "ends at revision 10"),
        (less, "is compacted up to"),
    ] {
        let same = said(own.hash, own.compact_revision);
        let mismatch = judged_of(compacted(), first, &[same]).await.unwrap_err();
        let error = mismatch.into_error("cp-9", &Ok(None));
        assert_eq!(error.kind.exit_code(), 4);
        assert!(error.message.contains(words), "{error}");
        assert!(error.message.contains("the same data as cp-2"), "{error}");
    }
}

#[tokio::test]
async fn where_one_cannot_be_compared_the_next_one_is() {
    let own = pages().hash;
    let silent = || Err(RunError::new(RunErrorKind::TimedOut, "not done"));
    let same = said(own.hash, own.compact_revision);
    let other = said(own.hash ^ 1, own.compact_revision);
    match judged(silent(), &[same]).await {
        Ok(Compared::Same { node, .. }) => assert_eq!(node, "cp-2"),
        compared => panic!("{compared:?}"),
    }
    let mismatch = judged(silent(), &[other]).await.unwrap_err();
    assert_eq!(mismatch.node, "cp-2");
    let why = "cp-1: not done; cp-2: not done".to_owned();
    let none = judged(silent(), &[silent()]).await;
    assert_eq!(none, Ok(Compared::Not { why }));
}

#[tokio::test]
async fn other_data_is_told_with_all_who_were_asked() {
    let own = pages().hash;
    let same = said(own.hash, own.compact_revision);
    let other = said(own.hash ^ 1, own.compact_revision);
    let mismatch = judged(other.clone(), &[same, other]).await.unwrap_err();
    let unkept = Err(Error::failed("no room"));
    let error = mismatch.clone().into_error("cp-9", &unkept);
    assert_eq!(error.kind.exit_code(), 4);
    assert!(error.message.ends_with("it is not kept"), "{error}");
    assert!(error.hints[0].written().contains("no room"), "{error:?}");
    let error = mismatch.into_error("cp-9", &Ok(Some("/b/x.db.mismatch".into())));
    assert_eq!(error.kind.exit_code(), 4);
    for part in [
        "the snapshot of cp-9 has other data",
        "than the member of cp-1",
        "the same data as cp-2",
        "other data than cp-3 as well",
        "kept as /b/x.db.mismatch",
    ] {
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_small_database_is_not_waited_for_for_minutes() {
    let of = |bytes: u64| {
        let mut report: SnapshotReport = serde_json::from_value(serde_json::json!({
            "path": "x", "sizeBytes": 3, "sha256": "ab", "clusterId": "1", "memberId": "2", "revision": 3, "raftTerm": 4,
            "etcdVersion": "3.6.6", "hash": 5, "totalKeys": 6, "takenAt": "2026-11-21T15:00:00Z", "tookMs": 7,
        }))
        .unwrap();
        report.size_bytes = bytes;
        limit(&report).as_secs()
    };
    assert_eq!((of(1 << 20), of(1 << 30), of(1 << 40)), (20, 71, 140));
}
