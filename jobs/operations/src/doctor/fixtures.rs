//! Looks for tests: a healthy control-plane node of three, and what can be broken about it.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::control_plane::ControlPlane;
use crate::failure::{Answer, Failure};
use crate::ids::{ClusterId, MemberId};
use crate::look::{
    ApiserverHealth, ApiserverManifest, CertificateLook, ColdEtcd, ContainerLook, Dates, DiskLook,
    DiskSpace, EtcdManifest, Fitness, HealthAnswer, ImageLook, InitialMember, Inspection,
    KnownFrom, KubeletLook, LiveEtcd, LockState, LogPosition, Look, Manifests, PeerLook, PeerPort,
    Place, PodContainers, PodManifest, RefusalKind, RuntimeLook, StrayKind, StrayManifest, VERSION,
};
use crate::manifest::PodId;
use crate::report::{Consistency, EndpointStatus, Member, MemberList};
use crate::runtime::{RuntimeKind, State};
use crate::target::Target;

/// The cluster's id.
pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);

/// When everything is looked at.
pub(crate) fn now() -> Timestamp {
    "2026-11-22T09:00:00Z".parse().unwrap()
}

/// Nothing answers there.
pub(crate) fn refused() -> Failure {
    Failure::unreachable("Connection refused (os error 111)")
}

pub(crate) fn member(number: u64) -> Member {
    Member {
        id: MemberId(number),
        name: format!("cp-{number}"),
        peer_urls: vec![format!("https://10.0.0.{number}:2380")],
        client_urls: vec![format!("https://10.0.0.{number}:2379")],
        is_learner: false,
    }
}

/// What a member of three answers; member 1 leads.
pub(crate) fn live(number: u64) -> LiveEtcd {
    LiveEtcd {
        status: EndpointStatus {
            endpoint: format!("https://10.0.0.{number}:2379"),
            cluster_id: CLUSTER,
            member_id: MemberId(number),
            version: "3.6.16".into(),
            storage_version: None,
            db_size_bytes: 100 << 20,
            db_in_use_bytes: Some(80 << 20),
            quota_bytes: Some(2 << 30),
            leader: Some(MemberId(1)),
            is_learner: false,
            raft_term: 5,
            raft_index: 1000,
            raft_applied_index: 1000,
            revision: 900,
            errors: Vec::new(),
            downgrade_target: None,
            took_ms: 1,
        },
        members: Answer::Ok(MemberList {
            cluster_id: CLUSTER,
            answered_by: MemberId(number),
            consistency: Consistency::Serializable,
            members: (1..=3).map(member).collect(),
        }),
    }
}

/// Another member, which answers.
pub(crate) fn peer(number: u64) -> PeerLook {
    PeerLook {
        member_id: Some(MemberId(number)),
        name: Some(format!("cp-{number}")),
        peer_urls: member(number).peer_urls,
        client_url: member(number).client_urls.pop(),
        known_from: KnownFrom::OwnMember,
        answer: Answer::Ok(live(number)),
        peer_port: None,
    }
}

/// A container that runs.
pub(crate) fn running() -> ContainerLook {
    ContainerLook {
        id: "c0ffee".into(),
        pod_uid: "u".into(),
        attempt: 0,
        state: State::Running,
        exit_code: None,
        reason: None,
        created_at: None,
        started_at: None,
        finished_at: None,
        log: "/var/log/pods/x/0.log".into(),
        last_words: None,
        last_lines: Vec::new(),
    }
}

/// A container that ended with these words.
pub(crate) fn ended(words: &str) -> ContainerLook {
    ContainerLook {
        state: State::Exited,
        attempt: 4,
        exit_code: Some(2),
        last_words: Some(words.to_owned()),
        ..running()
    }
}

