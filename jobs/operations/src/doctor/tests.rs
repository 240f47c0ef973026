//! Tests: from looks to situations.

use super::fixtures::*;
use super::*;
use crate::control_plane::ControlPlane;
use crate::failure::{Failure, FailureKind};
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
            .map(|one| one.next.command.to_string())
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

#[test]
fn nothing_is_wrong_with_a_healthy_host() {
    let found = diagnose(&[healthy()], now());
    assert_eq!((found.situations, found.unseen), (vec![], vec![]));
    let seen: Vec<&str> = found.in_order.iter().map(|one| one.text.as_str()).collect();
    for expected in [
        "all 3 members answer",
        "kubelet runs",
        "kube-apiserver answers",
    ] {
        assert!(seen.iter().any(|text| text.contains(expected)), "{seen:#?}");
    }
}

#[test]
fn each_situation_is_told_with_its_command() {
    use SituationKind as K;
    let empty = || Inspection {
        fitness: Fitness::Empty,
        reach: None,
        cluster_id: None,
        member_id: None,
        ..whole()
    };
    let cases: Vec<(&str, Look, Vec<SituationKind>, &str)> = vec![
        (
            "the database of one member is damaged",
            healthy()
                .down(Some(DB))
                .data(broken(RefusalKind::DatabaseDamaged, None)),
            vec![K::DatabaseDamaged],
            "{replace-member cp-1}",
        ),
        (
            "only its words tell, as its lock is taken again",
            change(|look| {
                *look = healthy().down(Some(DB));
                if let Answer::Ok(cold) = &mut look.cold {
                    cold.lock = LockState::Held { by: None };
                    cold.inspection = None;
                }
            }),
            vec![K::DatabaseDamaged],
            "{replace-member cp-1}",
        ),
        (
            "the WAL of one member is damaged",
            healthy()
                .down(Some("panic: tocommit(506) is out of range"))
                .data(broken(RefusalKind::WalDamaged, reach())),
            vec![K::WalDamaged],
            "{replace-member cp-1}",
        ),
        (
            "the disk of one member was emptied while its etcd ran",
            healthy()
                .down(Some("panic: tocommit(1000) is out of range [lastIndex(0)]"))
                .data(new_log()),
            vec![K::DataBehind],
            "{replace-member cp-1}",
        ),
        (
            "the same, and its words are lost",
            healthy().down(None).data(new_log()),
            vec![K::DataBehind],
            "{replace-member cp-1}",
        ),
        (
            "a member has lost the end of its log",
            healthy().down(Some(
                "panic: tocommit(1000) is out of range [lastIndex(990)]",
            )),
            vec![K::DataBehind],
            "{replace-member cp-1}",
        ),
        (
            "a new member has not joined",
            healthy()
                .down(Some(
                    "discovery failed: cannot fetch cluster info from peer urls",
                ))
                .data(broken(RefusalKind::NeverJoined, None)),
            vec![K::NotJoined],
            "{replace-member cp-1}",
        ),
        (
            "the data of one member is gone",
            healthy()
                .down(Some(
                    "discovery failed: member cp-1 has already been bootstrapped",
                ))
                .data(empty()),
            vec![K::DataMissing],
            "{replace-member cp-1}",
        ),
        (
            "the only member's database is damaged",
            healthy()
                .down(Some(DB))
                .data(broken(RefusalKind::DatabaseDamaged, None))
                .single(),
            vec![K::DatabaseDamaged],
            "{restore FILE}",
        ),
        (
            "the only member's WAL is damaged, its database can be used",
            healthy()
                .down(Some(DB))
                .data(broken(RefusalKind::WalDamaged, reach()))
                .single(),
            vec![K::WalDamaged],
            "{recover}",
        ),
        (
            "a member is damaged, and the others do not answer",
            healthy()
                .down(Some(DB))
                .data(broken(RefusalKind::DatabaseDamaged, None))
                .alone(),
            vec![K::QuorumLost, K::DatabaseDamaged],
            "{recover +ssh}",
        ),
        (
            "the others are off",
            healthy().leaderless().alone(),
            vec![K::QuorumLost],
            "{recover +ssh}",
        ),
        (
            "the others are off, and this one has seen no leader since its start",
            change(|look| {
                *look = healthy().alone();
                look.live = Answer::Failed(refused());
            }),
            vec![K::QuorumLost],
            "{recover +ssh}",
        ),
        (
            "no leader is elected",
            change(|look| {
                *look = healthy().leaderless();
                if let Answer::Ok(peers) = &mut look.peers {
                    for peer in peers {
                        if let Answer::Ok(live) = &mut peer.answer {
                            live.status.leader = None;
                        }
                    }
                }
            }),
            vec![K::NoLeader],
            "{diagnose}",
        ),
        (
            "another member does not answer",
            change(|look| {
                if let Answer::Ok(peers) = &mut look.peers {
                    peers[1].answer = Answer::Failed(refused());
                    peers[1].peer_port = Some(Answer::Failed(refused()));
                }
            }),
            vec![K::MemberSilent],
            "{diagnose}",
        ),
        (
            "it was removed from the cluster",
            change(|look| {
                *look = healthy().down(Some(
                    "server error: the member has been permanently removed from the cluster",
                ));
                if let Answer::Ok(peers) = &mut look.peers {
                    for peer in peers {
                        let Answer::Ok(live) = &mut peer.answer else {
                            continue;
                        };
                        let Answer::Ok(list) = &mut live.members else {
                            continue;
                        };
                        list.members.remove(0);
                    }
                }
            }),
            vec![K::MemberRemoved],
            "{replace-member cp-1}",
        ),
        (
            "the others were recovered without it",
            change(|look| {
                *look = healthy().leaderless();
                if let Answer::Ok(peers) = &mut look.peers {
                    for peer in peers {
                        let Answer::Ok(live) = &mut peer.answer else {
                            continue;
                        };
                        live.status.cluster_id = ClusterId(0xc2);
                    }
                }
            }),
            vec![K::MemberRemoved],
            "{replace-member cp-1}",
        ),
        (
            "two clusters work",
            change(|look| {
                if let Answer::Ok(peers) = &mut look.peers {
                    for peer in peers {
                        let Answer::Ok(live) = &mut peer.answer else {
                            continue;
                        };
                        live.status.cluster_id = ClusterId(0xc2);
                    }
                }
            }),
            vec![K::TwoClusters],
            "{stop-component kube-apiserver}",
        ),
        (
            "the apiserver's manifest was moved somewhere",
            change(|look| {
                if let Answer::Ok(found) = &mut look.manifests {
                    let gone = Some(crate::control_plane::ControlPlane::Apiserver);
                    found.pods.retain(|pod| pod.component != gone);
                }
            }),
            vec![K::ComponentStopped],
            "find / -xdev -name 'kube-apiserver*.yaml*'",
        ),
        (
            "the port is taken",
            healthy().down(Some(
                "listen failed: listen tcp 127.0.0.1:2379: bind: address already in use",
            )),
            vec![K::PortTaken],
            "ss -ltnp",
        ),
        (
            "the flags do not fit",
            healthy().down(Some(
                "discovery failed: error validating peerURLs: member count is unequal",
            )),
            vec![K::WrongInitialCluster],
            "{compare-manifest etcd}",
        ),
        (
            "the disk is full",
            change(|look| {
                if let Answer::Ok(space) = &mut look.disks[0].space {
                    space.free_bytes = 0;
                }
            }),
            vec![K::DiskFull],
            "du -xh --max-depth=2 /var/lib/etcd | sort -h | tail -20",
        ),
        (
            "the disk is nearly full",
            change(|look| {
                if let Answer::Ok(space) = &mut look.disks[0].space {
                    space.free_inodes = 900;
                }
            }),
            vec![K::DiskLow],
            "du -xh --max-depth=2 /var/lib/etcd | sort -h | tail -20",
        ),
        (
            "a stray manifest",
            healthy().stray(),
            vec![K::StrayManifest],
            "mkdir -p -m 700 /var/lib/kubectl-etcd/manifests && mv -n /etc/kubernetes/manifests/etcd.yaml.bak /var/lib/kubectl-etcd/manifests/ && systemctl restart kubelet",
        ),
        (
            "kubelet does not run",
            change(|look| look.kubelet.active = Answer::Ok(false)),
            vec![K::KubeletDown],
            "systemctl restart kubelet",
        ),
        (
            "kubelet does not run, and so etcd does not",
            change(|look| {
                *look = healthy().down(None);
                look.kubelet.active = Answer::Ok(false);
            }),
            vec![K::KubeletDown],
            "systemctl restart kubelet",
        ),
        (
            "the runtime does not answer",
            change(|look| {
                *look = healthy().down(None);
                look.runtime = Answer::Failed(refused());
            }),
            vec![K::RuntimeDown],
            "systemctl restart containerd",
        ),
        (
            "an image is not there",
            change(|look| {
                *look = healthy().down(None);
                if let Answer::Ok(runtime) = &mut look.runtime {
                    runtime.images[0].present = Answer::Ok(false);
                }
            }),
            vec![K::ImageMissing],
            "{pull-images}",
        ),
        (
            "a certificate has expired",
            change(|look| {
                if let Answer::Ok(dates) = &mut look.certificates[0].dates {
                    dates.not_after = "2026-11-21T00:00:00Z".parse().unwrap();
                }
            }),
            vec![K::CertificateExpired],
            "kubeadm certs renew all",
        ),
        (
            "a certificate expires soon",
            change(|look| {
                if let Answer::Ok(dates) = &mut look.certificates[0].dates {
                    dates.not_after = "2026-12-01T00:00:00Z".parse().unwrap();
                }
            }),
            vec![K::CertificateSoon],
            "kubeadm certs renew all",
        ),
        (
            "a certificate is not there",
            change(|look| look.certificates[0].dates = Answer::Failed(refused())),
            vec![K::CertificateMissing],
            "kubeadm init phase certs all",
        ),
        (
            "etcd was stopped",
            change(|look| {
                *look = healthy().down(None);
                if let Answer::Ok(etcd) = &mut look.etcd {
                    etcd.place = Place::Aside;
                }
                if let Answer::Ok(manifests) = &mut look.manifests {
                    manifests.pods.remove(0);
                    manifests.taken_out = vec![archived(Vec::new())];
                }
            }),
            vec![K::ComponentStopped],
            "{start-component etcd}",
        ),
        (
            "what is archived is not what ran last",
            change(|look| {
                *look = healthy().down(None);
                if let Answer::Ok(etcd) = &mut look.etcd {
                    etcd.place = Place::Aside;
                }
                if let Answer::Ok(manifests) = &mut look.manifests {
                    manifests.pods.remove(0);
                    let at = "2026-11-21T00:00:00Z".parse().unwrap();
                    manifests.taken_out = vec![archived(vec![Doubt::RanLater { at }])];
                }
            }),
            vec![K::ComponentStopped],
            "{start-component etcd +manifest=FILE}",
        ),
        (
            "etcd's manifest was moved away",
            change(|look| {
                *look = healthy().down(None);
                if let Answer::Ok(etcd) = &mut look.etcd {
                    etcd.place = Place::Elsewhere;
                }
                if let Answer::Ok(manifests) = &mut look.manifests {
                    manifests.pods.remove(0);
                    manifests.elsewhere = vec![ElsewhereManifest {
                        component: ControlPlane::Etcd,
                        path: "/root/etcd.yaml".into(),
                        modified: None,
                    }];
                }
            }),
            vec![K::NoEtcdManifest],
            "mv -n /root/etcd.yaml /etc/kubernetes/manifests/",
        ),
        (
            "etcd's manifest is nowhere",
            change(|look| {
                *look = healthy().down(None);
                look.etcd = Answer::Failed(Failure::new(FailureKind::Missing, "none"));
                if let Answer::Ok(manifests) = &mut look.manifests {
                    manifests.pods.remove(0);
                }
            }),
            vec![K::NoEtcdManifest],
            "kubeadm init phase etcd local --config FILE",
        ),
        (
            "kubelet's folder was renamed",
            change(|look| {
                *look = healthy().down(None).single();
                if let Answer::Ok(etcd) = &mut look.etcd {
                    etcd.place = Place::Elsewhere;
                }
                let gone = Failure::new(FailureKind::Missing, "the folder is not there");
                look.manifests = Answer::Failed(gone);
                look.lost_folder = Some(LostFolder {
                    folder: "/etc/kubernetes/manifests".into(),
                    stand_in: Some("/a".into()),
                });
            }),
            vec![K::FolderMissing],
            "mv -T /a /etc/kubernetes/manifests",
        ),
        (
            "kubelet has not started it",
            change(|look| {
                *look = healthy().down(None);
                if let Answer::Ok(runtime) = &mut look.runtime {
                    runtime.pods[0].containers = Answer::Ok(Vec::new());
                }
            }),
            vec![K::EtcdDown],
            "systemctl restart kubelet",
        ),
        (
            "it hangs",
            change(|look| {
                *look = healthy().down(None);
                if let Answer::Ok(cold) = &mut look.cold {
                    let program = Some("etcd".to_owned());
                    cold.lock = LockState::Held {
                        by: Some(Holder { pid: 7, program }),
                    };
                    cold.inspection = None;
                }
            }),
            vec![K::EtcdDown],
            "crictl logs --tail 50 c0ffee",
        ),
        (
            "the apiserver ended while etcd was away",
            change(|look| {
                look.own_apiserver = Answer::Failed(refused());
                if let Answer::Ok(runtime) = &mut look.runtime {
                    let words = "Error creating leases: error creating storage factory: context deadline exceeded";
                    runtime.pods[1].containers = Answer::Ok(vec![ended(words)]);
                }
            }),
            vec![K::ApiserverDown],
            "systemctl restart kubelet",
        ),
        (
            "the scheduler does not run",
            change(|look| {
                if let Answer::Ok(runtime) = &mut look.runtime {
                    runtime.pods[3].containers =
                        Answer::Ok(vec![ended("\"command failed\" err=\"x\"")]);
                }
            }),
            vec![K::ControllerDown],
            "crictl logs --tail 50 c0ffee",
        ),
        (
            "the flag of a recovery was left",
            change(|look| {
                if let Answer::Ok(etcd) = &mut look.etcd {
                    etcd.force_new_cluster = true;
                }
            }),
            vec![K::ForceNewCluster],
            "{unset-flag etcd force-new-cluster}",
        ),
        (
            "a learner",
            change(|look| {
                if let Answer::Ok(live) = &mut look.live {
                    live.status.is_learner = true;
                }
            }),
            vec![K::Learner],
            "{promote-member cp-1}",
        ),
        (
            "a plan was not ended, and the rest is its doing",
            change(|look| {
                look.plan = Answer::Ok(Some(UnfinishedPlan { id: "p1".into() }));
                look.kubelet.active = Answer::Ok(false);
            }),
            vec![K::UnfinishedPlan, K::KubeletDown],
            "{resume-plan}",
        ),
    ];
    for (name, look, kinds, command) in cases {
        let (found_kinds, found_command) = found(look);
        assert_eq!(found_kinds, kinds, "{name}");
        assert_eq!(found_command, command, "{name}");
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
        let failure = Failure::new(FailureKind::Missing, "no systemd here");
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

fn found_of_words(look: Look, words: &str) -> (Vec<SituationKind>, String) {
    let inspection = super::cluster::inspection(&look).unwrap().clone();
    found(look.down(Some(words)).data(inspection))
}

#[test]
fn a_host_without_a_manifest_of_etcd_is_told_of_its_data_and_of_old_copies() {
    let mut look = healthy().down(None).single();
    look.etcd = Answer::Failed(Failure::new(FailureKind::Missing, "none"));
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
        look.etcd = Answer::Failed(Failure::new(FailureKind::Missing, "none"));
        look
    };
    let without_folder = |mut look: Look| {
        look.manifests = Answer::Failed(Failure::new(FailureKind::Missing, "gone"));
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
        let none = || Failure::new(FailureKind::Missing, "none");
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
    look.etcd = Answer::Failed(Failure::new(FailureKind::Refused, "several run etcd"));
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
    let failure = || Failure::new(FailureKind::Missing, "no folder");
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
    let summary = &found.situations[0].summary;
    assert!(summary.contains("has never started"), "{summary}");
}

#[test]
fn kinds_are_words_and_new_ones_can_be_read() {
    let word = serde_json::to_string(&SituationKind::QuorumLost).unwrap();
    assert_eq!(word, "\"quorum-lost\"");
    let read: SituationKind = serde_json::from_str("\"of-tomorrow\"").unwrap();
    assert_eq!(read, SituationKind::Unknown);
}
