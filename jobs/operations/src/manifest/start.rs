//! A manifest that was taken out, brought back with other bytes.
//!
//! For what has to be changed while its pod is down: if the old bytes came back first, kubelet would start them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::aside::{Aside, Why, kept_content, kept_now, mark_returned, mark_stopped};
use super::file::{
    Links, Over, content, holds_another, is_prepared, open, put, sha256, unfinished,
};
use super::{Manifest, Stop};
use crate::failure::Failure;
use crate::kept::files::exists;

/// One manifest into the folder. As a [`super::Change`] it is made before anything is done and can be gone on with or undone
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
}

impl Start {
    /// Prepares to bring back what was taken out, changed. Nothing is written yet.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when it would have no place in the folder aside.
    pub fn prepare(
        stop: &Stop,
        to: &Manifest,
        aside: &Aside,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        Ok(Self {
            like: Some(stop.kept.clone()),
            ..Self::prepare_new(&stop.manifest, to, aside, now)?
        })
    }

    /// Prepares to bring in a manifest in whose place there was none. Nothing is written yet.
    ///
    /// # Errors
    /// As [`Start::prepare`].
    pub fn prepare_new(
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
        })
    }

    /// Writes the manifest into the folder, and marks the copy that was taken out as brought back. Gives back whether that was
    /// still to be done.
    ///
    /// # Errors
    /// [`FailureKind::Refused`] when another file is in the place; [`FailureKind::Missing`] when the one that was taken out
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
        // What it was made of is the newest one again that was taken out.
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
        self.like
            .as_ref()
            .map_or(Ok(()), |like| mark(like, &self.manifest))
    }
}
