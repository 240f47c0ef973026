//! A manifest that was taken out, brought back with other bytes.
//!
//! For what has to be changed while its pod is down: if the old bytes came back first, kubelet would start them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::archive::{Aside, Kept, Why, kept_content, kept_now, mark_returned, mark_stopped};
use super::file::{
    Links, Over, content, holds_another, is_prepared, open, put, sha256, unfinished,
};
use super::{Manifest, ManifestFile, Stop};
use crate::disk::files::exists;
use crate::failure::Failure;

/// One manifest into the folder. As a [`super::Change`] it is made before anything is done and can be resumed or undone
/// from its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// The manifest.
    pub manifest: PathBuf,
    /// The one that was taken out, whose mode and owner it gets; none: none was, and it is root's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<PathBuf>,
    /// Where it goes when this is undone.
    pub kept: PathBuf,
    /// The sha256 of its bytes, in hex.
    pub after: String,
    /// Other copies of the pod that were taken out. They are marked as brought back once this manifest runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_out: Vec<PathBuf>,
}

impl Start {
    /// Prepares to bring back what was taken out, changed. Nothing is written yet.
    ///
    /// # Errors
    /// `FailureKind::Refused` when it would have no place in the folder aside; else what the disk says of that folder.
    pub fn prepare(
        stop: &Stop,
        to: &Manifest,
        aside: &Aside,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let mut start = Self::prepare_new(&stop.manifest, to, aside, now)?;
        start.also_out.retain(|path| *path != stop.kept);
        start.like = Some(stop.kept.clone());
        Ok(start)
    }

    /// Prepares to bring in a manifest in whose place there was none. Nothing is written yet.
    ///
    /// # Errors
    /// As [`Start::prepare`].
    pub(crate) fn prepare_new(
        manifest: &Path,
        to: &Manifest,
        aside: &Aside,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        Ok(Self {
            manifest: manifest.to_owned(),
            like: None,
            kept: aside.name_for(manifest, Why::Undone, now)?,
            after: sha256(to.bytes()),
            also_out: taken_out(to, aside)?,
        })
    }

    /// Writes the manifest into the folder, and marks the copies of the pod that were taken out as brought back: what they were
    /// is what ran before this. Gives back whether that was still to be done.
    ///
    /// # Errors
    /// `FailureKind::Refused` when another file is in the place; `FailureKind::Missing` when the one that was taken out
    /// is not there; else what the disk says.
    pub fn apply(&self, to: &Manifest) -> Result<bool, Failure> {
        is_prepared(to, &self.after)?;
        if self.manifest.symlink_metadata().is_ok() {
            let file = open(&self.manifest, Links::Refused)?;
            return if sha256(&content(&self.manifest, &file)?) == self.after {
                self.mark(mark_returned)?;
                Ok(false)
            } else {
                Err(exists(&self.manifest).hint("move it out of the folder, then begin again"))
            };
        }
        let like = self.like.as_ref();
        let like = like.map(|like| kept_content(&kept_now(like))).transpose()?;
        let like = like.as_ref().map(|(file, _)| file);
        let temporary = unfinished(&self.manifest);
        put(&self.manifest, &temporary, to.bytes(), like, Over::Nothing)?;
        self.mark(mark_returned)?;
        Ok(true)
    }

    /// Takes it out again, aside; also what was there before, if somebody has brought that back by hand meanwhile. Gives back
    /// whether that was still to be done.
    ///
    /// # Errors
    /// As [`Stop::apply`].
    pub fn undo(&self) -> Result<bool, Failure> {
        let out = self.manifest.symlink_metadata().is_err();
        if out && self.kept.symlink_metadata().is_err() {
            // It never was in.
            return Ok(false);
        }
        let stop = Stop {
            manifest: self.manifest.clone(),
            kept: self.kept.clone(),
            sha256: match out {
                true => self.own_digest(&self.kept)?,
                false => self.own_digest(&self.manifest)?,
            },
        };
        let was_in = stop.apply()?;
        // What was the newest one that was taken out is so again.
        self.mark(mark_stopped)?;
        Ok(was_in)
    }

