//! What manifests, other etcds and several hosts make of a diagnosis.

use super::*;

#[test]
fn a_host_without_a_manifest_of_etcd_is_told_of_its_data_and_of_old_copies() {
    let mut look = healthy().down(None).single();
    look.etcd = Answer::Failed(Failure::missing("none"));
    if let Answer::Ok(manifests) = &mut look.manifests {
        manifests.pods.remove(0);
        manifests.outdated = vec![OutdatedManifest {
            component: ControlPlane::Etcd,
            path: "/kept/etcd.yaml.returned".into(),
        }];
        manifests.etcd_data = vec![DataFolder {
            path: "/var/lib/etcd-new".into(),
            modified: "2026-11-20T21:00:00Z".parse().unwrap(),
        }];
    }
    let found = diagnose(&[look], now());
    let mut situations = found.situations.iter();
    let none = situations.find(|one| one.kind == SituationKind::NoEtcdManifest);
    let evidence = none.unwrap().evidence.iter();
    let evidence: Vec<_> = evidence.map(|one| one.text.as_str()).collect();
    assert_eq!(
        evidence,
        [
            "/etc/kubernetes/manifests has none, and the archived /kept/etcd.yaml.returned is older than what ran last",
            "data of an etcd is in /var/lib/etcd-new, last written 2026-11-20T21:00:00Z",
        ]
    );
}

#[test]
fn a_manifest_that_gives_a_key_twice_is_told_and_counts() {
    let look = change(|look| {
        if let Answer::Ok(manifests) = &mut look.manifests {
            manifests.pods[0].keys_twice = vec!["metadata.labels.a b'c".to_owned()];
        }
    });
    let (kinds, next) = found(look);
    assert_eq!(kinds, [SituationKind::KeyTwice]);
    assert_eq!(
        next,
        "grep -nF \"a b'c:\" /etc/kubernetes/manifests/etcd.yaml"
    );
}

#[test]
fn a_lone_etcd_without_a_manifest_is_lost_and_one_of_three_is_not() {
    let severity = |look: Look| {
        let found = diagnose(&[look], now());
        let kinds = [SituationKind::NoEtcdManifest, SituationKind::FolderMissing];
        let mut of_kind = found
            .situations
            .iter()
            .filter(|one| kinds.contains(&one.kind));
        of_kind.next().unwrap().severity
    };
    let missing = |mut look: Look| {
        if let Answer::Ok(manifests) = &mut look.manifests {
            manifests.pods.remove(0);
        }
        look.etcd = Answer::Failed(Failure::missing("none"));
        look
    };
    let without_folder = |mut look: Look| {
        look.manifests = Answer::Failed(Failure::missing("gone"));
        look
    };
    assert_eq!(
        severity(missing(healthy().down(None).single())),
        Severity::Lost
    );
    assert_eq!(severity(missing(healthy().down(None))), Severity::Degraded);
    assert_eq!(
        severity(without_folder(healthy().down(None).single())),
        Severity::Lost
    );
    // Where the apiserver works, nothing is lost yet.
    let ready = healthy().own_apiserver;
    let mut works = missing(healthy().down(None).single());
    works.own_apiserver = ready;
    assert_eq!(
        severity(works),
        Severity::Degraded,
        "the container runs still"
    );
    // An etcd of other hosts needs no manifest here.
    let mut external = missing(healthy().down(None).single());
    if let Answer::Ok(manifests) = &mut external.manifests {
        manifests.etcd_is_external = true;
    }
    let found = diagnose(&[external], now());
    let kinds: Vec<SituationKind> = found.situations.iter().map(|one| one.kind).collect();
    assert!(!kinds.contains(&SituationKind::NoEtcdManifest), "{kinds:?}");
}

