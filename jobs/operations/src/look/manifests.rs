//! The static pods' folder, what was put aside from it, and what etcd's and the apiserver's manifests say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::archived::data_folders;
use super::live::PeerFiles;
use super::since::fingerprints;
use super::{ArchivedManifest, ControlPlane, DataFolder, RuntimeLook, certificates};
use crate::failure::{Answer, Failure, FailureKind};
use crate::flags::{Flags, parts, target_from_pod};
use crate::https::Pair;
use crate::manifest::{
    Elsewhere, Folder, Found, Kept, Known, Manifest, ManifestFile, Place, PodId, Problem,
    Selection, Stray, Why, elsewhere, sha256,
};
use crate::root;
use crate::target::Target;

/// Where manifests are put aside on a host.
pub const ASIDE: &str = "/var/lib/kubectl-etcd/manifests";

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
    /// What was put aside, in the order of names, and so of times for each manifest.
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
    pub fn outdated(&self, component: ControlPlane) -> Option<&OutdatedManifest> {
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

/// A manifest that was put aside.
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

/// The manifests of a host, in both forms: as they are told, and as they are read for the other parts.
pub(super) struct Read {
    pub(super) told: Manifests,
    known: Known,
    /// The manifests of components that are missing, where kubelet does not look.
    elsewhere: Vec<ManifestFile>,
    /// Whether kubelet does not look into the folder: it stands in for the one that is not there.
    stands_in: bool,
}

/// Reads another folder instead of the one that is not there: it tells what the components were.
///
/// # Errors
/// As [`read`].
pub(super) fn read_elsewhere(
    root: &Path,
    folder: &Path,
    selection: &Selection,
) -> Result<Read, Failure> {
    let read = read(root, folder, selection)?;
    Ok(Read {
        stands_in: true,
        ..read
    })
}

/// Reads the folder, and lists what was put aside.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn read(root: &Path, folder: &Path, selection: &Selection) -> Result<Read, Failure> {
    let known = Known::read_below(root, folder, selection)?;
    let folder = &known.folder;
    let etcd = known.of(ControlPlane::Etcd.name()).ok().flatten();
    let etcd = etcd.map(|found| found.file);
    let others = known.other_etcds();
    let pod = |file: &ManifestFile| PodManifest {
        other_etcd: others.iter().any(|other| std::ptr::eq(*other, file)),
        ..pod(file, etcd)
    };
    let missing = missing(&known);
    let taken_out = taken_out(&known);
    let elsewhere = match missing.is_empty() {
        true => Vec::new(),
        false => elsewhere(root, &folder.path),
    };
    Ok(Read {
        told: Manifests {
            etcd_is_external: known.etcd_is_external(),
            etcd_is_no_pod: known.etcd_is_no_pod(),
            elsewhere: missing_ones(&missing, &elsewhere),
            etcd_data: match missing.contains(&ControlPlane::Etcd) {
                true => data_folders(root, &data_of_others(&others, &taken_out)),
                false => Vec::new(),
            },
            taken_out,
            outdated: outdated(root, &missing, &known),
            folder: folder.path.clone(),
            pods: folder.pods.iter().map(pod).collect(),
            strays: folder
                .strays
                .iter()
                .map(|one| stray(one, folder, etcd))
                .collect(),
            unfinished: folder.unfinished.iter().map(|path| shown(path)).collect(),
            aside: match &known.archive {
                Ok(kept) => Answer::Ok(kept.iter().map(aside_of).collect()),
                Err(failure) => Answer::Failed(failure.clone()),
            },
        },
        elsewhere: elsewhere.into_iter().map(|one| one.file).collect(),
        known,
        stands_in: false,
    })
}

/// The components that have no manifest, in the folder or to be brought back. An etcd of other hosts is not missing.
fn missing(known: &Known) -> Vec<ControlPlane> {
    let all = ControlPlane::ALL.into_iter();
    let is_missing = |component: &ControlPlane| {
        let none = matches!(known.of(component.name()), Ok(None));
        none && !(*component == ControlPlane::Etcd && known.etcd_is_external())
    };
    all.filter(is_missing).collect()
}

/// Their newest copies, if these are history.
fn outdated(root: &Path, missing: &[ControlPlane], known: &Known) -> Vec<OutdatedManifest> {
    let of = |component: &ControlPlane| {
        let kept = &known.outdated(component.name())?.path;
        let on_host = kept.strip_prefix(root).unwrap_or(kept);
        Some(OutdatedManifest {
            component: *component,
            path: shown(&Path::new("/").join(on_host)),
        })
    };
    missing.iter().filter_map(of).collect()
}

/// The data directories of these pods.
fn data_of(pods: &[&ManifestFile]) -> Vec<PathBuf> {
    let targets = pods
        .iter()
        .filter_map(|file| target_from_pod(&file.manifest.facts("")).ok());
    targets.map(|target| target.data_dir).collect()
}

/// The data directories of etcds that are not the one that is meant: of those in the folder and of those that were stopped.
fn data_of_others(others: &[&ManifestFile], taken_out: &[ArchivedManifest]) -> Vec<PathBuf> {
    let stopped = taken_out.iter().filter(|one| one.component.is_none());
    let stopped = stopped.filter_map(|one| one.data_dir.clone());
    data_of(others).into_iter().chain(stopped).collect()
}

