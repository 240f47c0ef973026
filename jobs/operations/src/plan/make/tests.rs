//! Tests: plans of one host alone, from what was found on it.

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
            let hint = refused.hint.unwrap().to_string();
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
    look.etcd = Answer::Failed(Failure::new(FailureKind::Missing, "no manifest of etcd"));
    look.apiserver = Answer::Failed(Failure::new(FailureKind::Missing, "none"));
    for made in plans(&look) {
        let refused = made.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(refused.message.contains("no manifest of etcd"), "{refused}");
        assert!(
            refused
                .hint
                .unwrap()
                .to_string()
                .contains("{+manifest=FILE}")
        );
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
        let hint = made.unwrap_err().hint.unwrap().to_string();
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
            .to_string()
            .contains("{start-component etcd}")
    );
    let refused = manifest(&host(healthy()), "etcd", &ManifestChange::Started, now()).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
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
    let hint = unsaid.hint.unwrap().to_string();
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
            .to_string()
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
    assert!(
        failure
            .hint
            .unwrap()
            .to_string()
            .contains("{+without=cp-2}")
    );
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
        .map(|one| (one.node.as_str(), one.after[0].to_string()))
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
    assert!(
        failure
            .hint
            .unwrap()
            .to_string()
            .contains("{+without=cp-2}")
    );
    what.without.insert("cp-2".to_owned());
    assert!(restore(&host, &what, now()).is_ok());
    what.without.insert("cp-1".to_owned());
    let failure = restore(&host, &what, now()).unwrap_err();
    assert!(failure.message.contains("takes part"), "{failure}");
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

/// What a member of the cluster answers that was made anew on cp-3, which alone is in it.
fn anew() -> crate::look::PeerLook {
    let mut answered = live(3);
    answered.status.cluster_id = ClusterId(0xc2);
    answered.status.member_id = MemberId(33);
    answered.status.leader = Some(MemberId(33));
    if let Answer::Ok(list) = &mut answered.members {
        list.members.retain(|member| member.name == "cp-3");
        list.members[0].id = MemberId(33);
        list.cluster_id = ClusterId(0xc2);
    }
    crate::look::PeerLook {
        answer: Answer::Ok(answered),
        ..peer(3)
    }
}

fn with_peers(peers: Vec<crate::look::PeerLook>) -> HostView {
    let mut look = stopped(lost());
    look.peers = Answer::Ok(peers);
    host(look)
}

fn initial_cluster(preview: &PlanPreview) -> String {
    let edits = preview.plan.steps().find_map(|step| match &step.action {
        Action::Start(StartComponent { edits, .. }) if !edits.is_empty() => Some(edits.clone()),
        _ => None,
    });
    let edits: Vec<String> = edits.unwrap().iter().map(ToString::to_string).collect();
    edits.join(" ")
}

#[test]
fn a_host_that_was_stopped_joins_a_cluster_that_was_made_anew() {
    let down = crate::look::PeerLook {
        answer: Answer::Failed(refused()),
        ..peer(2)
    };
    let host = with_peers(vec![down, anew()]);
    let made = replace(&host, &Replacing::default(), now()).unwrap();
    let titles = titles(&made);
    // Nothing runs that would have to be stopped, and nobody is removed.
    assert_eq!(titles[0], "move the old data of cp-1 aside");
    assert!(titles.contains(&"add cp-1 as a learner") && titles.contains(&"promote cp-1"));
    assert!(titles.contains(&"start kube-apiserver"), "{titles:?}");
    assert_eq!(
        titles.last(),
        Some(&"start kube-controller-manager, kube-scheduler anew")
    );
    let set = initial_cluster(&made);
    assert!(
        set.contains("cp-3=https://10.0.0.3:2380,cp-1=https://10.0.0.1:2380"),
        "{set}"
    );
    assert!(!set.contains("cp-2"), "{set}");
    let asked: BTreeSet<String> = made
        .plan
        .steps()
        .filter_map(|step| match &step.action {
            Action::AddLearner(AddLearner { target, .. })
            | Action::Promote(PromoteLearner { target, .. }) => Some(target.client_urls.join(",")),
            _ => None,
        })
        .collect();
    assert_eq!(
        asked.into_iter().collect::<Vec<_>>(),
        ["https://10.0.0.3:2379"]
    );
}

