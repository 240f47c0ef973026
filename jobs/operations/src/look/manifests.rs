//! The static pods' folder, what was moved aside from it, and what etcd's and the apiserver's manifests say.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ArchivedManifest, DataFolder};
use crate::control_plane::ControlPlane;
use crate::failure::Answer;
use crate::manifest::{Place, PodId, Why};
use crate::target::Target;

/// The static pods' folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifests {
    /// Where it is.
    pub folder: PathBuf,
    /// The pods, in the order of their files; of each pod one file.
    pub pods: Vec<PodManifest>,
    /// Files that kubelet reads too and that do no good.
    pub strays: Vec<StrayManifest>,
    /// What a run of this program left that was ended while it wrote.
    pub unfinished: Vec<PathBuf>,
    /// What was moved aside, in the order of names, and so of times for each manifest.
    pub aside: Answer<Vec<AsideManifest>>,
    /// What would be brought back of pods that are not in the folder: the last that was taken out, or what somebody has
    /// named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_out: Vec<ArchivedManifest>,
    /// Manifests of components that have none in the folder, where kubelet does not look; the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<ElsewhereManifest>,
    /// Where there is data of an etcd, if it has no manifest that could be started; the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub etcd_data: Vec<DataFolder>,
    /// Copies of components without a manifest that are history: something else ran since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outdated: Vec<OutdatedManifest>,
    /// Whether the apiserver uses an etcd of other hosts.
    #[serde(default)]
    pub etcd_is_external: bool,
    /// Whether no manifest runs the etcd that the apiserver uses, and somebody listens on this host where it shall be.
    #[serde(default)]
    pub etcd_is_no_pod: bool,
}

impl Manifests {
    /// The pod of a component.
    pub fn of(&self, component: ControlPlane) -> Option<&PodManifest> {
        self.pods
            .iter()
            .find(|pod| pod.component == Some(component))
    }

    /// What would be brought back of a component: what somebody has named, else what was taken out last.
    pub fn archived(&self, component: ControlPlane) -> Option<&ArchivedManifest> {
        let of = |one: &&ArchivedManifest| one.component == Some(component);
        let mut all = self.taken_out.iter().filter(of);
        let named = all.clone().find(|one| one.named);
        named.or_else(|| all.next())
    }

    /// Manifests of a component where kubelet does not look, the newest first.
    pub fn elsewhere(&self, component: ControlPlane) -> impl Iterator<Item = &ElsewhereManifest> {
        let of = move |one: &&ElsewhereManifest| one.component == component;
        self.elsewhere.iter().filter(of)
    }

    /// The newest copy of a component without a manifest, if it is history.
    pub(crate) fn outdated(&self, component: ControlPlane) -> Option<&OutdatedManifest> {
        let mut all = self.outdated.iter();
        all.find(|one| one.component == component)
    }

    /// That there is no manifest of a component: neither in the folder nor to be brought back.
    pub(crate) fn none_of(&self, component: ControlPlane) -> String {
        let folder = self.folder.display();
        match self.outdated(component) {
            None => format!("{folder} has none and none is archived"),
            Some(outdated) => format!("{folder} has none, and {outdated}"),
        }
    }
}

/// A copy of a manifest that is older than what ran last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutdatedManifest {
    /// What it runs.
    pub component: ControlPlane,
    /// Where it is.
    pub path: PathBuf,
}

impl std::fmt::Display for OutdatedManifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the archived {} is older than what ran last",
            self.path.display()
        )
    }
}

/// A manifest where kubelet does not look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElsewhereManifest {
    /// The component that it runs.
    pub component: ControlPlane,
    /// Its file.
    pub path: PathBuf,
    /// When it was last written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
}

/// A static pod's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodManifest {
    /// Its file.
    pub path: PathBuf,
    /// The file's sha256.
    pub sha256: String,
    /// The component of the control plane that it runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ControlPlane>,
    /// The pod, as the manifest names it: kubelet puts `-` and the node's name behind it.
    pub pod: PodId,
    /// The images of its containers.
    pub images: Vec<String>,
    /// Whether it runs an etcd that is not the one that the apiserver uses: it is left alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_etcd: bool,
    /// The keys that it gives more than once; the last one counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys_twice: Vec<String>,
}

/// A file in the folder that kubelet reads and that does no good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StrayManifest {
    /// Which.
    pub path: PathBuf,
    /// What about it.
    pub kind: StrayKind,
    /// The pod's own file, or the one it is in the way of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<PathBuf>,
    /// The component of the control plane that it gets in the way of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ControlPlane>,
    /// The same in words.
    pub problem: String,
}

/// What is wrong about a file in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrayKind {
    /// A copy of a pod's file, with the same bytes or others.
    Copy,
    /// Another file of the same pod.
    SamePod,
    /// Another pod with the same component on the same port or data.
    SameComponent,
    /// It is no pod's manifest, or cannot be read.
    NoManifest,
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// A manifest that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsideManifest {
    /// Where it is.
    pub path: PathBuf,
    /// The name of its file when it was in the static pods' folder.
    pub name: String,
    /// Why it is here.
    pub why: Why,
}

/// What etcd's manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdManifest {
    /// The manifest's file.
    pub manifest: PathBuf,
    /// Where that is.
    pub place: Place,
    /// The pod's name as the manifest has it: `etcd`. It tells it from others on the host that run one.
    #[serde(default)]
    pub pod: String,
    /// Paths, addresses, certificates, name, image.
    pub target: Target,
    /// `--initial-cluster`, in its order.
    pub initial_cluster: Vec<InitialMember>,
    /// `--initial-cluster-state`; none: it is not given, which is `new`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_cluster_state: Option<InitialState>,
    /// `--initial-cluster-token`; none: it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_cluster_token: Option<String>,
    /// Whether `--force-new-cluster` is on.
    pub force_new_cluster: bool,
}

/// A member in `--initial-cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitialMember {
    /// Its name.
    pub name: String,
    /// Its peer URL. One with several is in the list several times.
    pub peer_url: String,
}

/// `--initial-cluster-state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialState {
    /// A member without data begins a new cluster.
    New,
    /// A member without data joins one that is there.
    Existing,
    /// Neither; etcd refuses it.
    #[serde(other)]
    Unknown,
}

/// What the apiserver's manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiserverManifest {
    /// The manifest's file.
    pub manifest: PathBuf,
    /// Where that is.
    pub place: Place,
    /// `--etcd-servers`.
    pub etcd_servers: Vec<String>,
    /// `--etcd-prefix`, if it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_prefix: Option<String>,
    /// The certificates in its `--client-ca-file`, each by its SHA-256: the cluster's CA. None: the flag is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<Answer<BTreeSet<String>>>,
    /// Where a client on this host reaches it: `https://127.0.0.1:6443`.
    pub url: String,
}
