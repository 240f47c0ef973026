//! What can be known of this host while nothing is changed: what is planned from, and what a diagnosis is made of.
//!
//! Each part stands for itself. A part that cannot be looked at says why and takes nothing from the others, and each has a
//! time limit of its own: where something hangs, the rest is still told.

mod apiserver;
mod archived;
#[cfg(test)]
mod archived_tests;
mod certificates;
mod cold;
mod containers;
mod disks;
mod kubelet;
mod live;
mod locks;
mod manifests;
mod moved_aside;
mod read;
mod since;
#[cfg(test)]
mod since_tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::join;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::control_plane::ControlPlane;
use crate::failure::{Answer, Failure, FailureKind};
use crate::kubelet::{manifests_folder, node_name, runtime_socket};
use crate::limits::{APISERVER_LOOK_LIMIT, PEERS_LOOK_LIMIT, RUNTIME_LOOK_LIMIT};
use crate::local;
pub use crate::manifest::Place;
use crate::manifest::{Manifest, Selection, stand_in};
use crate::ports;
use crate::runtime::RuntimeKind;
use crate::static_pod::StaticPod;
use crate::work::Events;

pub use apiserver::{ApiserverHealth, HealthAnswer};
pub use archived::{ArchivedManifest, DataFolder, Doubt, LastRan};
pub use certificates::{CertificateLook, Dates};
pub use cold::{ColdEtcd, ColdMember, Fitness, Inspection, LockState, RefusalKind};
pub use containers::{ContainerLook, ImageLook, PodContainers, RuntimeLook};
pub use disks::{DiskLook, DiskSpace};
pub use etcd_datadir::raft::LogPosition;
pub use kubelet::KubeletLook;
pub use live::{KnownFrom, Listener, LiveEtcd, PeerLook, PeerPort};
pub use locks::Holder;
pub use manifests::{
    ApiserverManifest, AsideManifest, ElsewhereManifest, EtcdManifest, InitialMember, InitialState,
    Manifests, OutdatedManifest, PodManifest, StrayKind, StrayManifest,
};
pub use moved_aside::{PutAside, UnfinishedPlan};
pub use since::{Changes, ClusterIdentity, ETCD_PREFIX, KindChanges, Since, since};

use live::{Asking, KnownMember};

/// The version of [`Look`]. Within one, fields may be added, and a reader passes by what it does not know.
pub const VERSION: u32 = 1;

/// How far to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LookOptions {
    /// Whether all of the database is read where no etcd runs on it (seconds for each GB). Else damage in it is not seen.
    pub check_database: bool,
    /// The client URL of a member that is asked besides those that this host knows, and before them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl LookOptions {
    /// No database is read.
    pub const WITHOUT_DATABASES: Self = Self {
        check_database: false,
        endpoint: None,
    };
}

impl Default for LookOptions {
    fn default() -> Self {
        Self {
            check_database: true,
            endpoint: None,
        }
    }
}

/// The static pods' folder of a host that has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LostFolder {
    /// Where kubelet looks for it.
    pub folder: PathBuf,
    /// The folder that has the manifests instead: it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<PathBuf>,
}

/// A host as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// [`VERSION`] of who looked.
    pub version: u32,
    /// When the look was begun, by this host's clock.
    pub at: Timestamp,
    /// The node's name, as kubelet registers it.
    pub node: Answer<String>,
    /// The static pods' folder, and what was taken out of it.
    pub manifests: Answer<Manifests>,
    /// The static pods' folder where it is not there; none: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_folder: Option<LostFolder>,
    /// What etcd's manifest says. One that was stopped is found where manifests are moved aside ([`Place`]).
    pub etcd: Answer<EtcdManifest>,
    /// What the apiserver's manifest says, found in the same way.
    pub apiserver: Answer<ApiserverManifest>,
    /// kubelet.
    pub kubelet: KubeletLook,
    /// The container runtime, the control plane's containers and images.
    pub runtime: Answer<RuntimeLook>,
    /// Which runtime that is, or would be.
    #[serde(default)]
    pub runtime_kind: RuntimeKind,
    /// What this host's own member answers to clients. One that has seen no leader since it was started answers none.
    pub live: Answer<LiveEtcd>,
    /// What it answers to peers, which it does without a leader too.
    pub peer_port: Answer<PeerPort>,
    /// What the other members answer, asked from here. They are known from the own member's list, else from the data
    /// directory, else from the manifest.
    pub peers: Answer<Vec<PeerLook>>,
    /// etcd's data directory. It is read only when no etcd runs on it.
    pub cold: Answer<ColdEtcd>,
    /// Who listens where etcd shall.
    pub listeners: Answer<Vec<Listener>>,
    /// Data that was moved aside beside the data directory or in it, the newest first.
    pub put_aside: Answer<Vec<PutAside>>,
    /// The certificates that the manifests in the folder and kubelet name, in the order of their paths.
    pub certificates: Vec<CertificateLook>,
    /// The file systems of the data directory and of `/var/lib`, each once.
    pub disks: Vec<DiskLook>,
    /// What this host's own apiserver says of itself.
    pub own_apiserver: Answer<ApiserverHealth>,
    /// A plan on this host that was begun and not ended; none: there is none.
    pub plan: Answer<Option<UnfinishedPlan>>,
    /// Whether files are here that only a control-plane node has, whatever became of its manifests.
    #[serde(default)]
    pub control_plane_files: bool,
}

