//! The manifests of a host that are known: those in the static pods' folder, and those that were taken out of it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::aside::{Aside, Kept};
use super::file::ManifestFile;
use super::folder::Folder;
use crate::failure::{Failure, FailureKind};
use crate::plan::STATE;
use crate::root;

/// What somebody has said of the manifests that are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selection {
    /// The pod that is meant by etcd, as its manifest names it; none: the one that the apiserver uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
}

impl Selection {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The manifests of a host.
#[derive(Debug, Clone)]
pub struct Known {
    /// The static pods' folder.
    pub folder: Folder,
    /// What was put aside, in the order of names, or why that is not known.
    pub archive: Result<Vec<Kept>, Failure>,
    /// Of the pods that were stopped and are not in the folder, the newest of their manifests.
    taken_out: Vec<ManifestFile>,
    /// Where each of these was put aside.
    kept: Vec<Kept>,
}

/// A component's manifest.
#[derive(Debug, Clone, Copy)]
pub struct Found<'k> {
    /// Where it is, and what it says.
    pub file: &'k ManifestFile,
    /// That it was put aside; none: it is in the static pods' folder.
    pub kept: Option<&'k Kept>,
}

impl Known {
    /// Reads the static pods' folder of a host whose file system is found at `root`, and what was put aside there.
    ///
    /// # Errors
    /// As [`Folder::read_below`].
    pub fn read_below(root: &Path, folder: &Path, selection: &Selection) -> Result<Self, Failure> {
        let mut folder = Folder::read_below(root, folder)?.meaning(selection.etcd.as_deref());
        let aside = Path::new(STATE).join("manifests");
        let archive = root::below(root, &aside)
            .map_err(|error| {
                Failure::new(
                    FailureKind::Missing,
                    format!("{}: {error}", aside.display()),
                )
            })
            .and_then(|path| Aside::new(&path).list());
        let kept = archive.as_deref().unwrap_or_default();
        let stopped = folder.stopped(kept).into_iter();
        let (taken_out, kept): (Vec<_>, Vec<_>) =
            stopped.map(|(file, kept)| (file, kept.clone())).unzip();
        if folder.of_component("kube-apiserver")?.is_none() {
            let mut stopped = taken_out.iter();
            if let Some(apiserver) = stopped.find(|file| file.manifest.has("kube-apiserver")) {
                folder.etcds.hear(apiserver);
            }
        }
        Ok(Self {
            folder,
            archive,
            taken_out,
            kept,
        })
    }

    /// The manifest of a component: in the folder, else the newest that was taken out to stop it. Another etcd in the folder
    /// is not taken for one that was stopped.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when several pods could be the etcd that is meant.
    pub fn of(&self, component: &str) -> Result<Option<Found<'_>>, Failure> {
        let in_folder = self.folder.chosen(component);
        if let Ok(Some((file, by))) = &in_folder
            && by.is_sure()
        {
            return Ok(Some(Found { file, kept: None }));
        }
        let out = self.folder.etcds.of_component(&self.taken_out, component);
        let out = out.map(|found| found.map(|(file, by)| (self.taken_out(file), by)));
        if let Ok(Some((found, by))) = &out
            && by.is_sure()
        {
            return Ok(Some(*found));
        }
        match in_folder {
            Ok(None) => Ok(out?.map(|(found, _)| found)),
            in_folder => Ok(in_folder?.map(|(file, _)| Found { file, kept: None })),
        }
    }

    /// The pods that were stopped and are not in the folder, the newest of their manifests each.
    pub fn stopped(&self) -> impl Iterator<Item = (&ManifestFile, &Kept)> {
        self.taken_out.iter().zip(&self.kept)
    }

    /// The pods in the folder that run an etcd which is not the one that the apiserver uses.
    pub fn other_etcds(&self) -> Vec<&ManifestFile> {
        let own = self.of("etcd").ok().flatten();
        let others = self.folder.all_etcds();
        let others = others.filter(|file| own.is_none_or(|own| own.file.path != file.path));
        others.collect()
    }

    /// Whether the apiserver is known to use an etcd of other hosts.
    pub fn etcd_is_elsewhere(&self) -> bool {
        self.folder.etcds.is_elsewhere()
    }

    fn taken_out<'k>(&'k self, file: &'k ManifestFile) -> Found<'k> {
        let at = self.taken_out.iter().position(|one| one.path == file.path);
        Found {
            file,
            kept: at.and_then(|at| self.kept.get(at)),
        }
    }
}
