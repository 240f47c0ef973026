//! A manifest's file changed, so that it can be resumed or undone whatever happens in between.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::archive::{Aside, Why, keep, kept_content, spoiled};
use super::file::{Links, Over, changed, content, is_prepared, open, put, sha256, unfinished};
use super::{Manifest, ManifestFile};
use crate::failure::Failure;

/// A change of one manifest's file. It is made before anything is done, goes into a journal, and says afterwards how far
/// things are: [`Change::apply`] and [`Change::undo`] do what is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The manifest.
    pub manifest: PathBuf,
    /// Where its bytes from before the change are kept.
    pub kept: PathBuf,
    /// The sha256 of the bytes before, in hex.
    pub before: String,
    /// The sha256 of the bytes afterwards, in hex.
    pub after: String,
}

impl Change {
    /// Prepares the change of a file that was read to a manifest that was made of it. None when there is nothing to change.
    /// Nothing is written yet.
    ///
    /// # Errors
    /// `FailureKind::Refused` when the kept one has no place in the folder aside.
    pub fn prepare(
        file: &ManifestFile,
        to: &Manifest,
        aside: &Aside,
        now: Timestamp,
    ) -> Result<Option<Self>, Failure> {
        if file.manifest.bytes() == to.bytes() {
            return Ok(None);
        }
        Ok(Some(Self {
            manifest: file.path.clone(),
            kept: aside.name_for(&file.path, Why::Changed, now)?,
            before: sha256(file.manifest.bytes()),
            after: sha256(to.bytes()),
        }))
    }

    /// Keeps the old bytes, then replaces the file. Gives back whether that was still to be done.
    ///
    /// # Errors
    /// `FailureKind::Refused` when the file is neither the old nor the new one, or is a link; `FailureKind::Missing`
    /// when it is not there; else what the disk says. The file is then what it was, or the new one if the disk failed only
    /// when its name was flushed.
    pub fn apply(&self, to: &Manifest) -> Result<bool, Failure> {
        is_prepared(to, &self.after)?;
        let file = open(&self.manifest, Links::Refused).map_err(|failure| self.away(failure))?;
        let bytes = content(&self.manifest, &file)?;
        let now = sha256(&bytes);
        if now == self.after {
            return Ok(false);
        }
        if now != self.before {
            return Err(changed(&self.manifest));
        }
        keep(&self.kept, &bytes, &file)?;
        self.replace(to.bytes(), &file, &self.before)?;
        Ok(true)
    }

    /// Brings the kept bytes back. Gives back whether that was still to be done. What is kept stays.
    ///
    /// # Errors
    /// As [`Change::apply`].
    pub fn undo(&self) -> Result<bool, Failure> {
        let file = open(&self.manifest, Links::Refused).map_err(|failure| self.away(failure))?;
        let now = sha256(&content(&self.manifest, &file)?);
        if now == self.before {
            return Ok(false);
        }
        if now != self.after {
            return Err(changed(&self.manifest));
        }
        let (kept, bytes) = kept_content(&self.kept)?;
        if sha256(&bytes) != self.before {
            return Err(spoiled(&self.kept));
        }
        self.replace(&bytes, &kept, &self.after)?;
        Ok(true)
    }

    fn replace(&self, bytes: &[u8], like: &std::fs::File, over: &str) -> Result<(), Failure> {
        let path: &Path = &self.manifest;
        put(path, &unfinished(path), bytes, Some(like), Over::File(over))
    }

    fn away(&self, failure: Failure) -> Failure {
        match self.manifest.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => failure
                .hint("if it was taken out of the folder to stop the pod, bring it back first"),
            _ => failure,
        }
    }
}