#[test]
fn an_etcd_of_systemd_or_docker_on_a_master_needs_no_manifest() {
    let without = |listens: bool, ready: bool| {
        let mut look = match ready {
            true => healthy(),
            false => healthy().down(None),
        };
        let none = || Failure::missing("none");
        look.etcd = Answer::Failed(none());
        look.live = Answer::Failed(none());
        look.peer_port = Answer::Failed(none());
        look.peers = Answer::Failed(none());
        if let Answer::Ok(manifests) = &mut look.manifests {
            manifests.pods.remove(0);
            manifests.etcd_is_no_pod = listens;
        }
        if let Answer::Ok(runtime) = &mut look.runtime {
            runtime.pods.remove(0);
        }
        let found = diagnose(&[look], now());
        let kinds: Vec<SituationKind> = found.situations.iter().map(|one| one.kind).collect();
        let told = found
            .in_order
            .iter()
            .any(|one| one.text.contains("not as a static pod"));
        let unseen = found.unseen.iter().any(|one| one.what == "etcd");
        (kinds.contains(&SituationKind::NoEtcdManifest), told, unseen)
    };
    assert_eq!(without(true, true), (false, true, false));
    assert_eq!(without(true, false), (false, true, false));
    assert_eq!(without(false, true), (false, false, true));
    assert_eq!(without(false, false), (true, false, false));
}

#[test]
fn another_etcd_is_told_and_which_one_is_meant_is_asked() {
    let other = |name: &str| PodManifest {
        path: format!("/etc/kubernetes/manifests/{name}.yaml").into(),
        sha256: "0".into(),
        component: None,
        pod: PodId {
            namespace: "kube-system".into(),
            name: name.into(),
        },
        images: Vec::new(),
        keys_twice: Vec::new(),
        other_etcd: true,
    };
    let mut look = healthy();
    if let Answer::Ok(manifests) = &mut look.manifests {
        manifests.pods.push(other("etcd-events"));
    }
    let found = diagnose(&[look], now());
    let told = "/etc/kubernetes/manifests/etcd-events.yaml runs another etcd (etcd-events): it is left alone";
    assert!(found.in_order.iter().any(|one| one.text == told));
    assert_eq!(found.situations, []);

    let mut look = healthy();
    look.etcd = Answer::Failed(Failure::refused("several run etcd"));
    if let Answer::Ok(manifests) = &mut look.manifests {
        manifests.pods = vec![other("etcd-a"), other("etcd-b")];
    }
    let found = diagnose(&[look], now());
    let which = &found.situations[0];
    assert_eq!(which.kind, SituationKind::WhichEtcd);
    assert_eq!(which.next.command, "{diagnose +etcd=etcd-a}");
}

#[test]
fn evidence_names_data_ending_and_words() {
    let look = healthy()
        .down(Some(DB))
        .data(broken(RefusalKind::DatabaseDamaged, None));
    let found = diagnose(&[look], now());
    let text: Vec<&str> = found.situations[0]
        .evidence
        .iter()
        .map(|one| one.text.as_str())
        .collect();
    assert!(text[0].contains("page 8812 is damaged"), "{text:#?}");
    assert!(
        text[1].contains("exit code 2") && text[1].contains("4 times"),
        "{text:#?}"
    );
    assert!(text[2].contains("Page expected to be"), "{text:#?}");
    assert!(text[3].contains("the others hold the quorum"), "{text:#?}");
    assert_eq!(found.severity(), Some(Severity::Lost));
}

