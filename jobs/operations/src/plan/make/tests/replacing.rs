//! A member that is replaced, and what a change of one member costs.

use super::*;
use crate::failure::FailureKind;

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
    assert!(failure.hint.unwrap().written().contains("+endpoint"));
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
            "../../../../tests/manifests/kubeadm-1.36-etcd.yaml"
        ))
        .is_ok()
    );
    let failure = with("kind: Pod\nkind: Pod\n").unwrap_err();
    assert!(failure.message.starts_with("cp-1: "), "{failure}");
}

#[test]
fn a_machine_that_was_set_up_anew_is_for_kubeadm() {
    let mut look = healthy();
    look.etcd = Answer::Failed(Failure::missing("no manifest"));
    // It has nothing to run yet.
    look.kubelet.active = Answer::Ok(false);
    let failure = replace(&host(look), &Replacing::default(), now()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    let hint = failure.hint.unwrap().written();
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
