//! The manifests of a host that are known: those in the static pods' folder, and those that could be brought back.
//!
//! Of a pod that is not in the folder the copy counts that was taken out last. One that was brought back since is history:
//! what ran afterwards may have been another manifest, with other flags and other data.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::archive::{Aside, Kept, Why};
use super::file::ManifestFile;
use super::folder::Folder;
use super::returned::brought_back;
use crate::failure::{Failure, FailureKind};
use crate::root;
use crate::state::ARCHIVE;

/// What somebody has said of the manifests that are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selection {
    /// The pod that is meant by etcd, as its manifest names it; none: the one that the apiserver uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
    /// Files with the manifests of components that have none in the static pods' folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<PathBuf>,
}

impl Selection {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a manifest was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In the static pods' folder: kubelet shall run it.
    Folder,
    /// Put aside, and there is none in the folder: it was stopped.
    Aside,
    /// Named by somebody, as there is none in the folder.
    Named,
    /// Somewhere else on the host, where kubelet does not look. It tells what the component was, and nothing is started
    /// from it unasked.
    Elsewhere,
}

/// The manifests of a host.
#[derive(Debug, Clone)]
pub struct Known {
    /// The static pods' folder.
    pub folder: Folder,
    /// What was moved aside, in the order of names, or why that is not known.
    pub archive: Result<Vec<Kept>, Failure>,
    /// Of the pods that were stopped and are not in the folder, the newest of their manifests.
    taken_out: Vec<ManifestFile>,
    /// Where each of these was moved aside.
    kept: Vec<Kept>,
    /// The files that somebody has named.
    named: Vec<ManifestFile>,
    /// Whether somebody listens where the apiserver is told to find an etcd on this host.
    etcd_listens: bool,
}

/// A component's manifest.
#[derive(Debug, Clone, Copy)]
pub struct Found<'k> {
    /// Where it is, and what it says.
    pub file: &'k ManifestFile,
    /// Where that is.
    pub place: Place,
    /// The copy it is, where it was moved aside.
    pub kept: Option<&'k Kept>,
}

impl Known {
    /// Reads the static pods' folder of a host whose file system is found at `root`, what was moved aside there, and the files
    /// that somebody has named.
    ///
    /// # Errors
    /// As [`Folder::read_below`]; of a file that is named, when it is no manifest. One that is not on this host is none of
    /// its files: several hosts may have been told of it.
    pub fn read_below(root: &Path, folder: &Path, selection: &Selection) -> Result<Self, Failure> {
        let mut folder = Folder::read_below(root, folder)?.meaning(selection.etcd.as_deref());
        let archive = archive(root);
        let all = archive.as_deref().unwrap_or_default();
        let current = match folder.stopped(all).is_empty() {
            true => Vec::new(),
            false => current(all, &brought_back(root)),
        };
        let (taken_out, kept): (Vec<_>, Vec<_>) = folder
            .stopped(&current)
            .into_iter()
            .map(|(file, kept)| (file, kept.clone()))
            .unzip();
        let named = named(root, &selection.manifests)?;
        if folder.of_component("kube-apiserver")?.is_none() {
            let mut stopped = named.iter().chain(&taken_out);
            if let Some(apiserver) = stopped.find(|file| file.manifest.has("kube-apiserver")) {
                folder.etcds.hear(apiserver);
            }
        }
        Ok(Self {
            etcd_listens: folder.etcds.is_listened_here(root),
            folder,
            archive,
            taken_out,
            kept,
            named,
        })
    }

