//! A manifest taken out of the static pods' folder and brought back with the same bytes.
//!
//! Files only: whether kubelet then stops or starts the pod is another matter, which has to be proved. Unchanged bytes are
//! worth having: kubelet starts such a pod at once, a changed one only when the old one's mirror is gone. To bring back
//! others all the same, there is [`super::Start`].

use std::fs::File;
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use super::ManifestFile;
use super::archive::{
    Aside, Kept, Why, is_kept, keep, kept_content, kept_now, make_folder_of, mark_returned,
    mark_stopped, spoiled,
};
use super::file::{Links, Over, changed, content, open, put, sha256, unfinished};
use crate::disk::files::{self, exists, is_there, sync_folder_of, trouble};
use crate::failure::Failure;

/// One manifest out of the folder. As a [`super::Change`] it is made before anything is done and can be resumed or
/// undone from its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// The manifest.
    pub manifest: PathBuf,
    /// Where it goes.
    pub kept: PathBuf,
    /// The sha256 of its bytes, in hex.
    pub sha256: String,
}

impl Stop {
    /// Prepares to take a file out that was read. Nothing is moved yet.
    ///
    /// # Errors
    /// `FailureKind::Refused` when it is a link, or has no place in the folder aside.
    pub fn prepare(file: &ManifestFile, aside: &Aside, now: Timestamp) -> Result<Self, Failure> {
        // What could not be moved is not begun with: there would be a step to roll back that never did anything.
        open(&file.path, Links::Refused)?;
        Ok(Self {
            manifest: file.path.clone(),
            kept: aside.name_for(&file.path, Why::Stopped, now)?,
            sha256: sha256(file.manifest.bytes()),
        })
    }

    /// The record of a manifest that was taken out of this folder earlier, to bring it back with [`Stop::undo`].
    ///
    /// # Errors
    /// What the disk says of the kept file.
    pub(crate) fn of_kept(kept: &Kept, pods: &std::path::Path) -> Result<Self, Failure> {
        let (_, bytes) = kept_content(&kept_now(&kept.path))?;
        Ok(Self {
            manifest: pods.join(&kept.name),
            kept: kept.path.clone(),
            sha256: sha256(&bytes),
        })
    }

    /// Moves the manifest out. Gives back whether that was still to be done.
    ///
    /// # Errors
    /// `FailureKind::Refused` when the file is not the one that was read, or is a link, or its place aside is taken;
    /// `FailureKind::Missing` when it is neither here nor there; else what the disk says.
    pub fn apply(&self) -> Result<bool, Failure> {
        if !is_there(&self.manifest)? {
            return if is_kept(&self.kept, &self.sha256)? {
                Ok(false)
            } else {
                let message = format!("{} is not there", self.manifest.display());
                Err(Failure::missing(message).hint("somebody else took it out of the folder"))
            };
        }
        let file = open(&self.manifest, Links::Refused)?;
        let bytes = content(&self.manifest, &file)?;
        if sha256(&bytes) != self.sha256 {
            return Err(changed(&self.manifest));
        }
        make_folder_of(&self.kept)?;
        // The same record did it before, and it was brought back.
        mark_stopped(&self.kept, &self.manifest)?;
        match renameat_with(CWD, &self.manifest, CWD, &self.kept, RenameFlags::NOREPLACE) {
            Ok(()) => self.moved(),
            // Another file system, or one that cannot rename so; or a copy of a move that was interrupted.
            Err(
                rustix::io::Errno::XDEV
                | rustix::io::Errno::INVAL
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::EXIST,
            ) => self.move_by_copy(&bytes, &file),
            Err(error) => Err(trouble("move", &self.manifest, &error.into())),
        }?;
        Ok(true)
    }

    /// Brings a copy of the same bytes back, with mode and owner; what is kept stays, marked as brought back. Gives back
    /// whether that was still to be done: not where nothing was ever moved, whatever is in the place.
    ///
    /// # Errors
    /// `FailureKind::Refused` when another file is in the place, or the kept one is not what it was;
    /// `FailureKind::Missing` when the kept one is not there; else what the disk says.
    pub fn undo(&self) -> Result<bool, Failure> {
        if self.never_left()? {
            return Ok(false);
        }
        if is_there(&self.manifest)? {
            let file = open(&self.manifest, Links::Refused)?;
            return if sha256(&content(&self.manifest, &file)?) == self.sha256 {
                mark_returned(&self.kept, &self.manifest)?;
                Ok(false)
            } else {
                Err(exists(&self.manifest).hint("move it out of the folder, then begin again"))
            };
        }
        let now = kept_now(&self.kept);
        let (kept, bytes) = kept_content(&now)?;
        if sha256(&bytes) != self.sha256 {
            return Err(spoiled(&now));
        }
        let temporary = unfinished(&self.manifest);
        put(
            &self.manifest,
            &temporary,
            &bytes,
            Some(&kept),
            Over::Nothing,
        )?;
        mark_returned(&self.kept, &self.manifest)?;
        Ok(true)
    }

    /// Where its copy is now.
    pub(crate) fn kept_now(&self) -> PathBuf {
        kept_now(&self.kept)
    }

    /// Whether there is something in the place of the manifest, and nothing of it was kept: it was never moved.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn never_left(&self) -> Result<bool, Failure> {
        Ok(!is_there(&self.kept_now())? && is_there(&self.manifest)?)
    }

    /// What was moved is what was looked at, or it goes back.
    fn moved(&self) -> Result<(), Failure> {
        if !is_kept(&self.kept, &self.sha256)? {
            files::name(&self.kept, &self.manifest)?;
            return Err(changed(&self.manifest));
        }
        sync_folder_of(&self.kept)?;
        sync_folder_of(&self.manifest)
    }

    /// The copy is on the disk before the manifest goes.
    fn move_by_copy(&self, bytes: &[u8], file: &File) -> Result<(), Failure> {
        keep(&self.kept, bytes, file)?;
        let again =
            open(&self.manifest, Links::Refused).and_then(|file| content(&self.manifest, &file))?;
        if again != bytes {
            return Err(changed(&self.manifest));
        }
        std::fs::remove_file(&self.manifest)
            .map_err(|error| trouble("move", &self.manifest, &error))?;
        sync_folder_of(&self.manifest)
    }
}
