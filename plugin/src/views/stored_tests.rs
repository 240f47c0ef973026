//! Tests of [`super`].

use etcd_operations::report::SnapshotReport;

use super::*;
use crate::views::{Format, render};

pub(crate) fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn kept(name: &str, taken_at: &str, state: KeptState) -> KeptSnapshot {
    KeptSnapshot {
        name: name.parse().unwrap(),
        size_bytes: 20_512,
        snapshot: Some(SnapshotReport {
            path: format!("/var/lib/etcd-snapshots/{name}").into(),
            size_bytes: 20_512,
            sha256: "12a5".into(),
            cluster_id: kubectl_etcd_core::assess::fixtures::CLUSTER,
            member_id: kubectl_etcd_core::assess::fixtures::id(2),
            revision: 1_100,
            raft_term: 2,
            etcd_version: "3.6.16".into(),
            storage_version: None,
            hash: 7,
            total_keys: 5,
            has_objects: None,
            taken_at: taken_at.parse().unwrap(),
            took_ms: 12,
            packed: None,
        }),
        state,
    }
}

pub(crate) fn verified(name: &str, taken_at: &str) -> KeptSnapshot {
    let at = taken_at.parse().unwrap();
    let how = Checked::WhileSaving;
    kept(name, taken_at, KeptState::Verified { at, how })
}

pub(crate) fn list() -> SnapshotList {
    let mut list = SnapshotList::new(Path::new("/var/lib/etcd-snapshots"), now());
    let damaged = KeptState::Damaged {
        what: "page 7".into(),
    };
    let unknown = KeptState::Unknown {
        why: "nothing describes it".into(),
    };
    let again = KeptState::Verified {
        at: "2026-11-21T09:00:00Z".parse().unwrap(),
        how: Checked::Again,
    };
    let on_1 = [
        verified("a.db", "2026-11-20T03:00:00Z"),
        kept("b.db", "2026-11-21T03:00:00Z", again),
        kept("c.db", "2026-11-21T04:00:00Z", damaged),
        KeptSnapshot {
            snapshot: None,
            ..kept("d.db", "2026-11-21T04:00:00Z", unknown)
        },
    ];
    list.add("cp-1", &on_1);
    list.add("cp-2", &[verified("future.db", "2031-01-01T00:00:00Z")]);
    list.unknown("cp-3", "the kubelet does not answer".into());
    list.finish(Order::Node);
    list
}

#[test]
fn a_list_says_what_is_known_and_what_is_not() {
    let text = render(&list(), Format::Table, Paint::PLAIN).unwrap();
    insta::assert_snapshot!(text);
    assert_eq!(list().newest_verified.as_deref(), Some("cp-1/b.db"));
}

#[test]
fn an_empty_list_is_no_table_of_nothing() {
    let mut list = SnapshotList::new(Path::new("/kept"), now());
    list.finish(Order::Node);
    assert_eq!(
        render(&list, Format::Table, Paint::PLAIN).unwrap(),
        "no verified snapshot is kept\n"
    );
}

#[test]
fn a_list_is_sorted_by_what_is_asked_for() {
    let sorted = |order| {
        let mut list = list();
        list.finish(order);
        let names = list.snapshots.into_iter().map(|one| one.name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        sorted(Order::Age),
        ["future.db", "c.db", "b.db", "a.db", "d.db"]
    );
    assert_eq!(
        sorted(Order::Name),
        ["a.db", "b.db", "c.db", "d.db", "future.db"]
    );
    assert_eq!(sorted(Order::Node)[4], "future.db");
}
