//! Tests: from looks to situations.

mod manifests;
mod situations;

use super::fixtures::*;
use super::*;
use crate::control_plane::ControlPlane;
use crate::failure::Failure;
use crate::ids::{ClusterId, MemberId};
use crate::look::LostFolder;
use crate::look::{
    ArchivedManifest, DataFolder, Doubt, ElsewhereManifest, Fitness, Holder, Inspection, LockState,
    LogPosition, OutdatedManifest, Place, PodManifest, RefusalKind, UnfinishedPlan,
};
use crate::manifest::PodId;

/// What is found on one host: kinds, and the first command.
fn found(look: Look) -> (Vec<SituationKind>, String) {
    let found = diagnose(&[look], now());
    let kinds = found.situations.iter().map(|one| one.kind).collect();
    let first = found.situations.first();
    (
        kinds,
        first
            .map(|one| one.next.command.written())
            .unwrap_or_default(),
    )
}

fn change(change: impl FnOnce(&mut Look)) -> Look {
    let mut look = healthy();
    change(&mut look);
    look
}

const DB: &str = "panic: assertion failed: Page expected to be: 65, but self identifies as 0";

fn reach() -> Option<LogPosition> {
    whole().reach
}

fn found_of_words(look: Look, words: &str) -> (Vec<SituationKind>, String) {
    let inspection = super::cluster::inspection(&look).unwrap().clone();
    found(look.down(Some(words)).data(inspection))
}

#[test]
fn nothing_is_wrong_with_a_healthy_host() {
    let found = diagnose(&[healthy()], now());
    assert_eq!((found.situations, found.unseen), (vec![], vec![]));
    let seen: Vec<&str> = found.in_order.iter().map(|one| one.text.as_str()).collect();
    for expected in [
        "all 3 members answer",
        "kubelet runs",
        "kube-apiserver answers",
        "50 GiB of 100 GiB are free",
    ] {
        assert!(seen.iter().any(|text| text.contains(expected)), "{seen:#?}");
    }
}

#[test]
fn out_of_space_the_next_step_is_the_one_that_is_left() {
    let no_space = |size: u64, used: u64| {
        change(|look| {
            let Answer::Ok(live) = &mut look.live else {
                return;
            };
            live.status.errors = vec!["memberID:1 alarm:NOSPACE ".to_owned()];
            live.status.db_size_bytes = size << 20;
            live.status.db_in_use_bytes = Some(used << 20);
        })
    };
    for (size, used, command) in [
        (2040, 2000, "{show-usage}"),
        (2040, 100, "{defragment}"),
        (100, 100, "{disarm-alarms}"),
    ] {
        let expected = (vec![SituationKind::NoSpaceAlarm], command.to_owned());
        assert_eq!(found(no_space(size, used)), expected);
    }
    let corrupt = change(|look| {
        if let Answer::Ok(live) = &mut look.live {
            live.status.errors = vec!["memberID:2 alarm:CORRUPT ".to_owned()];
        }
    });
    let expected = (
        vec![SituationKind::CorruptAlarm],
        "{replace-member cp-2 +ssh}".to_owned(),
    );
    assert_eq!(found(corrupt), expected);
}

#[test]
fn what_could_not_be_looked_at_is_told_and_nothing_is_made_of_it() {
    let look = change(|look| {
        let failure = Failure::missing("no systemd here");
        look.kubelet.active = Answer::Failed(failure.clone());
        look.disks[0].space = Answer::Failed(failure);
    });
    let found = diagnose(&[look], now());
    assert_eq!(found.situations, []);
    assert_eq!(found.severity(), None);
    let what: Vec<&str> = found.unseen.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(what, ["the disk of /var/lib/etcd", "whether kubelet runs"]);
}

#[test]
fn words_of_an_earlier_start_say_nothing_against_whole_data() {
    let (kinds, command) = found(healthy().down(Some(DB)));
    assert_eq!(kinds, [SituationKind::EtcdDown]);
    assert_eq!(command, "crictl logs --tail 50 c0ffee");
}

/// etcd's manifest, which was taken out.
fn archived(doubts: Vec<Doubt>) -> ArchivedManifest {
    ArchivedManifest {
        component: Some(ControlPlane::Etcd),
        pod: PodId {
            namespace: "kube-system".into(),
            name: "etcd".into(),
        },
        path: "/var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z.stopped".into(),
        named: false,
        at: Some("2026-11-20T21:00:00Z".parse().unwrap()),
        data_dir: Some("/var/lib/etcd".into()),
        last_ran: None,
        doubts,
    }
}

/// A log without an entry, as etcd makes it in an empty directory.
fn new_log() -> Inspection {
    let nowhere = Some(LogPosition::default());
    Inspection {
        reach: nowhere,
        wal_end: nowhere,
        database: nowhere,
        ..whole()
    }
}

#[test]
fn a_log_that_is_empty_beside_a_cluster_is_not_called_whole() {
    let words = "panic: tocommit(1000) is out of range [lastIndex(0)]";
    let look = healthy().down(Some(words)).data(new_log());
    let found = diagnose(&[look], now());
    let behind = found.situations.first().unwrap();
    assert_eq!(behind.severity, Severity::Lost);
    let evidence: Vec<_> = behind
        .evidence
        .iter()
        .map(|one| one.text.as_str())
        .collect();
    assert_eq!(
        evidence[0],
        "its log is new and empty, and cp-2 has applied entries up to index 1000"
    );
    assert!(
        !evidence.iter().any(|one| one.contains("whole")),
        "{evidence:?}"
    );
}

#[test]
fn a_member_that_never_joined_is_no_loss() {
    let joining = || {
        let never = Inspection {
            why: Some("it is new".into()),
            ..broken(RefusalKind::NeverJoined, None)
        };
        healthy()
            .down(Some("discovery failed: no route"))
            .data(never)
    };
    let diagnosis = diagnose(&[joining()], now());
    let new = diagnosis.situations.first().unwrap();
    assert_eq!(
        (new.kind, new.severity),
        (SituationKind::NotJoined, Severity::Degraded)
    );
    assert!(new.evidence[0].text.ends_with(": it is new"), "{new:?}");
    let flags = "discovery failed: error validating peerURLs: member count is unequal";
    let (kinds, _) = found_of_words(joining(), flags);
    assert_eq!(kinds, [SituationKind::WrongInitialCluster]);
    // Where nobody works it has nobody to join.
    let (kinds, next) = found(joining().alone());
    assert!(
        kinds.contains(&SituationKind::NotJoined),
        "{kinds:?} {next}"
    );
}