/// Whether a manifest there says that this is a control-plane node: one that lies around somewhere does not.
fn is_evidence(place: Place) -> bool {
    match place {
        Place::Folder | Place::Aside | Place::Named => true,
        Place::Elsewhere => false,
    }
}

impl Look {
    /// The node's name, or what stands for it.
    pub fn name(&self) -> &str {
        self.node.ok().map_or("this host", String::as_str)
    }

    /// Whether it is a control-plane node: a component of a control plane has a manifest here, or had one, or the files of one
    /// are here.
    pub fn is_control_plane(&self) -> bool {
        let pods = self.manifests.ok().map(|found| found.pods.as_slice());
        let component = |pod: &PodManifest| pod.component.is_some();
        let etcd = self.etcd.ok().map(|etcd| etcd.place);
        let apiserver = self.apiserver.ok().map(|apiserver| apiserver.place);
        self.control_plane_files
            || [etcd, apiserver].into_iter().flatten().any(is_evidence)
            || pods.unwrap_or_default().iter().any(component)
    }

    /// Names and peer URLs of the members that this host knows: by its etcd, else by its data, and by its manifest only where
    /// there is neither. A name that is not told is empty.
    pub fn known_members(&self) -> Vec<(String, Vec<String>)> {
        if let Some(list) = self.live.ok().and_then(|live| live.members.ok()) {
            let members = list.members.iter();
            return members
                .map(|one| (one.name.clone(), one.peer_urls.clone()))
                .collect();
        }
        let cold = self
            .cold
            .ok()
            .and_then(|cold| cold.inspection.as_ref()?.ok());
        let cold = cold
            .map(|found| found.members.as_slice())
            .unwrap_or_default();
        if !cold.is_empty() {
            let name = |name: &Option<String>| name.clone().unwrap_or_default();
            return cold
                .iter()
                .map(|one| (name(&one.name), one.peer_urls.clone()))
                .collect();
        }
        let manifest = self.etcd.ok().map(|etcd| etcd.initial_cluster.as_slice());
        let members = manifest.unwrap_or_default().iter();
        members
            .map(|one| (one.name.clone(), vec![one.peer_url.clone()]))
            .collect()
    }

    /// The names of the members that are not on this host, as far as they are told.
    pub fn other_members(&self) -> Vec<String> {
        let peers = self.peers.ok().map(Vec::as_slice).unwrap_or_default();
        peers.iter().filter_map(|peer| peer.name.clone()).collect()
    }
}

/// What etcd's manifest on a host says: in the static pods' folder, else the newest that was stopped.
///
/// # Errors
/// [`FailureKind::Missing`] when there is none, or it does not tell what is needed.
pub(crate) fn etcd_manifest(root: &Path, selection: &Selection) -> Result<EtcdManifest, Failure> {
    let node = node_name(root)?;
    read::read(root, &manifests_folder(root), selection)?.etcd(&node)
}

/// Whether a host is a control-plane node, as [`Look::is_control_plane`]: a component that was stopped counts.
pub fn is_control_plane(root: &Path) -> bool {
    let nothing = Selection::default();
    let read = read::read(root, &manifests_folder(root), &nothing);
    let by_manifests = || {
        read.is_ok_and(|read| {
            let mut all = ControlPlane::ALL.into_iter();
            all.any(|component| {
                let found = read.of(component);
                found.is_some_and(|found| is_evidence(found.place))
            })
        })
    };
    local::has_control_plane_files(root) || by_manifests()
}

