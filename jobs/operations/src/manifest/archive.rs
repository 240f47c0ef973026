//! The folder to which manifests are moved aside, and in which what was there before a change is kept: dated, outside the
//! folder of the static pods, never written over, never emptied by this program.

use std::fs::File;
use std::path::{Path, PathBuf};

use etcd_datadir::disk::make_folders;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::file::{Links, Over, content, open, put, sha256};
use super::place::refused;
use crate::disk::files::{entries, exists, is_there, name, refuse_shared, sync_folder_of, trouble};
use crate::failure::Failure;
use crate::state::ARCHIVE;
use crate::transfer::part_of;
use crate::utc::{is_of_time, of_time};

/// How many files of one manifest and one second get names.
const MOST_NUMBERS: u32 = 99;

/// What the names of its files have behind the manifest's: the time in UTC.
const TIME: &str = "-2026-11-20T210000Z";

/// The folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    folder: PathBuf,
}

/// Why a manifest was moved aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// It is what was there before a change.
    Changed,
    /// It was taken out of the static pods' folder, so that its pod stops.
    Stopped,
    /// It was put into the static pods' folder, and taken out again when that was undone.
    Undone,
    /// It was taken out, and was brought back since: it is history, and never brought back again.
    Returned,
}

/// A manifest that was moved aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it is.
    pub path: PathBuf,
    /// The name of its file when it was in the static pods' folder.
    pub name: String,
    /// Why it is here.
    pub why: Why,
}

impl Kept {
    /// The copy that is at a path by its name; none: it is somebody's own file.
    pub fn of(path: &Path) -> Option<Self> {
        kept(path)
    }

    /// When it was moved aside, by its name, to the second.
    pub fn at(&self) -> Option<Timestamp> {
        let file = self.path.file_name()?.to_str()?;
        let time = file.strip_prefix(&self.name)?.get(..TIME.len())?;
        let time = jiff::civil::DateTime::strptime("-%Y-%m-%dT%H%M%SZ", time).ok()?;
        time.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
    }
}

impl Why {
    const ALL: [Self; 4] = [Self::Changed, Self::Stopped, Self::Undone, Self::Returned];

    fn ending(self) -> &'static str {
        match self {
            Self::Changed => ".changed",
            Self::Stopped => ".stopped",
            Self::Undone => ".undone",
            Self::Returned => ".returned",
        }
    }
}

impl Aside {
    /// That of this host.
    pub fn of_host() -> Self {
        Self::new(Path::new(ARCHIVE))
    }

    /// A folder by its path; it is made when something comes into it.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A name for a manifest that is moved aside now, which nothing has: `etcd.yaml-2026-11-20T210000Z.changed`.
    ///
    /// # Errors
    /// `FailureKind::Refused` when the manifest's name is no text, or the folder is that of the static pods.
    pub(super) fn name_for(
        &self,
        manifest: &Path,
        why: Why,
        now: Timestamp,
    ) -> Result<PathBuf, Failure> {
        let name = manifest.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| {
            refused(
                format!("the name of {} is no text", manifest.display()),
                "give it another name",
            )
        })?;
        self.outside(manifest)?;
        let stem = of_time(name, now);
        let numbered = (1..=MOST_NUMBERS).map(|number| match number {
            1 => format!("{stem}{}", why.ending()),
            _ => format!("{stem}_{number}{}", why.ending()),
        });
        let mut free = numbered
            .map(|name| self.folder.join(name))
            .filter(|path| path.symlink_metadata().is_err() && !has_twin(path));
        free.next().ok_or_else(|| exists(&self.folder.join(stem)))
    }

    /// What was moved aside, in the order of names, and so of times for each manifest.
    ///
    /// # Errors
    /// What the disk says; a folder that is not there holds nothing.
    pub fn list(&self) -> Result<Vec<Kept>, Failure> {
        let mut kept: Vec<Kept> = entries(&self.folder)?
            .iter()
            .filter_map(|entry| kept(&entry.path()))
            .collect();
        kept.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(kept)
    }

    /// Anything in the static pods' folder is run, and a folder in it is no place either.
    fn outside(&self, manifest: &Path) -> Result<(), Failure> {
        let real = |path: &Path| {
            // The nearest part of it that is there.
            let there = path.ancestors().find_map(|path| path.canonicalize().ok());
            there.unwrap_or_else(|| path.to_owned())
        };
        let pods = real(manifest.parent().unwrap_or(Path::new("/")));
        if real(&self.folder).starts_with(&pods) {
            Err(refused(
                format!("{} lies in the static pods' folder", self.folder.display()),
                "choose a folder outside it",
            ))
        } else {
            Ok(())
        }
    }
}

