//! Tests: plans of one host alone, from what was found on it.

mod replacing;

use std::collections::BTreeSet;

use super::*;
use crate::doctor::fixtures::{live, now, peer, refused, whole};
use crate::ids::{ClusterId, MemberId};
use crate::look::{
    ArchivedManifest, ClusterIdentity, Doubt, ElsewhereManifest, Fitness, LogPosition, Place,
    PodManifest,
};
use crate::manifest::PodId;
use crate::plan::{Action, AddLearner, HostRef, PromoteLearner, StartComponent};

/// The first of three control-plane nodes, after it was changed.
fn host(look: Look) -> HostView {
    let mut look = look;
    if let Answer::Ok(etcd) = &mut look.etcd {
        let urls = &mut etcd.target.client_urls;
        urls.push("https://10.0.0.1:2379".into());
    }
    let host = HostRef {
        node: "cp-1".into(),
        address: Some("10.0.0.1".into()),
        etcd: None,
    };
    HostView { host, look }
}

fn healthy() -> Look {
    crate::doctor::fixtures::healthy()
}

/// Two of three are gone.
fn lost() -> Look {
    healthy().down(None).data(whole()).alone()
}

fn recovering(taking_part: TakingPart, alive: &[&str]) -> Recovering {
    Recovering {
        token: "t".into(),
        from: None,
        manifests: vec![Some(String::new())],
        unreachable: Vec::new(),
        alive_elsewhere: alive.iter().map(|&one| one.to_owned()).collect(),
        taking_part,
    }
}

fn restoring(taking_part: TakingPart, without: &[&str]) -> Restoring {
    Restoring {
        snapshot: SnapshotFacts {
            sha256: "0".into(),
            bytes: 1,
            revision: 5000,
            members: Vec::new(),
            peer_urls: BTreeSet::new(),
            taken: None,
        },
        name: "etcd.db".into(),
        token: "t".into(),
        identity: ClusterIdentity::default(),
        databases: Vec::new(),
        another_cluster: false,
        without: without.iter().map(|&one| one.to_owned()).collect(),
        alive_elsewhere: Vec::new(),
        taking_part,
    }
}

fn titles(preview: &PlanPreview) -> Vec<&str> {
    let stages = preview.plan.stages.iter();
    stages.map(|stage| stage.title.as_str()).collect()
}

/// It was stopped by `manifest stop`.
fn stopped(mut look: Look) -> Look {
    if let Answer::Ok(found) = &mut look.manifests {
        let gone = [ControlPlane::Etcd, ControlPlane::Apiserver];
        let is_gone = |pod: &PodManifest| pod.component.is_some_and(|one| gone.contains(&one));
        found.pods.retain(|pod| !is_gone(pod));
        found.taken_out = gone.map(|one| archived(one, Vec::new())).into();
    }
    if let (Answer::Ok(etcd), Answer::Ok(apiserver)) = (&mut look.etcd, &mut look.apiserver) {
        etcd.place = Place::Aside;
        apiserver.place = Place::Aside;
    }
    look
}

/// A manifest that was taken out.
fn archived(component: ControlPlane, doubts: Vec<Doubt>) -> ArchivedManifest {
    ArchivedManifest {
        component: Some(component),
        pod: PodId {
            namespace: "kube-system".into(),
            name: component.to_string(),
        },
        path: format!(
            "/var/lib/kubectl-etcd/manifests/{component}.yaml-2026-11-20T210000Z.stopped"
        )
        .into(),
        named: false,
        at: Some("2026-11-20T21:00:00Z".parse().unwrap()),
        data_dir: Some("/var/lib/etcd".into()),
        last_ran: None,
        doubts,
    }
}

/// Changes what is known of manifests that would be brought back.
fn with_archived(mut look: Look, change: impl FnOnce(&mut Vec<ArchivedManifest>)) -> Look {
    if let Answer::Ok(found) = &mut look.manifests {
        change(&mut found.taken_out);
    }
    look
}

/// The manifests that a plan's steps bring back.
fn brought_back(preview: &PlanPreview) -> Vec<String> {
    let steps = preview.plan.steps();
    let manifests = steps.filter_map(|step| match &step.action {
        Action::Start(StartComponent { manifest, .. }) => manifest.as_ref(),
        _ => None,
    });
    manifests.map(|path| path.display().to_string()).collect()
}

