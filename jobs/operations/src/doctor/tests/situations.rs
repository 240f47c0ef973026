//! Every situation, with the command that it is told with.

use super::*;
use crate::runtime::RuntimeKind;

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
            "CRI-O does not answer",
            change(|look| {
                *look = healthy().down(None);
                look.runtime = Answer::Failed(refused());
                look.runtime_kind = RuntimeKind::Crio;
            }),
            vec![K::RuntimeDown],
            "systemctl restart crio",
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
                look.etcd = Answer::Failed(Failure::missing("none"));
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
                let gone = Failure::missing("the folder is not there");
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
