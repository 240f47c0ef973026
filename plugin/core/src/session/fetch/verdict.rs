//! What arrived, held against what the node says of it, and why nothing is kept where they differ.

use etcd_operations::advice;
use etcd_operations::advice::{Choice, Task};
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::pack::unpack::{Arrived, Found, Sum};
use etcd_operations::report::{Report, SnapshotReport};
use etcd_operations::transfer::Whole;

use super::second::MemberOn;
use crate::outcome::{RunError, RunErrorKind};

/// What came that is no whole snapshot: nothing of it is kept.
pub(super) fn damaged(failure: &Failure) -> RunError {
    RunError::new(
        RunErrorKind::OperationFailed(FailureKind::Corrupt),
        format!("what arrived is not kept: {}", failure.message),
    )
    .hint(advice![
        "another member may give a whole one: ",
        Task::SaveSnapshot.with(Choice::Node, "NODE")
    ])
}

/// Whether what came is what the job says it made and checked.
pub(super) fn compare(report: &Report, whole: &Whole) -> Result<(), RunError> {
    let (size_bytes, sha256) = match report {
        Report::Snapshot(saved) => (saved.snapshot.size_bytes, &saved.snapshot.sha256),
        Report::NodeFiles(files) => (files.size_bytes, &files.sha256),
        Report::SnapshotSend(kept) => match &kept.snapshot {
            Some(snapshot) => (snapshot.size_bytes, &snapshot.sha256),
            None => return Err(not_a_snapshot()),
        },
        _ => return Err(not_a_snapshot()),
    };
    if *sha256 == whole.sha256 && size_bytes == whole.size_bytes {
        return Ok(());
    }
    Err(RunError::new(
        RunErrorKind::Lost,
        format!(
            "what was fetched ({} bytes, sha256 {}) is not what was checked on the node ({size_bytes} bytes, sha256 {sha256})",
            whole.size_bytes, whole.sha256
        ),
    ))
}

pub(super) fn not_a_snapshot() -> RunError {
    RunError::new(
        RunErrorKind::Lost,
        "the job reported something else than a snapshot",
    )
}

/// Whether a snapshot is said to be of the member that it was to be taken from.
pub(super) fn is_of(told: &SnapshotReport, source: &MemberOn<'_>) -> Result<(), RunError> {
    let (member, cluster) = (told.member_id.to_string(), told.cluster_id.to_string());
    if member == source.member_id && cluster == source.cluster_id {
        return Ok(());
    }
    Err(RunError::new(
        RunErrorKind::Lost,
        format!(
            "the snapshot is of member {member} of cluster {cluster}, and the node had member {} of cluster {}",
            source.member_id, source.cluster_id
        ),
    )
    .hint(advice![Task::ShowStatus, " shows which members there are now"]))
}

/// Whether a snapshot is, by its own bytes, what the node says it is.
pub(super) fn is_as_told(told: &SnapshotReport, arrived: &Arrived) -> Result<(), RunError> {
    let differs = |what: &str, told: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        Err(RunError::new(
            RunErrorKind::Lost,
            format!(
                "what arrived is not what the node says it is: its {what} is {found} instead of {told}"
            ),
        ))
    };
    let inner = match &told.packed {
        Some(packed) => (packed.size_bytes, &packed.sha256),
        None => (told.size_bytes, &told.sha256),
    };
    let Sum { size_bytes, sha256 } = &arrived.snapshot;
    if inner.0 != *size_bytes {
        return differs("size unpacked", &inner.0, size_bytes);
    }
    if inner.1 != sha256 {
        return differs("sha256 unpacked", inner.1, sha256);
    }
    let form = match &told.packed {
        None => "plain",
        Some(packed) if packed.bundle.is_some() => "bundle",
        Some(_) => "zstd",
    };
    let found = match arrived.found {
        Found::Plain => "plain",
        Found::Zstd => "zstd",
        Found::Bundle(_) => "bundle",
        Found::Foreign(_) => "packed by another program",
    };
    if form != found {
        return differs("form", &form, &found);
    }
    let Ok(pages) = &arrived.pages else {
        return Ok(());
    };
    let status = &pages.status;
    if i64::try_from(status.revision) != Ok(told.revision) {
        return differs("revision", &told.revision, &status.revision);
    }
    if status.hash != told.hash {
        let (told, found) = (format!("{:08x}", told.hash), format!("{:08x}", status.hash));
        return differs("hash", &told, &found);
    }
    if status.total_keys_live != told.total_keys {
        return differs("number of keys", &told.total_keys, &status.total_keys_live);
    }
    if let Some(told) = told.has_objects.filter(|told| *told != status.has_objects) {
        let said = |has_objects| match has_objects {
            true => "objects of Kubernetes",
            false => "no object of Kubernetes",
        };
        return differs("content", &said(told), &said(status.has_objects));
    }
    Ok(())
}