/// Looks at the host whose file system is found at `root`, which is `/` on the host itself. Nothing is changed.
///
/// It ends within seconds, but for the reading of a database on which no etcd runs (see [`LookOptions`]); of that progress
/// is told. Dropped, it stops reading.
pub async fn look(
    root: &Path,
    selection: &Selection,
    options: &LookOptions,
    events: &mut Events<'_>,
) -> Look {
    let at = Timestamp::now();
    let node = node_name(root);
    let name = node.clone().unwrap_or_default();
    let (mut read, lost) = read_manifests(root, selection);
    let read_or = || read.as_ref().map_err(Clone::clone);
    let etcd = read_or().and_then(|read| read.etcd(&name));
    let apiserver = read_or().and_then(|read| read.apiserver(root));

    let runtime = async {
        let asked = containers::look(root, read_or()?, &name);
        bounded(RUNTIME_LOOK_LIMIT, "the container runtime", asked).await
    };
    let own_apiserver = async {
        let url = &apiserver.as_ref().map_err(Clone::clone)?.url;
        let asked = Box::pin(apiserver::look(url));
        bounded(APISERVER_LOOK_LIMIT, "the apiserver", asked).await
    };
    let etcd_parts = async {
        let (etcd, read) = match (&etcd, &read) {
            (Ok(etcd), Ok(read)) => (etcd, read),
            (Err(failure), _) | (_, Err(failure)) => return EtcdParts::none(failure),
        };
        Box::pin(look_at_etcd(root, etcd, read, options, events)).await
    };
    let (runtime, own_apiserver, kubelet, parts) =
        join!(runtime, own_apiserver, kubelet::look(), etcd_parts);

    if let Ok(read) = &mut read {
        read.compare(root, |component| runtime.as_ref().ok()?.last_ran(component));
    }
    let data_dir = etcd.as_ref().ok().map(|etcd| etcd.target.data_dir.clone());
    let data_dir = data_dir.as_deref().into_iter();
    let disks: Vec<&Path> = data_dir.chain([Path::new("/var/lib")]).collect();
    let pods = read.as_ref().map(|read| read.pods()).unwrap_or_default();
    Look {
        version: VERSION,
        at,
        disks: disks::look(root, &disks),
        certificates: certificates::look(root, &name, pods),
        plan: moved_aside::plan(root).into(),
        control_plane_files: local::has_control_plane_files(root),
        node: node.into(),
        kubelet,
        runtime: runtime.into(),
        runtime_kind: RuntimeKind::of_host(runtime_socket(root).as_deref()),
        own_apiserver: own_apiserver.into(),
        live: parts.live,
        peer_port: parts.peer_port,
        peers: parts.peers,
        cold: parts.cold,
        listeners: parts.listeners,
        put_aside: parts.put_aside,
        manifests: match &lost {
            Some((why, _)) => Answer::Failed(why.clone()),
            None => read.map(|read| read.told).into(),
        },
        lost_folder: lost.map(|(_, folder)| folder),
        etcd: etcd.into(),
        apiserver: apiserver.into(),
    }
}

/// The manifests of a host. Where their folder is not there, those of the folder that stands in for it, and why it is not.
fn read_manifests(
    root: &Path,
    selection: &Selection,
) -> (Result<read::Read, Failure>, Option<(Failure, LostFolder)>) {
    let folder = manifests_folder(root);
    let why = match read::read(root, &folder, selection) {
        Err(failure) if failure.kind == FailureKind::Missing => failure,
        read => return (read, None),
    };
    let stand_in = stand_in(root, &folder);
    let read = match &stand_in {
        Some(other) => read::read_elsewhere(root, other, selection),
        None => Err(why.clone()),
    };
    (read, Some((why, LostFolder { folder, stand_in })))
}

/// The parts of a look that need to know which etcd it is.
struct EtcdParts {
    live: Answer<LiveEtcd>,
    peer_port: Answer<PeerPort>,
    peers: Answer<Vec<PeerLook>>,
    cold: Answer<ColdEtcd>,
    listeners: Answer<Vec<Listener>>,
    put_aside: Answer<Vec<PutAside>>,
}

impl EtcdParts {
    fn none(failure: &Failure) -> Self {
        Self {
            live: Answer::Failed(failure.clone()),
            peer_port: Answer::Failed(failure.clone()),
            peers: Answer::Failed(failure.clone()),
            cold: Answer::Failed(failure.clone()),
            listeners: Answer::Failed(failure.clone()),
            put_aside: Answer::Failed(failure.clone()),
        }
    }
}

async fn look_at_etcd(
    root: &Path,
    etcd: &EtcdManifest,
    read: &read::Read,
    options: &LookOptions,
    events: &mut Events<'_>,
) -> EtcdParts {
    let target = etcd.target.below(root);
    let asking = Asking::with(target.clone(), read.peer_files(root));
    let (live, peer_port, cold) = join!(
        asking.own(),
        asking.own_peer_port(),
        cold::look(&target, options.check_database, events)
    );
    let inspection = cold.as_ref().ok().and_then(|cold| cold.inspection.as_ref());
    let given = options.endpoint.as_deref().map(KnownMember::at);
    let known = KnownMember::all(
        live.as_ref().ok(),
        peer_port.as_ref().ok(),
        inspection.and_then(Answer::ok),
        etcd,
    );
    let known = given.into_iter().chain(known).collect();
    let peers = async { Ok(asking.others(known).await) };
    let peers = within(PEERS_LOOK_LIMIT, "the other members", peers).await;
    EtcdParts {
        live: live.into(),
        peer_port: peer_port.into(),
        peers,
        cold: cold.into(),
        listeners: listeners(read, &etcd.target.node).into(),
        put_aside: moved_aside::data(root, &etcd.target.data_dir).into(),
    }
}