/// Makes the folder of a path, 0700, or looks whether others could change what is in it.
pub(super) fn make_folder_of(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folders(folder).map_err(|error| trouble("make", folder, &error))?;
    refuse_shared(folder, "manifests are kept")
}

/// Copies a manifest to its place aside, onto the disk. One that is there already with the same bytes was brought there by
/// a run that was ended.
pub(super) fn keep(path: &Path, bytes: &[u8], like: &File) -> Result<(), Failure> {
    make_folder_of(path)?;
    if path.symlink_metadata().is_ok() {
        return if is_kept(path, &sha256(bytes))? {
            Ok(())
        } else {
            Err(exists(path))
        };
    }
    put(path, &part_of(path), bytes, Some(like), Over::Nothing)
}

/// Whether there is a file with these bytes at a place aside; false when there is nothing.
pub(super) fn is_kept(path: &Path, digest: &str) -> Result<bool, Failure> {
    Ok(is_there(path)? && sha256(&kept_content(path)?.1) == digest)
}

/// What is at a place aside.
pub(super) fn kept_content(path: &Path) -> Result<(File, Vec<u8>), Failure> {
    let file = open(path, Links::Refused)?;
    let bytes = content(path, &file)?;
    Ok((file, bytes))
}

/// The other name of a copy that was taken out: of one that has not come back the name it has then, and the other way.
fn other_name(path: &Path, from: Why, to: Why) -> Option<PathBuf> {
    let stem = path.to_str()?.strip_suffix(from.ending())?;
    // What has no time before its ending is somebody's own file.
    kept(path)?;
    Some(format!("{stem}{}", to.ending()).into())
}

/// Whether a copy of this name was taken out, and has another one since it was brought back.
fn has_twin(path: &Path) -> bool {
    let twin = other_name(path, Why::Stopped, Why::Returned);
    twin.is_some_and(|twin| twin.symlink_metadata().is_ok())
}

/// Where a manifest that was taken out is by now: it has another name when it was brought back.
pub(super) fn kept_now(path: &Path) -> PathBuf {
    let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
    let returned = other_name(path, Why::Stopped, Why::Returned).filter(is_there);
    match path.symlink_metadata() {
        Ok(_) => path.to_owned(),
        Err(_) => returned.unwrap_or_else(|| path.to_owned()),
    }
}

/// Marks a copy of a manifest that was taken out as brought back, onto the disk. One that is marked stays so.
///
/// `manifest` is what came back: a copy of another one is not touched.
pub(super) fn mark_returned(path: &Path, manifest: &Path) -> Result<(), Failure> {
    rename(path, manifest, Why::Stopped, Why::Returned)
}

/// Takes the mark away: the manifest is out again.
pub(super) fn mark_stopped(path: &Path, manifest: &Path) -> Result<(), Failure> {
    let marked = other_name(path, Why::Stopped, Why::Returned);
    marked.map_or(Ok(()), |marked| {
        rename(&marked, manifest, Why::Returned, Why::Stopped)
    })
}

fn rename(path: &Path, manifest: &Path, from: Why, to: Why) -> Result<(), Failure> {
    let of_manifest =
        kept(path).is_some_and(|kept| manifest.file_name() == Some(kept.name.as_ref()));
    let Some(to) = other_name(path, from, to).filter(|_| of_manifest) else {
        return Ok(());
    };
    if !is_there(path)? {
        return Ok(());
    }
    name(path, &to)?;
    sync_folder_of(&to)
}

/// What was moved aside is not what it was.
pub(super) fn spoiled(path: &Path) -> Failure {
    let message = format!("{} is not what was put there", path.display());
    Failure::refused(message).hint("look at it, and put the manifest in its place by hand")
}

fn kept(path: &Path) -> Option<Kept> {
    let file = path.file_name()?.to_str()?;
    let (stem, why) = Why::ALL
        .into_iter()
        .find_map(|why| Some((file.strip_suffix(why.ending())?, why)))?;
    if !is_of_time(stem) {
        return None;
    }
    let time = stem
        .rfind("Z")
        .and_then(|end| end.checked_sub(TIME.len() - 1))?;
    Some(Kept {
        path: path.to_owned(),
        name: stem.get(..time)?.to_owned(),
        why,
    })
}