    /// The sha256 of what was taken out, in hex; none: nothing was, or its copy is not there any more.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn before(&self) -> Result<Option<String>, Failure> {
        let Some(copy) = self.like.as_ref().map(|like| kept_now(like)) else {
            return Ok(None);
        };
        if copy.symlink_metadata().is_err() {
            return Ok(None);
        }
        Ok(Some(sha256(&kept_content(&copy)?.1)))
    }

    /// What a file at a path has to be, to go aside: the one that was put in, or the one that was taken out.
    fn own_digest(&self, path: &Path) -> Result<String, Failure> {
        Ok(match self.before()? {
            Some(before) if !holds_another(path, &before)? => before,
            _ => self.after.clone(),
        })
    }

    fn mark(&self, mark: impl Fn(&Path, &Path) -> Result<(), Failure>) -> Result<(), Failure> {
        if let Some(like) = &self.like {
            mark(like, &self.manifest)?;
        }
        for path in &self.also_out {
            // Its file may have had another name in the folder.
            if let Some(kept) = Kept::of(path) {
                mark(path, Path::new(&kept.name))?;
            }
        }
        Ok(())
    }
}

/// The copies of a manifest's pod that were taken out and have not come back. One that cannot be read any more is none that
/// could be brought back.
fn taken_out(manifest: &Manifest, aside: &Aside) -> Result<Vec<PathBuf>, Failure> {
    let pod = manifest.pod();
    let is_of_pod =
        |path: &Path| ManifestFile::read(path).is_ok_and(|file| file.manifest.pod() == pod);
    let all = aside.list()?.into_iter();
    let stopped = all.filter(|kept| kept.why == Why::Stopped && is_of_pod(&kept.path));
    Ok(stopped.map(|kept| kept.path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");

    #[test]
    fn what_was_taken_out_is_history_once_another_manifest_of_the_pod_is_started() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().join("manifests");
        let aside = Aside::new(&dir.path().join("kept"));
        std::fs::create_dir(&pods).unwrap();
        std::fs::create_dir(aside.folder()).unwrap();
        let events = ETCD.replace(
            "  name: etcd\n  namespace",
            "  name: etcd-events\n  namespace",
        );
        let of_others = "etcd-events.yaml-2026-11-20T210000Z.stopped";
        for (name, text) in [
            ("etcd.yaml-2026-11-19T210000Z.stopped", ETCD),
            ("etcd.yaml-2026-11-20T210000Z.stopped", ETCD),
            // The same pod, by a file that had another name.
            ("main.yaml-2026-11-18T210000Z.stopped", ETCD),
            ("etcd.yaml-2026-11-17T210000Z.returned", ETCD),
            (of_others, events.as_str()),
        ] {
            std::fs::write(aside.folder().join(name), text).unwrap();
        }
        let stopped = || -> Vec<String> {
            let all = aside.list().unwrap().into_iter();
            let stopped = all.filter(|kept| kept.why == Why::Stopped);
            let name = |kept: Kept| kept.path.file_name().unwrap().to_str().unwrap().to_owned();
            stopped.map(name).collect()
        };
        let before = stopped();
        assert_eq!(before.len(), 4);
        let now = "2026-11-21T21:00:00Z".parse().unwrap();
        let new = Manifest::parse(ETCD.replace("10000", "20000").as_bytes()).unwrap();
        // Of a file of somebody's own, and of a copy.
        let copy = Kept::of(&aside.folder().join("etcd.yaml-2026-11-20T210000Z.stopped")).unwrap();
        let out = Stop::of_kept(&copy, &pods).unwrap();
        for start in [
            Start::prepare_new(&pods.join("etcd.yaml"), &new, &aside, now).unwrap(),
            Start::prepare(&out, &new, &aside, now).unwrap(),
        ] {
            assert_eq!(start.apply(&new), Ok(true));
            assert_eq!(stopped(), [of_others]);
            assert_eq!(start.apply(&new), Ok(false));
            assert_eq!(start.undo(), Ok(true));
            assert_eq!(stopped(), before, "what was stopped is so again");
            std::fs::remove_file(&start.kept).unwrap();
        }
    }
}