/// Who listens where etcd shall.
fn listeners(read: &read::Read, node: &str) -> Result<Vec<Listener>, Failure> {
    let found = read.of(ControlPlane::Etcd);
    let manifest: Option<&Manifest> = found.as_ref().map(|found| &found.file.manifest);
    let Some(manifest) = manifest else {
        return Ok(Vec::new());
    };
    let pod = StaticPod::of(manifest, ControlPlane::Etcd.name(), node)?;
    let listening =
        ports::listening().map_err(|error| Failure::other(format!("the ports: {error}")))?;
    let listener = |address: &std::net::SocketAddr| Listener {
        address: *address,
        taken: ports::is_taken(&listening, *address),
    };
    Ok(pod.listens.iter().map(listener).collect())
}

/// Waits for an answer, at most so long.
async fn bounded<T>(
    limit: Duration,
    who: &str,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, answer).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        let message = format!("{who} did not answer within {seconds} s");
        Err(Failure::unreachable(message))
    })
}

/// The same, as an answer.
async fn within<T>(
    limit: Duration,
    who: &str,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Answer<T> {
    bounded(limit, who, answer).await.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETCD: &str = include_str!("../tests/manifests/kubeadm-1.36-etcd.yaml");
    const PODS: &str = "etc/kubernetes/manifests";

    async fn looked(files: &[(&str, &str)]) -> Look {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (nothing, options) = (Selection::default(), LookOptions::default());
        Box::pin(look(root.path(), &nothing, &options, &mut |_| {})).await
    }

    #[tokio::test]
    async fn a_host_that_is_no_control_plane_node_is_looked_at_all_the_same() {
        let found = looked(&[]).await;
        assert_eq!(found.name(), "this host");
        assert!(found.manifests.failure().is_some() && found.cold.failure().is_some());
        assert_eq!(found.plan.ok(), Some(&None));
        assert_eq!(found.disks.len(), 1);
    }

    #[tokio::test]
    async fn a_host_whose_folder_was_renamed_is_looked_at_all_the_same() {
        for renamed in ["etc/kubernetes/manifests.bak", "root/manifests"] {
            let text = ETCD.replace("10.0.0.1", "127.0.0.7");
            let found = looked(&[
                (&format!("{renamed}/etcd.yaml"), &text),
                ("proc/sys/kernel/hostname", "cp-1\n"),
                ("var/lib/etcd/lost+found", ""),
            ])
            .await;
            assert!(found.is_control_plane(), "{renamed}");
            assert!(found.etcd.ok().is_some() && found.cold.ok().unwrap().exists);
            let diagnosis = crate::doctor::diagnose(&[found], Timestamp::now());
            let mut situations = diagnosis.situations.iter();
            let is_it = |kind| kind == crate::doctor::SituationKind::FolderMissing;
            let lost = situations.find(|one| is_it(one.kind)).unwrap();
            assert_eq!(lost.severity, crate::doctor::Severity::Lost);
            assert_eq!(
                lost.next.command.written(),
                format!("mv -T /{renamed} /etc/kubernetes/manifests")
            );
        }
    }

    #[tokio::test]
    async fn a_look_can_be_sent_and_says_what_is_there() {
        let here = "127.0.0.7";
        let text = ETCD.replace("10.0.0.1", here);
        let found = looked(&[
            (&format!("{PODS}/etcd.yaml"), &text),
            ("proc/sys/kernel/hostname", "cp-1\n"),
            ("var/lib/etcd/lost+found", ""),
        ])
        .await;
        let etcd = found.etcd.ok().unwrap();
        assert_eq!((etcd.place, found.name()), (Place::Folder, "cp-1"));
        let cold = found.cold.ok().unwrap();
        assert!(cold.exists && cold.lock == LockState::NoDatabase);
        let inspection = cold.inspection.as_ref().unwrap().ok().unwrap();
        assert_eq!(inspection.fitness, Fitness::Empty);
        assert!(found.live.failure().is_some(), "nothing runs");
        assert!(!found.listeners.ok().unwrap().is_empty());
        let sent = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Look>(&sent).unwrap(), found);
    }
}