/// The three plans that start an etcd, and its start alone.
fn plans(look: &Look) -> Vec<Result<PlanPreview, Failure>> {
    let lost = |look: Look| host(look.alone());
    let hosts = [lost(look.clone())];
    let replacing = Replacing {
        although_well: true,
        ..Replacing::default()
    };
    vec![
        recover(&hosts, &recovering(TakingPart::ThisHost, &[]), now()),
        restore(&hosts, &restoring(TakingPart::ThisHost, &[]), now()),
        replace(&host(look.clone()), &replacing, now()),
        manifest(&hosts[0], "etcd", &ManifestChange::Started, now()),
    ]
}

#[test]
fn a_manifest_that_is_brought_back_is_named_in_the_plan_and_in_its_steps() {
    let look = stopped(healthy().down(None));
    for made in plans(&look) {
        let made = made.unwrap();
        let etcd = &made.brought_back[0];
        assert_eq!(etcd.manifest.component, Some(ControlPlane::Etcd));
        let path = etcd.manifest.path.display().to_string();
        assert!(brought_back(&made).contains(&path), "{made:?}");
    }
    // One that is in the folder is started from what the plan itself took out.
    let made = recover(
        &[host(lost())],
        &recovering(TakingPart::ThisHost, &[]),
        now(),
    )
    .unwrap();
    assert_eq!((made.brought_back.len(), brought_back(&made).len()), (0, 0));
}

#[test]
fn a_manifest_that_is_not_what_ran_last_is_started_only_where_somebody_names_it() {
    let at = "2026-11-21T00:00:00Z".parse().unwrap();
    let bars = [
        Doubt::RanLater { at },
        Doubt::DataDir {
            manifest: "/var/lib/etcd".into(),
            ran: "/var/lib/etcd2".into(),
        },
        Doubt::DataAhead {
            path: "/var/lib/etcd2".into(),
            at,
        },
        Doubt::WrittenLater {
            path: "/var/lib/etcd".into(),
            at,
        },
        Doubt::ForceNewCluster { manifest: true },
        Doubt::Image {
            manifest: "etcd:1".into(),
            ran: "etcd:2".into(),
        },
    ];
    for doubt in bars {
        let told = doubt.to_string();
        let look = stopped(healthy().down(None));
        let look = with_archived(look, |all| all[0].doubts = vec![doubt]);
        for made in plans(&look) {
            let refused = made.unwrap_err();
            assert_eq!(refused.kind, FailureKind::Refused);
            assert!(refused.message.contains(&told), "{refused}");
            assert!(
                refused.message.contains("of 2026-11-20T21:00:00Z"),
                "{refused}"
            );
            let hint = refused.hint.unwrap().written();
            assert!(
                hint.contains("{+manifest=/var/lib/kubectl-etcd/manifests/etcd.yaml-2026"),
                "{hint}"
            );
        }
        let named = with_archived(look, |all| all[0].named = true);
        for made in plans(&named) {
            let made = made.unwrap();
            assert_eq!(made.brought_back[0].manifest.doubts.len(), 1);
        }
    }
    // A flag is shown, and so is what may be a copy; they bar nothing.
    let flag = Doubt::Flag {
        name: "quota-backend-bytes".into(),
        manifest: None,
        ran: Some("6".into()),
    };
    let newer = Doubt::NewerData {
        path: "/var/lib/etcd.bak".into(),
        at,
    };
    let look = with_archived(stopped(healthy().down(None)), |all| {
        all[0].doubts = vec![flag, newer];
    });
    assert!(plans(&look).into_iter().all(|made| made.is_ok()));
}

#[test]
fn an_etcd_without_any_manifest_is_refused_with_where_one_may_be() {
    let mut look = with_archived(stopped(healthy().down(None)), Vec::clear);
    look.etcd = Answer::Failed(Failure::missing("no manifest of etcd"));
    look.apiserver = Answer::Failed(Failure::missing("none"));
    for made in plans(&look) {
        let refused = made.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(refused.message.contains("no manifest of etcd"), "{refused}");
        assert!(refused.hint.unwrap().written().contains("{+manifest=FILE}"));
    }
    if let Answer::Ok(found) = &mut look.manifests {
        found.elsewhere = vec![ElsewhereManifest {
            component: ControlPlane::Etcd,
            path: "/root/etcd.yaml".into(),
            modified: None,
        }];
    }
    let mut etcd = healthy().etcd;
    if let Answer::Ok(etcd) = &mut etcd {
        etcd.place = Place::Elsewhere;
    }
    look.etcd = etcd;
    for made in plans(&look) {
        let hint = made.unwrap_err().hint.unwrap().written();
        assert!(
            hint.contains("mv -n /root/etcd.yaml /etc/kubernetes/manifests/"),
            "{hint}"
        );
    }
}