/// What is told of a snapshot; where its pages were looked at here, with what they say of its objects: who made it may not have
/// looked.
pub(super) fn as_found(told: SnapshotReport, arrived: &Arrived) -> SnapshotReport {
    let found = arrived.pages.as_ref().ok();
    let found = found.map(|pages| pages.status.has_objects);
    SnapshotReport {
        has_objects: found.or(told.has_objects),
        ..told
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use etcd_operations::pack::unpack::arriving;

    use super::*;
    use crate::assess::fixtures;

    const PLAIN: &[u8] = include_bytes!("../../../../tests/cmd/offline.in/small.snapshot");
    const PACKED: &[u8] = include_bytes!("../../../../tests/cmd/offline.in/small.db.zst");

    fn arrived(bytes: &[u8]) -> Arrived {
        let (spool, never) = (crate::spool::spool(), AtomicBool::new(false));
        arriving(bytes, "x", &spool, &never).unwrap()
    }

    /// What an honest node says.
    fn told(arrived: &Arrived) -> SnapshotReport {
        let status = &arrived.pages.as_ref().unwrap().status;
        let mut told = serde_json::json!({
            "path": "x", "sizeBytes": arrived.input.size_bytes, "sha256": arrived.input.sha256, "clusterId": "1",
            "memberId": "2", "revision": status.revision, "raftTerm": 4, "etcdVersion": "3.6.6", "hash": status.hash,
            "totalKeys": status.total_keys_live, "hasObjects": status.has_objects, "takenAt": "2026-11-21T15:00:00Z", "tookMs": 7,
        });
        if !matches!(arrived.found, Found::Plain) {
            let snapshot = &arrived.snapshot;
            told["packed"] =
                serde_json::json!({"sizeBytes": snapshot.size_bytes, "sha256": snapshot.sha256});
        }
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn what_is_as_told_is_taken_and_all_else_is_named() {
        for bytes in [PLAIN, PACKED] {
            let arrived = arrived(bytes);
            let honest = told(&arrived);
            assert_eq!(is_as_told(&honest, &arrived), Ok(()));
            type Lie = fn(&mut SnapshotReport);
            let lies: [(Lie, &str); 4] = [
                (|told| told.revision += 1, "revision"),
                (|told| told.hash ^= 1, "hash"),
                (|told| told.total_keys += 1, "number of keys"),
                (
                    |told| told.has_objects = told.has_objects.map(|has| !has),
                    "content",
                ),
            ];
            for (lie, what) in lies {
                let mut told = honest.clone();
                lie(&mut told);
                let error = is_as_told(&told, &arrived).unwrap_err();
                assert!(error.message.contains(what), "{what}: {error}");
            }
        }
        let plain = arrived(PLAIN);
        let mut other = told(&plain);
        other.sha256 = "00".repeat(32);
        assert!(is_as_told(&other, &plain).is_err());
        let packed = arrived(PACKED);
        assert!(is_as_told(&told(&plain), &packed).is_err(), "another form");
    }

    #[test]
    fn whether_objects_are_in_it_is_for_its_pages_to_say() {
        let mut arrived = arrived(PLAIN);
        let has_objects = arrived.pages.as_ref().unwrap().status.has_objects;
        let mut silent = told(&arrived);
        silent.has_objects = None;
        let found = as_found(silent.clone(), &arrived);
        assert_eq!(found.has_objects, Some(has_objects));
        assert_eq!(
            SnapshotReport {
                has_objects: None,
                ..found
            },
            silent
        );
        // Nobody has looked here, and that is said: then it is the node's word.
        let told = told(&arrived);
        arrived.pages = Err(Failure::new(FailureKind::NoSpace, "no room"));
        assert_eq!(as_found(told, &arrived).has_objects, Some(has_objects));
    }

    #[test]
    fn a_snapshot_of_another_member_is_refused() {
        let told = told(&arrived(PLAIN));
        let node = fixtures::node(1);
        let mut source = MemberOn {
            node: &node,
            member_id: told.member_id.to_string(),
            cluster_id: told.cluster_id.to_string(),
        };
        assert_eq!(is_of(&told, &source), Ok(()));
        source.cluster_id = "7".to_owned();
        assert!(is_of(&told, &source).is_err());
    }
}