#[test]
fn looks_at_several_hosts_are_one_cluster() {
    let other = |number: u64| {
        change(|look| {
            look.node = Answer::Ok(format!("cp-{number}"));
            if let Answer::Ok(etcd) = &mut look.etcd {
                etcd.target.member_name = format!("cp-{number}");
                etcd.target.peer_urls = member(number).peer_urls;
            }
            look.live = Answer::Ok(live(number));
            let others = (1..=3).filter(|one| *one != number);
            look.peers = Answer::Ok(others.map(peer).collect());
        })
    };
    let found = diagnose(&[healthy(), other(2), other(3)], now());
    assert_eq!(found.situations, []);

    let off = |number: u64| {
        let mut look = other(number).down(None).alone();
        if let Answer::Ok(runtime) = &mut look.runtime {
            runtime.pods[0].containers = Answer::Ok(Vec::new());
        }
        look
    };
    let found = diagnose(&[healthy().leaderless().alone(), off(2), off(3)], now());
    let kinds: Vec<SituationKind> = found.situations.iter().map(|one| one.kind).collect();
    use SituationKind as K;
    assert_eq!(kinds, [K::QuorumLost, K::EtcdDown, K::EtcdDown]);
    let lost = &found.situations[0];
    assert!(lost.summary.contains("1 of 3 members run, 2 are needed"));
    let silent: Vec<&str> = lost.evidence.iter().map(|one| one.node.as_str()).collect();
    assert_eq!(silent.len(), 3, "one line of each member: {silent:?}");
}

#[test]
fn a_host_of_which_nothing_is_known_makes_nothing_up() {
    let failure = || Failure::missing("no folder");
    let look = change(|look| {
        look.control_plane_files = false;
        look.apiserver = Answer::Failed(failure());
        look.manifests = Answer::Failed(failure());
        look.etcd = Answer::Failed(failure());
        look.runtime = Answer::Failed(failure());
        look.live = Answer::Failed(failure());
        look.peer_port = Answer::Failed(failure());
        look.peers = Answer::Failed(failure());
        look.own_apiserver = Answer::Failed(failure());
    });
    let found = diagnose(&[look], now());
    assert_eq!(found.situations, []);
    assert!(found.unseen.iter().any(|one| one.what == "etcd's manifest"));
}

#[test]
fn an_unknown_member_of_the_manifest_alone_is_no_member() {
    let look = change(|look| {
        if let Answer::Ok(peers) = &mut look.peers {
            let mut gone = peer(4);
            gone.answer = Answer::Failed(refused());
            gone.member_id = None;
            peers.push(gone);
        }
    });
    assert_eq!(found(look).0, []);
    // One that was added and has not started announces nothing.
    let look = change(|look| {
        if let Answer::Ok(live) = &mut look.live
            && let Answer::Ok(list) = &mut live.members
        {
            let mut new = crate::report::Member {
                name: String::new(),
                is_learner: true,
                ..member(4)
            };
            new.client_urls.clear();
            list.members.push(new);
        }
        if let Answer::Ok(peers) = &mut look.peers {
            let mut new = peer(4);
            new.client_url = None;
            new.name = None;
            new.member_id = Some(MemberId(4));
            new.answer = Answer::Failed(refused());
            peers.push(new);
        }
    });
    let found = diagnose(&[look], now());
    let situation = &found.situations[0];
    let (summary, next) = (&situation.summary, &situation.next);
    assert!(summary.contains("has never started"), "{summary}");
    assert_eq!(next.command, "{remove-member 4}");
    let note = next.note.as_ref().unwrap().written();
    assert!(note.contains("no vote"), "{note}");
}

#[test]
fn kinds_are_words_and_new_ones_can_be_read() {
    let word = serde_json::to_string(&SituationKind::QuorumLost).unwrap();
    assert_eq!(word, "\"quorum-lost\"");
    let read: SituationKind = serde_json::from_str("\"of-tomorrow\"").unwrap();
    assert_eq!(read, SituationKind::Unknown);
}

#[test]
fn a_plan_that_was_not_ended_is_resumed_from_where_several_hosts_were_looked_at() {
    let begun = || {
        let mut look = healthy();
        look.plan = Answer::Ok(Some(UnfinishedPlan { id: "p1".into() }));
        look
    };
    let next = |looks: &[Look]| diagnose(looks, now()).situations[0].next.clone();
    let one = next(&[begun()]);
    assert_eq!(one.command, "{resume-plan}");
    assert!(one.on.is_some());
    let several = next(&[begun(), begun()]);
    assert_eq!(several.command, "{resume-plan p1 +ssh}");
    assert_eq!(several.on, None);
}