#[test]
fn what_is_stopped_is_not_changed_and_what_is_in_the_folder_is_not_started() {
    let change = ManifestChange::Changed(Vec::new());
    let stopped = host(stopped(healthy().down(None)));
    let refused = manifest(&stopped, "etcd", &change, now()).unwrap_err();
    assert!(
        refused
            .hint
            .unwrap()
            .written()
            .contains("{start-component etcd}")
    );
    let refused = manifest(&host(healthy()), "etcd", &ManifestChange::Started, now()).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
}

#[test]
fn a_changed_manifest_of_etcd_tells_that_the_apiserver_stops_and_that_there_is_no_quorum() {
    let fences = |look: Look, change: ManifestChange| {
        let made = manifest(&host(look), "etcd", &change, now()).unwrap();
        made.fences
    };
    let changed = || ManifestChange::Changed(Vec::new());
    let node = "cp-1".to_owned();
    let stops = || Fence::ApiserverStops {
        node: "cp-1".to_owned(),
    };
    assert_eq!(fences(healthy(), changed()), [stops()]);
    let alone = healthy().alone().leaderless();
    assert_eq!(
        fences(alone.clone(), changed()),
        [stops(), Fence::NoQuorum { node }]
    );
    assert_eq!(fences(alone, ManifestChange::Stopped), []);
}

#[test]
fn a_recovery_of_one_host_says_what_to_run_on_each_of_the_others() {
    let made = recover(
        &[host(lost())],
        &recovering(TakingPart::ThisHost, &[]),
        now(),
    )
    .unwrap();
    assert_eq!(made.refused, None);
    let others = &made.plan.other_hosts;
    let nodes: Vec<&str> = others.iter().map(|other| other.node.as_str()).collect();
    assert_eq!(nodes, ["cp-2", "cp-3"]);
    assert_eq!(
        others[0].before,
        ["{stop-component kube-apiserver}", "{stop-component etcd}"]
    );
    assert_eq!(
        others[1].after,
        ["{replace-member cp-3 +this-node-only +endpoint=https://10.0.0.1:2379}"]
    );
    assert!(made.loses_data(), "nobody knows what the others have");
    let fences: Vec<bool> = made
        .fences
        .iter()
        .map(|fence| matches!(fence, Fence::ByHand { .. }))
        .collect();
    assert_eq!(fences, [true, true]);
    assert!(made.plan.steps().all(|step| step.node == "cp-1"));
}

#[test]
fn while_nothing_was_said_of_the_others_or_one_is_alive_it_is_not_begun() {
    let refusal = |look: Look, taking_part, alive: &[&str]| {
        let what = recovering(taking_part, alive);
        recover(&[host(look)], &what, now()).unwrap().refused
    };
    let unsaid = refusal(lost(), TakingPart::Unsaid, &[]).unwrap();
    assert_eq!(unsaid.kind, FailureKind::Refused);
    assert!(unsaid.message.starts_with("cp-2, cp-3 are members"));
    let hint = unsaid.hint.unwrap().written();
    assert!(hint.contains("{+ssh}") && hint.contains("{+this-node-only}"));
    for taking_part in [TakingPart::ThisHost, TakingPart::Reached] {
        let alive = refusal(lost(), taking_part, &["cp-2: etcd answers at x"]).unwrap();
        assert!(alive.message.contains("cp-2: etcd answers at x"));
    }
    let mut single = lost().single();
    if let Answer::Ok(cold) = &mut single.cold {
        let mut data = whole();
        data.members.truncate(1);
        cold.inspection = Some(Answer::Ok(data));
    }
    assert_eq!(refusal(single, TakingPart::Unsaid, &[]), None);
}

#[test]
fn a_cluster_with_a_leader_is_not_recovered_whoever_takes_part() {
    for taking_part in [TakingPart::Unsaid, TakingPart::ThisHost] {
        let failure =
            recover(&[host(healthy())], &recovering(taking_part, &[]), now()).unwrap_err();
        assert!(failure.message.contains("the quorum is not lost"));
    }
}