/// What a data directory says that etcd starts from.
pub(crate) fn whole() -> Inspection {
    let end = LogPosition {
        term: 5,
        index: 1000,
    };
    Inspection {
        fitness: Fitness::Starts,
        refusal: None,
        why: None,
        losses: Vec::new(),
        findings: Vec::new(),
        cluster_id: Some(CLUSTER),
        member_id: Some(MemberId(1)),
        members: Vec::new(),
        members_agree: true,
        reach: Some(end),
        wal_end: Some(end),
        database: Some(end),
        commit: Some(1000),
        revision: Some(900),
        db_bytes: Some(100 << 20),
        db_modified: None,
        cluster_version: Some("3.6.0".into()),
        database_whole: true,
        database_checked: true,
    }
}

/// One that etcd does not start from.
pub(crate) fn broken(refusal: RefusalKind, reach: Option<LogPosition>) -> Inspection {
    Inspection {
        fitness: match reach {
            Some(_) => Fitness::RestoreFrom,
            None => Fitness::BeyondUse,
        },
        refusal: Some(refusal),
        why: Some("page 8812 is damaged".into()),
        reach,
        database_whole: false,
        ..whole()
    }
}

fn pod(component: ControlPlane) -> PodManifest {
    PodManifest {
        path: format!("/etc/kubernetes/manifests/{component}.yaml").into(),
        sha256: "0".into(),
        component: Some(component),
        pod: PodId {
            namespace: "kube-system".into(),
            name: component.to_string(),
        },
        images: vec![format!("registry.k8s.io/{component}:1")],
        other_etcd: false,
        keys_twice: Vec::new(),
    }
}

/// The first of three control-plane nodes, on which nothing is wrong.
pub(crate) fn healthy() -> Look {
    let url = "https://127.0.0.1:6443".to_owned();
    let ok = || {
        Answer::Ok(HealthAnswer {
            status: 200,
            failing: Vec::new(),
        })
    };
    let data_dir = PathBuf::from("/var/lib/etcd");
    Look {
        version: VERSION,
        at: now(),
        node: Answer::Ok("cp-1".into()),
        lost_folder: None,
        manifests: Answer::Ok(Manifests {
            folder: "/etc/kubernetes/manifests".into(),
            pods: ControlPlane::ALL.map(pod).into(),
            strays: Vec::new(),
            unfinished: Vec::new(),
            aside: Answer::Ok(Vec::new()),
            taken_out: Vec::new(),
            elsewhere: Vec::new(),
            etcd_data: Vec::new(),
            outdated: Vec::new(),
            etcd_is_external: false,
            etcd_is_no_pod: false,
        }),
        etcd: Answer::Ok(EtcdManifest {
            manifest: "/etc/kubernetes/manifests/etcd.yaml".into(),
            place: Place::Folder,
            pod: "etcd".into(),
            target: Target {
                node: "cp-1".into(),
                pod: "etcd-cp-1".into(),
                member_name: "cp-1".into(),
                client_urls: vec!["https://127.0.0.1:2379".into()],
                peer_urls: member(1).peer_urls,
                tls: None,
                data_dir: data_dir.clone(),
                wal_dir: None,
                quota_bytes: None,
                image: None,
            },
            initial_cluster: (1..=3)
                .map(|number| InitialMember {
                    name: format!("cp-{number}"),
                    peer_url: format!("https://10.0.0.{number}:2380"),
                })
                .collect(),
            initial_cluster_state: None,
            initial_cluster_token: None,
            force_new_cluster: false,
        }),
        apiserver: Answer::Ok(ApiserverManifest {
            manifest: "/etc/kubernetes/manifests/kube-apiserver.yaml".into(),
            place: Place::Folder,
            etcd_servers: vec!["https://127.0.0.1:2379".into()],
            etcd_prefix: None,
            client_ca: None,
            url: url.clone(),
        }),
        kubelet: KubeletLook {
            active: Answer::Ok(true),
            last_errors: Answer::Ok(Vec::new()),
        },
        runtime_kind: RuntimeKind::Containerd,
        runtime: Answer::Ok(RuntimeLook {
            socket: "/run/containerd/containerd.sock".into(),
            pods: ControlPlane::ALL
                .map(|component| PodContainers {
                    component,
                    pod: pod(component).pod,
                    containers: Answer::Ok(vec![running()]),
                    last_ran: None,
                })
                .into(),
            images: vec![ImageLook {
                name: "registry.k8s.io/etcd:1".into(),
                wanted_by: vec!["etcd".into()],
                present: Answer::Ok(true),
            }],
        }),
        live: Answer::Ok(live(1)),
        peer_port: Answer::Ok(PeerPort {
            url: "https://10.0.0.1:2380".into(),
            cluster_id: CLUSTER,
            members: (1..=3).map(member).collect(),
        }),
        peers: Answer::Ok(vec![peer(2), peer(3)]),
        cold: Answer::Ok(ColdEtcd {
            wal_dir: data_dir.join("member/wal"),
            data_dir,
            exists: true,
            lock: LockState::Held { by: None },
            inspection: None,
        }),
        listeners: Answer::Ok(Vec::new()),
        put_aside: Answer::Ok(Vec::new()),
        certificates: vec![CertificateLook {
            path: "/etc/kubernetes/pki/etcd/server.crt".into(),
            named_by: vec!["etcd".into()],
            dates: Answer::Ok(Dates {
                not_before: "2026-06-01T00:00:00Z".parse().unwrap(),
                not_after: "2027-06-01T00:00:00Z".parse().unwrap(),
            }),
        }],
        disks: vec![DiskLook {
            path: "/var/lib/etcd".into(),
            space: Answer::Ok(DiskSpace {
                size_bytes: 100 << 30,
                free_bytes: 50 << 30,
                inodes: 1_000_000,
                free_inodes: 900_000,
            }),
        }],
        own_apiserver: Answer::Ok(ApiserverHealth {
            url,
            livez: ok(),
            readyz: ok(),
        }),
        plan: Answer::Ok(None),
        control_plane_files: true,
    }
}

