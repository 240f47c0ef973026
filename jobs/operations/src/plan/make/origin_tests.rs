//! Whose a snapshot is, by all that can be known of it.

use std::collections::BTreeSet;

use super::cluster::newest_revision;
use super::restore::restore;
use super::restoring::{Compared, Restoring, SnapshotFacts};
use super::*;
use crate::doctor::fixtures::{healthy, now};
use crate::failure::{Answer, Failure, FailureKind};
use crate::look::{Changes, ClusterIdentity, KindChanges, Since};
use crate::plan::HostRef;

const UID: &str = "0b6f1c9e-3f6e-4a52-9d0c-2f1f0a4b8c11";
const OTHER: &str = "7d0a5bd0-77a1-4d5e-8b52-5a4b86bd1c0e";

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|&one| one.to_owned()).collect()
}

fn identity(uid: Option<&str>, ca: &[&str]) -> ClusterIdentity {
    ClusterIdentity {
        namespace_uid: uid.map(str::to_owned),
        ca: set(ca),
        encrypted: false,
    }
}

/// A control-plane node of three, whose apiserver has this CA.
fn host(ca: Option<&[&str]>) -> HostView {
    let mut look = healthy();
    if let Answer::Ok(apiserver) = &mut look.apiserver {
        apiserver.client_ca = ca.map(|ca| Answer::Ok(set(ca)));
    }
    HostView {
        host: HostRef {
            node: "cp-1".into(),
            address: None,
            etcd: None,
        },
        look,
    }
}

/// What a database answers.
fn database(uid: Option<&str>) -> Compared {
    Compared {
        node: "cp-1".into(),
        since: Answer::Ok(Since {
            changes: Changes {
                revision: 900,
                deletions_complete: true,
                kinds: vec![KindChanges {
                    kind: "pods".into(),
                    written: 3,
                    deleted: 0,
                }],
            },
            identity: identity(uid, &[]),
        }),
    }
}

fn what(identity: ClusterIdentity, peer_url: &str, databases: Vec<Compared>) -> Restoring {
    Restoring {
        snapshot: SnapshotFacts {
            sha256: "0".into(),
            bytes: 1,
            revision: 100,
            members: vec!["cp-1".into()],
            peer_urls: set(&[peer_url]),
            taken: None,
        },
        name: "etcd.db".into(),
        token: "t".into(),
        without: BTreeSet::from(["cp-2".to_owned(), "cp-3".to_owned()]),
        identity,
        databases,
        another_cluster: false,
        alive_elsewhere: Vec::new(),
        taking_part: TakingPart::Reached,
    }
}

const HERE: &str = "https://10.0.0.1:2380";
const ELSEWHERE: &str = "https://10.9.9.9:2380";

#[test]
fn the_uid_counts_more_than_the_ca_and_that_more_than_addresses() {
    let (same, another, unknown) = ("same", "another", "unknown");
    let failed = || Compared {
        node: "cp-1".into(),
        since: Answer::Failed(Failure::corrupt("page 7")),
    };
    let ca: Option<&[&str]> = Some(&["a", "b"]);
    for (snapshot, address, databases, ca, verdict, says) in [
        // Replaced CA and new addresses: the uid says that it is the same.
        (
            identity(Some(UID), &["c"]),
            ELSEWHERE,
            vec![database(Some(UID))],
            ca,
            same,
            "database of cp-1",
        ),
        // A cluster set up anew with the old PKI on the old addresses.
        (
            identity(Some(OTHER), &["a"]),
            HERE,
            vec![database(Some(UID))],
            ca,
            another,
            OTHER,
        ),
        // No database can be read: the CA decides.
        (
            identity(Some(UID), &["b"]),
            HERE,
            vec![failed()],
            ca,
            same,
            "no database could be compared",
        ),
        (
            identity(Some(UID), &["c"]),
            HERE,
            vec![failed()],
            ca,
            another,
            "or this one's CA was replaced",
        ),
        // Nothing but addresses.
        (
            identity(None, &[]),
            ELSEWHERE,
            vec![database(Some(UID))],
            ca,
            another,
            "none of them is here",
        ),
        (
            identity(None, &[]),
            HERE,
            vec![database(Some(UID))],
            ca,
            unknown,
            "neither the namespace",
        ),
        (
            identity(Some(UID), &["a"]),
            HERE,
            Vec::new(),
            None,
            unknown,
            "the CA here is not known",
        ),
    ] {
        let what = what(snapshot, address, databases);
        let origin = Origin::of(&what, &[host(ca)]);
        let found = match origin {
            Origin::Same { .. } => same,
            Origin::Another { .. } => another,
            Origin::Unknown { .. } => unknown,
        };
        assert_eq!(found, verdict, "{origin}");
        assert!(origin.to_string().contains(says), "{says}: {origin}");
        assert_eq!(origin.check(false).is_err(), verdict == another);
        assert_eq!(origin.check(true), Ok(()));
    }
}

#[test]
fn what_is_encrypted_is_said() {
    let mut snapshot = identity(None, &[]);
    snapshot.encrypted = true;
    let what = what(snapshot, HERE, vec![database(Some(UID))]);
    let origin = Origin::of(&what, &[host(Some(&["a"]))]);
    assert!(origin.to_string().contains("encrypted in it"), "{origin}");
}

#[test]
fn addresses_that_are_not_known_are_not_said_to_be_these() {
    let mut what = what(identity(None, &[]), HERE, Vec::new());
    let told = |what: &Restoring| Origin::of(what, &[host(Some(&["a"]))]).to_string();
    let said = "had addresses of these control-plane nodes";
    assert!(told(&what).contains(said), "{}", told(&what));
    what.snapshot.peer_urls.clear();
    assert!(!told(&what).contains(said), "{}", told(&what));
}

#[test]
fn another_cluster_is_refused_and_its_flag_lifts_that() {
    let hosts = [host(Some(&["a"]))];
    let mut other = what(
        identity(Some(OTHER), &["a"]),
        HERE,
        vec![database(Some(UID))],
    );
    let refused = restore(&hosts, &other, now()).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains(OTHER) && refused.message.contains(UID));
    assert!(
        refused
            .hint
            .unwrap()
            .written()
            .contains("{+another-cluster}")
    );

    other.another_cluster = true;
    let preview = restore(&hosts, &other, now()).unwrap();
    assert!(matches!(preview.origin, Some(Origin::Another { .. })));
    // Counting from a revision of another history means nothing.
    assert!(matches!(preview.losses[1], Loss::Everything { .. }));
    assert!(preview.loses_data());
}

#[test]
fn what_was_changed_is_that_of_the_newest_database() {
    let hosts = [host(Some(&["a"]))];
    assert_eq!(newest_revision(&hosts).unwrap().node, "cp-1");
    let mut own = what(identity(Some(UID), &[]), HERE, vec![database(Some(UID))]);
    let counted = |own: &Restoring| {
        let preview = restore(&hosts, own, now()).unwrap();
        let Loss::SinceSnapshot {
            changes, newest, ..
        } = &preview.losses[1]
        else {
            panic!("{:?}", preview.losses)
        };
        assert!(newest.as_ref().unwrap().at.is_some());
        changes.clone()
    };
    let changes = counted(&own).unwrap();
    assert_eq!(changes.ok().unwrap().kinds[0].written, 3);
    // Another host's is not told as if it were that one's.
    own.databases[0].node = "cp-2".into();
    assert_eq!(counted(&own), None);
}
