//! What lies in the folder of the static pods, and what of it should not.
//!
//! kubelet runs every file there whose name does not begin with a dot, whatever its ending, follows links and passes
//! folders by. A second file of one pod makes it replace the pod when it comes, and drop it when it goes, although the
//! first file is still there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use super::archive::{Kept, Why};
use super::elsewhere::lost_folder;
use super::etcds::{self, Etcds};
use super::file::{ManifestFile, is_unfinished};
use super::stray::{Problem, Stray, second_of};
use super::{Manifest, PodId};
use crate::failure::Failure;
use crate::instance::ChosenBy;
use crate::root;

/// The folder of the static pods.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// The pods, in the order of their files; of each pod one file.
    pub pods: Vec<ManifestFile>,
    /// The files that kubelet reads too and that do no good, in the order of their names.
    pub strays: Vec<Stray>,
    /// What a run of this program left that was ended while it wrote: dot-files, which kubelet does not read. The next one
    /// that writes the same manifest takes them over.
    pub unfinished: Vec<PathBuf>,
    /// By what the etcd is chosen, where several pods run one.
    pub(super) etcds: Etcds,
}

impl Folder {
    /// Reads everything that kubelet would read.
    ///
    /// # Errors
    /// `FailureKind::Missing` when the folder cannot be read. A file that cannot is a stray.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        Self::read_below(Path::new("/"), path)
    }

    /// The same of a node whose file system is found at `root`. All paths are the node's.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn read_below(root: &Path, path: &Path) -> Result<Self, Failure> {
        let mut folder = Self {
            path: path.to_owned(),
            pods: Vec::new(),
            strays: Vec::new(),
            unfinished: Vec::new(),
            etcds: Etcds::default(),
        };
        let mut files = Vec::new();
        for name in names(root, path)? {
            let path = path.join(&name);
            let is_folder = || root::below(root, &path).is_ok_and(|path| path.is_dir());
            if is_unfinished(&name) {
                folder.unfinished.push(path);
            } else if name.as_encoded_bytes().starts_with(b".") || is_folder() {
                // Nothing to kubelet.
            } else {
                match ManifestFile::read_below(root, &path) {
                    Ok(file) => files.push(file),
                    Err(failure) => folder.strays.push(Stray {
                        path,
                        problem: Problem::NoManifest { failure },
                    }),
                }
            }
        }
        folder.sort_out(files, etcds::own(root));
        Ok(folder)
    }

    /// The same, where somebody has named the pod that is meant by etcd.
    #[must_use]
    pub fn meaning(mut self, etcd: Option<&str>) -> Self {
        self.etcds.named = etcd.map(str::to_owned);
        self
    }

    /// The manifest of the pod that is or runs a component; of etcd the one that the apiserver uses ([`crate::instance`]).
    ///
    /// # Errors
    /// `FailureKind::Refused` when several pods could be the etcd that is meant.
    pub fn of_component(&self, component: &str) -> Result<Option<&ManifestFile>, Failure> {
        let found = self.chosen(component)?;
        Ok(found.map(|(file, _)| file))
    }

    /// That no manifest in it runs this component, and which there are.
    pub fn lacks(&self, component: &str) -> Failure {
        let containers = self.pods.iter().flat_map(|file| file.manifest.components());
        let names: BTreeSet<String> = containers.map(|one| one.name().to_owned()).collect();
        let folder = self.path.display();
        let failure = Failure::missing(format!("no manifest in {folder} runs {component}"));
        match names.is_empty() {
            true => failure,
            false => {
                let names: Vec<String> = names.into_iter().collect();
                failure.hint(format!("those there are: {}", names.join(", ")))
            }
        }
    }

    /// The same, and what decided.
    pub(super) fn chosen(
        &self,
        component: &str,
    ) -> Result<Option<(&ManifestFile, ChosenBy)>, Failure> {
        self.etcds.of_component(&self.pods, component)
    }

    /// The pods that run an etcd.
    pub(super) fn all_etcds(&self) -> impl Iterator<Item = &ManifestFile> {
        self.pods.iter().filter(|file| Etcds::is_one(file))
    }

    /// The pods that were stopped and are not in the folder, by the newest of their manifests that was moved aside. One that
    /// cannot be read any more is none that could be brought back.
    pub fn stopped<'k>(&self, kept: &'k [Kept]) -> Vec<(ManifestFile, &'k Kept)> {
        let mut out: Vec<(ManifestFile, &Kept)> = Vec::new();
        let stopped = kept.iter().filter(|kept| kept.why == Why::Stopped);
        for kept in stopped.rev() {
            let Ok(file) = ManifestFile::read(&kept.path) else {
                continue;
            };
            let pod = file.manifest.pod();
            let mut known = self.pods.iter().chain(out.iter().map(|(file, _)| file));
            if !known.any(|file| file.manifest.pod() == pod) {
                out.push((file, kept));
            }
        }
        out
    }

    /// Tells the pods' own files from those that get in their way.
    fn sort_out(&mut self, files: Vec<ManifestFile>, own: Vec<String>) {
        let mut of_pod: BTreeMap<PodId, Vec<ManifestFile>> = BTreeMap::new();
        for file in files {
            of_pod.entry(file.manifest.pod()).or_default().push(file);
        }
        for (pod, mut files) in of_pod {
            files.sort_by_cached_key(|file| (rank(&file.path, &pod), file.path.clone()));
            let mut files = files.into_iter();
            let Some(first) = files.next() else { continue };
            self.strays.extend(files.map(|file| Stray {
                problem: Problem::second_file(&first, &file),
                path: file.path,
            }));
            self.pods.push(first);
        }
        self.pods.sort_by_cached_key(|file| file.path.clone());
        self.etcds = Etcds::among(&self.pods, own);
        let etcd = self.of_component("etcd").ok().flatten();
        let second = second_of(&self.pods, etcd);
        self.strays.extend(second);
        self.strays.sort_by_cached_key(|stray| stray.path.clone());
    }
}

impl Manifest {
    /// Whether one of its containers is or runs this component.
    pub fn has(&self, component: &str) -> bool {
        self.components().iter().any(|one| one.is(component))
    }
}

/// The names in the folder, in their order.
fn names(root: &Path, folder: &Path) -> Result<Vec<OsString>, Failure> {
    let entries = root::below(root, folder)
        .and_then(|folder| folder.read_dir()?.collect::<Result<Vec<_>, _>>())
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                return lost_folder(root, folder);
            }
            let message = format!(
                "could not read the static pods' folder {}: {error}",
                folder.display()
            );
            Failure::missing(message).hint("run it as root on a control-plane node")
        })?;
    let mut names: Vec<_> = entries.iter().map(DirEntry::file_name).collect();
    names.sort();
    Ok(names)
}

/// Which of several files of one pod is its own: the one that is named after it, as kubeadm does it, else one that has a
/// manifest's ending.
fn rank(path: &Path, pod: &PodId) -> u8 {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let manifest = matches!(ending, Some("yaml" | "yml" | "json"));
    let named = path
        .file_stem()
        .is_some_and(|stem| stem == pod.name.as_str());
    match (manifest, named) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}