#[test]
fn of_two_clusters_that_answer_one_is_named() {
    let mut old = peer(2);
    old.client_url = Some("https://10.0.0.2:2379".into());
    let host = with_peers(vec![old, anew()]);
    let failure = replace(&host, &Replacing::default(), now()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.hint.unwrap().to_string().contains("+endpoint"));
    let at = |url: &str| {
        let what = Replacing {
            endpoint: Some(url.to_owned()),
            ..Replacing::default()
        };
        replace(&host, &what, now())
    };
    let made = at("https://10.0.0.3:2379").unwrap();
    assert!(titles(&made).contains(&"add cp-1 as a learner"));
    // Of the old cluster of three only one is left.
    let failure = at("https://10.0.0.2:2379").unwrap_err();
    assert!(failure.message.contains("2 are needed"), "{failure}");
    let failure = at("https://10.0.0.1:2379").unwrap_err();
    assert!(failure.message.contains("this host's own"), "{failure}");
}

#[test]
fn a_named_endpoint_that_is_known_by_its_url_alone_counts_by_its_id() {
    let given = crate::look::PeerLook {
        member_id: None,
        name: None,
        peer_urls: Vec::new(),
        ..anew()
    };
    let what = Replacing {
        endpoint: given.client_url.clone(),
        ..Replacing::default()
    };
    assert!(replace(&with_peers(vec![given.clone()]), &what, now()).is_ok());
    let silent = crate::look::PeerLook {
        answer: Answer::Failed(refused()),
        ..given
    };
    let failure = replace(&with_peers(vec![silent, anew()]), &what, now()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
}

#[test]
fn what_a_member_serves_in_another_cluster_is_a_loss_and_what_it_cannot_serve_is_none() {
    let what = Replacing {
        although_well: true,
        endpoint: anew().client_url,
        ..Replacing::default()
    };
    let made = |mut look: Look| {
        look.peers = Answer::Ok(vec![anew()]);
        replace(&host(look), &what, now()).unwrap()
    };
    let elsewhere = made(healthy());
    assert!(
        matches!(
            elsewhere.losses[..],
            [Loss::OtherCluster { revision: 900, .. }]
        ),
        "{:?}",
        elsewhere.losses
    );
    assert!(elsewhere.loses_data());
    assert_eq!(made(healthy().leaderless()).losses, []);
    assert_eq!(made(healthy().down(None)).losses, []);
    let own = Replacing {
        although_well: true,
        ..Replacing::default()
    };
    assert_eq!(replace(&host(healthy()), &own, now()).unwrap().losses, []);
}

#[test]
fn a_manifest_that_cannot_be_changed_is_refused_before_the_member_is_removed() {
    let host = host(healthy().down(None));
    let with = |manifest: &str| {
        let what = Replacing {
            manifest: Some(manifest.to_owned()),
            ..Replacing::default()
        };
        replace(&host, &what, now())
    };
    assert!(
        with(include_str!(
            "../../../tests/manifests/kubeadm-1.36-etcd.yaml"
        ))
        .is_ok()
    );
    let failure = with("kind: Pod\nkind: Pod\n").unwrap_err();
    assert!(failure.message.starts_with("cp-1: "), "{failure}");
}

#[test]
fn a_machine_that_was_set_up_anew_is_for_kubeadm() {
    let mut look = healthy();
    look.etcd = Answer::Failed(Failure::new(FailureKind::Missing, "no manifest"));
    // It has nothing to run yet.
    look.kubelet.active = Answer::Ok(false);
    let failure = replace(&host(look), &Replacing::default(), now()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    let hint = failure.hint.unwrap().to_string();
    assert!(hint.contains("{remove-member cp-1}"), "{hint}");
}

#[test]
fn a_member_of_the_cluster_is_removed_first_and_its_controllers_go_on() {
    let host = host(healthy().down(None));
    let made = replace(&host, &Replacing::default(), now()).unwrap();
    let titles = titles(&made);
    assert_eq!(titles[..2], ["stop kube-apiserver", "stop etcd"]);
    assert!(titles.contains(&"remove the old member cp-1"));
    assert_eq!(titles.last(), Some(&"start kube-apiserver"));
}

#[test]
fn stopping_a_member_costs_no_quorum_that_is_lost_already() {
    let losses = |look: Look| {
        manifest(&host(look), "etcd", &ManifestChange::Stopped, now())
            .unwrap()
            .losses
    };
    assert_eq!(losses(healthy()), [], "the others hold it");
    assert_eq!(losses(healthy().alone()), [Loss::Outage]);
    assert_eq!(losses(healthy().leaderless().alone()), []);
    // An election brings a leader.
    let mut election = healthy().leaderless();
    if let Answer::Ok(peers) = &mut election.peers {
        peers.pop();
        if let Answer::Ok(answered) = &mut peers[0].answer {
            answered.status.leader = None;
        }
    }
    assert_eq!(losses(election), [Loss::Outage]);
}

#[test]
fn agreed_to_is_the_same_work_with_no_other_kind_of_loss() {
    let on = |taking_part| {
        let what = recovering(taking_part, &[]);
        recover(&[host(lost())], &what, now()).unwrap()
    };
    let agreed = on(TakingPart::ThisHost);
    assert!(agreed.is_as_agreed(&agreed));
    let mut less = agreed.clone();
    less.losses.clear();
    assert!(less.is_as_agreed(&agreed));
    assert!(!agreed.is_as_agreed(&less), "a loss that nobody has seen");
    let mut other = agreed.clone();
    other.plan.stages.pop();
    assert!(!other.is_as_agreed(&agreed));
    let mut elsewhere = agreed.clone();
    elsewhere.plan.stages[0].steps[0].node = "cp-2".to_owned();
    assert!(!elsewhere.is_as_agreed(&agreed));
}

#[test]
fn an_etcd_that_does_not_get_over_its_log_is_not_run_on_a_copy_of_it() {
    let made = |words: Option<&str>| {
        let look = healthy().down(words).data(whole()).alone();
        recover(&[host(look)], &recovering(TakingPart::ThisHost, &[]), now()).unwrap()
    };
    let runs_alone = |made: &PlanPreview| {
        let mut steps = made.plan.steps();
        steps.any(|step| matches!(step.action, Action::RunAlone(_)))
    };
    assert!(runs_alone(&made(None)));
    let made = made(Some("panic: unexpected removal of unknown remote peer"));
    assert!(!runs_alone(&made));
    let beyond = |loss: &Loss| matches!(loss, Loss::LogBeyondDatabase { .. });
    assert!(made.losses.iter().any(beyond), "{:?}", made.losses);
}

#[test]
fn a_log_that_is_not_got_over_counts_as_far_as_its_database() {
    let data = |database, end| {
        let at = |index| Some(LogPosition { term: 3, index });
        let mut data = whole();
        (data.database, data.wal_end, data.reach) = (at(database), at(end), at(end));
        data
    };
    let panics = Some("panic: unexpected removal of unknown remote peer");
    let first = host(healthy().down(panics).data(data(100, 200)).alone());
    let mut second = host(healthy().down(None).data(data(100, 150)).alone());
    second.host.node = "cp-2".into();
    let hosts = [first, second];
    let what = Recovering {
        manifests: vec![Some(String::new()); 2],
        ..recovering(TakingPart::Reached, &[])
    };
    let made = recover(&hosts, &what, now()).unwrap();
    let best = made.found.iter().find(|one| one.best).unwrap();
    assert_eq!(best.node, "cp-2");
    let further = |loss: &Loss| matches!(loss, Loss::FurtherLog { entries: 50, .. });
    assert!(made.losses.iter().any(further), "{:?}", made.losses);
}