fn missing_ones(missing: &[ControlPlane], elsewhere: &[Elsewhere]) -> Vec<ElsewhereManifest> {
    let of = |one: &Elsewhere| {
        let mut runs = missing.iter().copied();
        let component = runs.find(|component| one.file.manifest.has(component.name()))?;
        Some(ElsewhereManifest {
            component,
            path: shown(&one.file.path),
            modified: one.modified,
        })
    };
    elsewhere.iter().filter_map(of).collect()
}

/// What would be brought back.
fn taken_out(known: &Known) -> Vec<ArchivedManifest> {
    let component = |file: &ManifestFile| {
        let mut all = ControlPlane::ALL.into_iter();
        all.find(|component| {
            let found = known.of(component.name()).ok().flatten();
            found.is_some_and(|found| found.file.path == file.path)
        })
    };
    let archived = |(file, kept): (&ManifestFile, Option<&Kept>)| {
        let target = target_from_pod(&file.manifest.facts("")).ok();
        let data_dir = target.map(|target| target.data_dir);
        ArchivedManifest::new(component(file), file, kept, data_dir)
    };
    let named = known.named().iter().map(|file| (file, None));
    let stopped = known.stopped().map(|(file, kept)| (file, Some(kept)));
    named.chain(stopped).map(archived).collect()
}

impl Read {
    /// The pods in the folder.
    pub(super) fn pods(&self) -> &[ManifestFile] {
        &self.known.folder.pods
    }

    /// The manifest of a component: in the folder, else one that could be brought back, else the newest that lies elsewhere.
    pub(super) fn of(&self, component: ControlPlane) -> Option<Found<'_>> {
        self.wanted(component).ok()
    }

    /// Compares what would be brought back with what ran last, as the runtime tells it, and with the data there is.
    pub(super) fn compare(&mut self, root: &Path, runtime: Option<&RuntimeLook>) {
        let others = data_of_others(&self.known.other_etcds(), &self.told.taken_out);
        for archived in &mut self.told.taken_out {
            let Some(component) = archived.component else {
                continue;
            };
            let ran = runtime.and_then(|runtime| runtime.last_ran(component));
            let found = self.known.of(component.name()).ok().flatten();
            let target =
                found.and_then(|found| target_from_pod(&found.file.manifest.facts("")).ok());
            let wal_dir = target.and_then(|target| target.wal_dir);
            let found =
                found.and_then(|found| found.file.manifest.component(component.name()).ok());
            if let Some((ran, found)) = ran.zip(found) {
                archived.compare(root, &found, wal_dir.as_deref(), ran.clone());
            }
            archived.look_for_later_writes(root);
            archived.look_for_newer_data(root, wal_dir.as_deref(), &others);
        }
    }

    /// What etcd's manifest says.
    ///
    /// # Errors
    /// [`FailureKind::Missing`] when there is none, or it does not tell what is needed; [`FailureKind::Refused`] when
    /// several could be meant.
    pub(super) fn etcd(&self, node: &str) -> Result<EtcdManifest, Failure> {
        let found = self.wanted(ControlPlane::Etcd)?;
        let file = found.file;
        let flags = flags(&file.manifest, ControlPlane::Etcd)?;
        let path = file.path.display();
        let target = target_from_pod(&file.manifest.facts(node))
            .map_err(|error| Failure::new(FailureKind::Missing, format!("{path}: {error}")))?;
        let members = parts(flags.get("initial-cluster").unwrap_or_default());
        Ok(EtcdManifest {
            target,
            initial_cluster: members
                .filter_map(|member| member.split_once('='))
                .map(|(name, peer_url)| InitialMember {
                    name: name.to_owned(),
                    peer_url: peer_url.to_owned(),
                })
                .collect(),
            initial_cluster_state: flags.get("initial-cluster-state").map(|state| match state {
                "new" => InitialState::New,
                "existing" => InitialState::Existing,
                _ => InitialState::Unknown,
            }),
            initial_cluster_token: flags.get("initial-cluster-token").map(str::to_owned),
            force_new_cluster: flags.is_on("force-new-cluster"),
            manifest: shown(&file.path),
            place: found.place,
            pod: file.manifest.pod().name,
        })
    }

    /// The files with which etcd goes to its peers, by its manifest.
    pub(super) fn peer_files(&self, root: &Path) -> PeerFiles {
        let Some(found) = self.of(ControlPlane::Etcd) else {
            return PeerFiles::default();
        };
        let component = found
            .file
            .manifest
            .component(ControlPlane::Etcd.name())
            .ok();
        let file = |flag: &str| {
            let component = component.as_ref()?;
            let path = component.on_node(component.flags().ok()?.get(flag)?)?;
            root::below(root, &path).ok()
        };
        let pair = file("peer-cert-file").zip(file("peer-key-file"));
        PeerFiles {
            ca: file("peer-trusted-ca-file"),
            pair: pair.map(|(certificate, key)| Pair { certificate, key }),
        }
    }

    /// What the apiserver's manifest says.
    ///
    /// # Errors
    /// As [`Read::etcd`].
    pub(super) fn apiserver(&self, root: &Path) -> Result<ApiserverManifest, Failure> {
        let found = self.wanted(ControlPlane::Apiserver)?;
        let file = found.file;
        let component = file.manifest.component(ControlPlane::Apiserver.name())?;
        let flags = flags(&file.manifest, ControlPlane::Apiserver)?;
        let ca = |path: &str| {
            let on_node = component.on_node(path);
            let on_node = on_node.ok_or_else(|| {
                let message = format!("`--client-ca-file={path}` lies on no folder of this host");
                Failure::new(FailureKind::Missing, message)
            });
            on_node.and_then(|on_node| ca_certificates(root, &on_node))
        };
        let servers = flags.list("etcd-servers").into_iter();
        Ok(ApiserverManifest {
            etcd_servers: servers.map(str::to_owned).collect(),
            etcd_prefix: flags.get("etcd-prefix").map(str::to_owned),
            client_ca: flags.get("client-ca-file").map(|path| ca(path).into()),
            url: apiserver_url(&flags),
            manifest: shown(&file.path),
            place: found.place,
        })
    }

    fn wanted(&self, component: ControlPlane) -> Result<Found<'_>, Failure> {
        if let Some(found) = self.known.of(component.name())? {
            return Ok(match (found.place, self.stands_in) {
                (Place::Folder, true) => Found {
                    place: Place::Elsewhere,
                    ..found
                },
                _ => found,
            });
        }
        let mut elsewhere = self.elsewhere.iter();
        let file = elsewhere.find(|file| file.manifest.has(component.name()));
        let is_missing = self.told.elsewhere(component).next().is_some();
        if let Some(file) = file.filter(|_| is_missing) {
            return Ok(Found {
                file,
                place: Place::Elsewhere,
                kept: None,
            });
        }
        let message = format!(
            "no manifest of {component}: {}",
            self.told.none_of(component)
        );
        Err(Failure::new(FailureKind::Missing, message))
    }
}