impl Look {
    /// The own member does not run; its last container said this.
    pub(crate) fn down(mut self, words: Option<&str>) -> Self {
        self.live = Answer::Failed(refused());
        self.peer_port = Answer::Failed(refused());
        self.own_apiserver = Answer::Failed(refused());
        if let (Answer::Ok(runtime), Some(words)) = (&mut self.runtime, words) {
            runtime.pods[0].containers = Answer::Ok(vec![ended(words)]);
        }
        if let Answer::Ok(cold) = &mut self.cold {
            cold.lock = LockState::Free;
            cold.inspection = Some(Answer::Ok(whole()));
        }
        self
    }

    /// With this in the data directory.
    pub(crate) fn data(mut self, inspection: Inspection) -> Self {
        if let Answer::Ok(cold) = &mut self.cold {
            cold.inspection = Some(Answer::Ok(inspection));
        }
        self
    }

    /// The others do not answer.
    pub(crate) fn alone(mut self) -> Self {
        if let Answer::Ok(peers) = &mut self.peers {
            for peer in peers {
                peer.answer = Answer::Failed(refused());
                peer.peer_port = Some(Answer::Failed(refused()));
            }
        }
        self
    }

    /// It is the only member there is.
    pub(crate) fn single(mut self) -> Self {
        self.peers = Answer::Ok(Vec::new());
        if let Answer::Ok(etcd) = &mut self.etcd {
            etcd.initial_cluster.truncate(1);
        }
        self
    }

    /// It runs and knows of no leader.
    pub(crate) fn leaderless(mut self) -> Self {
        if let Answer::Ok(live) = &mut self.live {
            live.status.leader = None;
        }
        self
    }

    /// With a copy of etcd's manifest beside it.
    pub(crate) fn stray(mut self) -> Self {
        if let Answer::Ok(manifests) = &mut self.manifests {
            manifests.strays.push(StrayManifest {
                path: "/etc/kubernetes/manifests/etcd.yaml.bak".into(),
                kind: StrayKind::Copy,
                of: Some("/etc/kubernetes/manifests/etcd.yaml".into()),
                component: Some(ControlPlane::Etcd),
                problem: "it is a copy".into(),
            });
        }
        self
    }
}