#[test]
fn a_restore_on_one_host_leaves_out_by_name_or_has_the_others_join() {
    let made = |taking_part, without: &[&str]| {
        restore(&[host(lost())], &restoring(taking_part, without), now())
    };
    let alone = made(TakingPart::ThisHost, &[]).unwrap();
    assert_eq!(
        (alone.refused.is_some(), alone.plan.other_hosts.len()),
        (false, 2)
    );
    // Their etcds may serve.
    assert!(
        alone.plan.other_hosts[0].before[1]
            .written()
            .ends_with("etcd +accept-outage}")
    );
    assert!(alone.loses_data(), "nobody knows what the others have");
    let one = made(TakingPart::ThisHost, &["cp-3"]).unwrap();
    assert_eq!(one.plan.other_hosts.len(), 1);
    assert!(
        made(TakingPart::Unsaid, &["cp-3"])
            .unwrap()
            .refused
            .is_some()
    );
    let none = made(TakingPart::Unsaid, &["cp-2", "cp-3"]).unwrap();
    assert_eq!(
        (none.refused.is_some(), none.plan.other_hosts.len()),
        (false, 0)
    );
    assert!(!none.loses_data());
    let failure = made(TakingPart::Reached, &[]).unwrap_err();
    assert!(failure.hint.unwrap().written().contains("{+without=cp-2}"));
}

#[test]
fn a_member_without_a_name_goes_by_its_address() {
    let mut look = healthy().leaderless().data(whole()).alone();
    if let Answer::Ok(live) = &mut look.live
        && let Answer::Ok(list) = &mut live.members
    {
        list.members[2].name.clear();
    }
    let made = recover(&[host(look)], &recovering(TakingPart::ThisHost, &[]), now()).unwrap();
    let others: Vec<(&str, String)> = made
        .plan
        .other_hosts
        .iter()
        .map(|one| (one.node.as_str(), one.after[0].written()))
        .collect();
    let end = "+this-node-only +endpoint=https://10.0.0.1:2379";
    assert_eq!(
        others,
        [
            ("10.0.0.3", format!("{{replace-member {end}}}")),
            ("cp-2", format!("{{replace-member cp-2 {end}}}")),
        ]
    );
}

#[test]
fn members_that_the_snapshot_alone_knows_are_not_passed_by() {
    let mut look = lost();
    // As kubeadm leaves it on the first master: it names itself.
    if let Answer::Ok(etcd) = &mut look.etcd {
        etcd.initial_cluster.truncate(1);
    }
    if let Answer::Ok(cold) = &mut look.cold {
        cold.inspection = None;
    }
    let mut what = restoring(TakingPart::Reached, &[]);
    let host = [host(look)];
    assert!(
        restore(&host, &what, now()).is_ok(),
        "nobody knows of others"
    );
    what.snapshot.members = ["cp-1", "cp-2"].map(str::to_owned).to_vec();
    let failure = restore(&host, &what, now()).unwrap_err();
    assert!(failure.hint.unwrap().written().contains("{+without=cp-2}"));
    what.without.insert("cp-2".to_owned());
    assert!(restore(&host, &what, now()).is_ok());
    what.without.insert("cp-1".to_owned());
    let failure = restore(&host, &what, now()).unwrap_err();
    assert!(failure.message.contains("is one of the hosts"), "{failure}");
}

#[test]
fn a_log_that_goes_further_and_cannot_be_used_is_a_loss_of_data() {
    let at = |term, index| Some(LogPosition { term, index });
    let with = |node: &str, fitness: Fitness, reach: Option<LogPosition>| {
        let mut found = whole();
        (found.fitness, found.reach, found.wal_end) = (fitness, reach, reach);
        let mut looked = host(lost().data(found));
        node.clone_into(&mut looked.host.node);
        if let Answer::Ok(etcd) = &mut looked.look.etcd {
            node.clone_into(&mut etcd.target.member_name);
            let number = node.trim_start_matches("cp-");
            etcd.target.peer_urls = vec![format!("https://10.0.0.{number}:2380")];
        }
        looked
    };
    let made = |further: Option<LogPosition>| {
        let hosts = [
            with("cp-1", Fitness::Starts, at(5, 4000)),
            with("cp-2", Fitness::BeyondUse, further),
            with("cp-3", Fitness::BeyondUse, at(5, 4000)),
        ];
        let mut what = recovering(TakingPart::Reached, &[]);
        what.manifests = vec![Some(String::new()); 3];
        recover(&hosts, &what, now()).unwrap()
    };
    let same_term = made(at(5, 4900));
    assert_eq!(
        same_term.losses[1..],
        [Loss::FurtherLog {
            node: "cp-2".into(),
            entries: 900
        }]
    );
    assert!(same_term.loses_data() && made(at(6, 3900)).loses_data());
    // Who led in term 5 had not got these.
    let older = made(at(4, 4900));
    assert!(!older.loses_data(), "{:?}", older.losses);
}
