//! Files in the folder of the static pods that get in a pod's way, each with what is wrong about it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::file::ManifestFile;
use super::{Component, PodId};
use crate::failure::Failure;

/// A file that kubelet reads as a pod's manifest and that does no good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Which.
    pub path: PathBuf,
    /// What about it.
    pub problem: Problem,
}

/// What is wrong about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A copy of a pod's file, by its name and its pod: `etcd.yaml.bak` beside `etcd.yaml`. kubelet runs both.
    Copy {
        /// The pod.
        pod: PodId,
        /// The pod's own file.
        of: PathBuf,
        /// Whether the bytes are the same. kubelet takes them for two pods all the same.
        same_bytes: bool,
    },
    /// Another file of the same pod. kubelet runs both.
    SamePod {
        /// The pod.
        pod: PodId,
        /// The file that counts as the pod's own.
        of: PathBuf,
    },
    /// Another pod that runs the same component on the same port or data: only one of them can.
    SameComponent {
        /// The component.
        component: &'static str,
        /// The file of the other pod.
        of: PathBuf,
        /// What both use.
        shared: &'static str,
    },
    /// It is not a pod's manifest, or cannot be read.
    NoManifest {
        /// Why.
        failure: Failure,
    },
}

impl Problem {
    pub(super) fn second_file(own: &ManifestFile, other: &ManifestFile) -> Self {
        let (pod, of) = (own.manifest.pod(), own.path.clone());
        if is_copy(&own.path, &other.path) {
            Self::Copy {
                pod,
                of,
                same_bytes: own.manifest.bytes() == other.manifest.bytes(),
            }
        } else {
            Self::SamePod { pod, of }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { pod, of, .. } => write!(
                f,
                "it is a copy of {}, and so a second manifest of the pod {pod}: kubelet runs both",
                of.display()
            ),
            Self::SamePod { pod, of } => write!(
                f,
                "it is a second manifest of the pod {pod}, which {} has already: kubelet runs both",
                of.display()
            ),
            Self::SameComponent {
                component,
                of,
                shared,
            } => write!(
                f,
                "it runs a second {component} with the same {shared} as {}: only one of them can run",
                of.display()
            ),
            Self::NoManifest { failure } => write!(f, "{failure}"),
        }
    }
}

/// Whether a name is made from another: with something behind or before it, or between the name and its ending.
fn is_copy(own: &Path, other: &Path) -> bool {
    let text =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let (Some(stem), Some(other)) = (text(own.file_stem()), text(other.file_name())) else {
        return false;
    };
    other.to_lowercase().contains(&stem.to_lowercase())
}

/// The components of a control plane, and what two of them cannot share.
const COMPONENTS: [(&str, &[&str]); 4] = [
    (
        "etcd",
        &["data-dir", "listen-client-urls", "listen-peer-urls"],
    ),
    ("kube-apiserver", &["secure-port"]),
    ("kube-controller-manager", &["secure-port"]),
    ("kube-scheduler", &["secure-port"]),
];

/// Further pods of a component that cannot run beside the first one, or beside the cluster's own etcd. A second etcd with
/// data and ports of its own is somebody's intention.
pub(super) fn second_of(pods: &[ManifestFile], etcd: Option<&ManifestFile>) -> Vec<Stray> {
    let mut strays = Vec::new();
    for (component, flags) in COMPONENTS {
        let running = pods.iter().filter_map(|file| {
            let mut components = file.manifest.components().into_iter();
            Some((file, components.find(|one| one.is(component))?))
        });
        let mut running: Vec<_> = running.collect();
        // Stable: the cluster's own comes first, the others stay in the order of their files.
        let is_own = |file: &ManifestFile| etcd.is_some_and(|etcd| etcd.path == file.path);
        running.sort_by_key(|(file, _)| !is_own(file));
        let Some(((first, own), others)) = running.split_first() else {
            continue;
        };
        for (file, other) in others {
            if let Some(shared) = flags.iter().copied().find(|flag| share(own, other, flag)) {
                strays.push(Stray {
                    path: file.path.clone(),
                    problem: Problem::SameComponent {
                        component,
                        of: first.path.clone(),
                        shared,
                    },
                });
            }
        }
    }
    strays
}

/// Whether a flag says the same for both; where neither gives it, both use its default.
fn share(one: &Component, other: &Component, flag: &str) -> bool {
    let (Ok(flags), Ok(of_other)) = (one.flags(), other.flags()) else {
        return false;
    };
    let (value, of_other) = (flags.get(flag), of_other.get(flag));
    match (flag, value, of_other) {
        // The same path inside two containers may be two folders of the node.
        ("data-dir", Some(path), Some(of_other)) => {
            let on_node = one.on_node(path).zip(other.on_node(of_other));
            on_node.map_or(path == of_other, |(one, other)| one == other)
        }
        _ => value == of_other,
    }
}
