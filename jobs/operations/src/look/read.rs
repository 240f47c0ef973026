//! The manifests of a host read: in the static pods' folder, moved aside from it, and elsewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::archived::data_folders;
use super::certificates::{self, fingerprints};
use super::live::PeerFiles;
use super::manifests::{
    ApiserverManifest, AsideManifest, ElsewhereManifest, EtcdManifest, InitialMember, InitialState,
    Manifests, OutdatedManifest, PodManifest, StrayKind, StrayManifest,
};
use super::{ArchivedManifest, LastRan};
use crate::control_plane::ControlPlane;
use crate::failure::{Answer, Failure};
use crate::flags::{Flags, parts, target_from_pod};
use crate::https::Pair;
use crate::manifest::{
    Elsewhere, Folder, Found, Kept, Known, Manifest, ManifestFile, Place, Problem, Selection,
    Stray, elsewhere, sha256,
};
use crate::root;

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

/// Reads the folder, and lists what was moved aside.
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

    /// Compares what would be brought back with what ran last of each component, and with the data there is.
    pub(super) fn compare<'r>(
        &mut self,
        root: &Path,
        last_ran: impl Fn(ControlPlane) -> Option<&'r LastRan>,
    ) {
        let others = data_of_others(&self.known.other_etcds(), &self.told.taken_out);
        for archived in &mut self.told.taken_out {
            let Some(component) = archived.component else {
                continue;
            };
            let ran = last_ran(component);
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
    /// `FailureKind::Missing` when there is none, or it does not tell what is needed; `FailureKind::Refused` when
    /// several could be meant.
    pub(super) fn etcd(&self, node: &str) -> Result<EtcdManifest, Failure> {
        let found = self.wanted(ControlPlane::Etcd)?;
        let file = found.file;
        let flags = flags(&file.manifest, ControlPlane::Etcd)?;
        let path = file.path.display();
        let target = target_from_pod(&file.manifest.facts(node))
            .map_err(|error| Failure::missing(format!("{path}: {error}")))?;
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
                Failure::missing(message)
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
        Err(Failure::missing(message))
    }
}

fn flags(manifest: &Manifest, component: ControlPlane) -> Result<Flags, Failure> {
    let found = manifest.component(component.name())?;
    found.flags().map_err(|error| {
        Failure::refused(format!("{component}: {error}"))
            .hint("write the program and its flags as words of `command`")
    })
}

/// The certificates in a file of the node, each by its SHA-256.
fn ca_certificates(root: &Path, path: &Path) -> Result<BTreeSet<String>, Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::missing(format!("{}: {why}", path.display()));
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

/// The component that a manifest runs, where `etcd` is the manifest of the cluster's own etcd. Another etcd is none.
fn component_of(file: &ManifestFile, etcd: Option<&ManifestFile>) -> Option<ControlPlane> {
    if etcd.is_some_and(|etcd| etcd.path == file.path) {
        return Some(ControlPlane::Etcd);
    }
    let mut others = ControlPlane::ALL
        .into_iter()
        .filter(|one| *one != ControlPlane::Etcd);
    others.find(|one| file.manifest.has(one.name()))
}

fn pod(file: &ManifestFile, etcd: Option<&ManifestFile>) -> PodManifest {
    let components = file.manifest.components();
    PodManifest {
        path: shown(&file.path),
        sha256: sha256(file.manifest.bytes()),
        component: component_of(file, etcd),
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
        component: own.and_then(|file| component_of(file, etcd)),
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
#[path = "read_tests.rs"]
mod tests;