    /// The manifest of a component: in the folder, else one that somebody has named, else the newest that was taken out to
    /// stop it. Another etcd in the folder is not taken for one that was stopped.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when several pods could be the etcd that is meant.
    pub fn of(&self, component: &str) -> Result<Option<Found<'_>>, Failure> {
        let of = |files: &'_ [ManifestFile]| {
            let found = self.folder.etcds.of_component(files, component);
            let at = |file: &ManifestFile| files.iter().position(|one| one.path == file.path);
            found.map(|found| found.and_then(|(file, by)| Some((at(file)?, by))))
        };
        let places = [
            (Place::Folder, self.folder.pods.as_slice()),
            (Place::Named, self.named.as_slice()),
            (Place::Aside, self.taken_out.as_slice()),
        ];
        let found = places.map(|(place, files)| (place, files, of(files)));
        let sure = found.iter().find_map(|(place, files, found)| match found {
            Ok(Some((at, by))) if by.is_sure() => self.found(*place, files, *at),
            _ => None,
        });
        if sure.is_some() {
            return Ok(sure);
        }
        for (place, files, found) in found {
            // What is known of none there may be known elsewhere.
            if let Some((at, _)) = found? {
                return Ok(self.found(place, files, at));
            }
        }
        Ok(None)
    }

    fn found<'k>(
        &'k self,
        place: Place,
        files: &'k [ManifestFile],
        at: usize,
    ) -> Option<Found<'k>> {
        Some(Found {
            file: files.get(at)?,
            place,
            kept: match place {
                Place::Aside => self.kept.get(at),
                Place::Folder | Place::Named | Place::Elsewhere => None,
            },
        })
    }

    /// The pods that were stopped and are not in the folder, the newest of their manifests each.
    pub fn stopped(&self) -> impl Iterator<Item = (&ManifestFile, &Kept)> {
        self.taken_out.iter().zip(&self.kept)
    }

    /// The newest copy of a component's manifest that is history: something else ran since. None: the component is known, or
    /// there is no such copy.
    pub(crate) fn outdated(&self, component: &str) -> Option<&Kept> {
        if !matches!(self.of(component), Ok(None)) {
            return None;
        }
        let archive = self.archive.as_deref().unwrap_or_default();
        let mut were_out = archive
            .iter()
            .rev()
            .filter(|kept| matches!(kept.why, Why::Stopped | Why::Returned));
        let has = |kept: &&Kept| {
            ManifestFile::read(&kept.path).is_ok_and(|file| file.manifest.has(component))
        };
        were_out.find(has)
    }

    /// The files that somebody has named.
    pub fn named(&self) -> &[ManifestFile] {
        &self.named
    }

    /// The pods in the folder that run an etcd which is not the one that the apiserver uses.
    pub fn other_etcds(&self) -> Vec<&ManifestFile> {
        let own = self.of("etcd").ok().flatten();
        let others = self.folder.all_etcds();
        let others = others.filter(|file| own.is_none_or(|own| own.file.path != file.path));
        others.collect()
    }

    /// Whether the apiserver is known to use an etcd of other hosts.
    pub fn etcd_is_external(&self) -> bool {
        self.folder.etcds.is_elsewhere()
    }

    /// Whether the etcd that the apiserver uses runs on this host, and not as a static pod: none of the manifests is its, and
    /// somebody listens where the apiserver finds it. systemd or docker run it, as kubespray has it.
    pub fn etcd_is_no_pod(&self) -> bool {
        self.etcd_listens && matches!(self.of("etcd"), Ok(None))
    }
}

fn archive(root: &Path) -> Result<Vec<Kept>, Failure> {
    let below = root::below(root, Path::new(ARCHIVE))
        .map_err(|error| Failure::missing(format!("{ARCHIVE}: {error}")));
    below.and_then(|path| Aside::new(&path).list())
}

/// The copies that may be what a pod was stopped with: of each file the last one, if it was taken out and did not come back.
/// Older ones are history even where the last one came back: another manifest ran after them.
fn current(archive: &[Kept], brought_back: &BTreeSet<OsString>) -> Vec<Kept> {
    let mut last: BTreeMap<&str, &Kept> = BTreeMap::new();
    // In the order of names, and so of times. What was undone had not been in the folder before.
    for kept in archive.iter().filter(|kept| kept.why != Why::Undone) {
        last.insert(&kept.name, kept);
    }
    let is_back = |kept: &Kept| {
        let file = kept.path.file_name();
        file.is_some_and(|file| brought_back.contains(file))
    };
    let current = last.into_values();
    let current = current.filter(|kept| kept.why == Why::Stopped && !is_back(kept));
    current.cloned().collect()
}

fn named(root: &Path, paths: &[PathBuf]) -> Result<Vec<ManifestFile>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let found = ManifestFile::read_below(root, path);
        match found {
            Err(failure) if failure.kind == FailureKind::Missing => {}
            Err(failure) => {
                let message = format!("{}: {}", path.display(), failure.message);
                return Err(Failure { message, ..failure });
            }
            Ok(file) => files.push(file),
        }
    }
    Ok(files)
}