fn flags(manifest: &Manifest, component: ControlPlane) -> Result<Flags, Failure> {
    let found = manifest.component(component.name())?;
    found.flags().map_err(|error| {
        Failure::new(FailureKind::Refused, format!("{component}: {error}"))
            .hint("write the program and its flags as words of `command`")
    })
}

/// The certificates in a file of the node, each by its SHA-256.
fn ca_certificates(root: &Path, path: &Path) -> Result<BTreeSet<String>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(FailureKind::Missing, format!("{}: {why}", path.display()))
    };
    let pem = certificates::read(root, path).map_err(|error| failed(&error))?;
    let found = fingerprints(&pem);
    match found.is_empty() {
        true => Err(failed(&"there is no certificate in it")),
        false => Ok(found),
    }
}

fn apiserver_url(flags: &Flags) -> String {
    let port = flags.get("secure-port").unwrap_or("6443");
    let ip = flags.get("bind-address").and_then(|ip| ip.parse().ok());
    let ip = ip.filter(|ip: &std::net::IpAddr| !ip.is_unspecified());
    match ip {
        Some(std::net::IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
        Some(ip) => format!("https://{ip}:{port}"),
        None => format!("https://127.0.0.1:{port}"),
    }
}

fn pod(file: &ManifestFile, etcd: Option<&ManifestFile>) -> PodManifest {
    let components = file.manifest.components();
    PodManifest {
        path: shown(&file.path),
        sha256: sha256(file.manifest.bytes()),
        component: ControlPlane::of_file(file, etcd),
        pod: file.manifest.pod(),
        other_etcd: false,
        keys_twice: file.manifest.twice().to_vec(),
        images: components
            .iter()
            .filter_map(|one| one.image().map(str::to_owned))
            .collect(),
    }
}

fn stray(stray: &Stray, folder: &Folder, etcd: Option<&ManifestFile>) -> StrayManifest {
    let (kind, of) = match &stray.problem {
        Problem::Copy { of, .. } => (StrayKind::Copy, Some(of)),
        Problem::SamePod { of, .. } => (StrayKind::SamePod, Some(of)),
        Problem::SameComponent { of, .. } => (StrayKind::SameComponent, Some(of)),
        Problem::NoManifest { .. } => (StrayKind::NoManifest, None),
    };
    let own = of.and_then(|of| folder.pods.iter().find(|file| file.path == *of));
    StrayManifest {
        path: shown(&stray.path),
        kind,
        of: of.map(|of| shown(of)),
        component: own.and_then(|file| ControlPlane::of_file(file, etcd)),
        problem: stray.problem.to_string(),
    }
}

fn aside_of(kept: &Kept) -> AsideManifest {
    AsideManifest {
        path: kept.path.clone(),
        name: kept.name.clone(),
        why: kept.why,
    }
}

/// A path that can be written as JSON: a name that is no text is shown as nearly as that can be.
fn shown(path: &Path) -> PathBuf {
    path.to_string_lossy().into_owned().into()
}

#[cfg(test)]
#[path = "manifests_tests.rs"]
mod tests;
