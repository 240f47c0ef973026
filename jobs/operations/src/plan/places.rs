//! Where a plan puts data: beside the data directory, on the same file system, under the plan's name.

use std::path::{Path, PathBuf};

use rustix::fs::stat;

use super::PlanId;
use crate::disk::files::trouble;
use crate::failure::Failure;

/// How the names of folders end in which is what was there before.
pub(crate) const BEFORE: &str = "before";

/// The same of those for what takes its place.
pub(crate) const NEW: &str = "new";

/// The folders of a plan for one directory. Each gets what is to lie in the directory: `member`, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// For what was there before.
    pub(crate) before: PathBuf,
    /// For what is restored.
    pub(crate) new: PathBuf,
    /// For a copy.
    pub(crate) copy: PathBuf,
}

impl Places {
    /// The folders for a directory: its siblings, `/var/lib/etcd-restore-2026-11-22T083000Z.before`. Where it is the top of
    /// a file system of its own they are in it; etcd passes by what it does not know.
    ///
    /// # Errors
    /// When the directory cannot be looked at.
    pub(crate) fn of(dir: &Path, plan: &PlanId) -> Result<Self, Failure> {
        let parent = dir.parent().unwrap_or(dir);
        let is_top = is_top(dir, parent)?;
        let stem = match (is_top, dir.file_name()) {
            (false, Some(name)) => {
                let mut stem = name.to_owned();
                stem.push("-");
                stem.push(plan.as_str());
                parent.join(stem)
            }
            _ => dir.join(plan.as_str()),
        };
        let ending = |ending: &str| {
            let mut path = stem.clone().into_os_string();
            path.push(".");
            path.push(ending);
            PathBuf::from(path)
        };
        Ok(Self {
            before: ending(BEFORE),
            new: ending(NEW),
            copy: ending("copy"),
        })
    }
}

/// Whether a folder is the top of a file system of its own. One that is not there is not.
fn is_top(dir: &Path, parent: &Path) -> Result<bool, Failure> {
    let look = |path: &Path| stat(path).map(|found| (found.st_dev, found.st_ino));
    let trouble = |path: &Path, error: rustix::io::Errno| trouble("look at", path, &error.into());
    let own = match look(dir) {
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        own => own.map_err(|error| trouble(dir, error))?,
    };
    let above = look(parent).map_err(|error| trouble(parent, error))?;
    // The root is its own parent.
    Ok(own.0 != above.0 || own.1 == above.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_of_a_folder_and_inside_of_a_file_system() {
        let id = PlanId::try_from("restore-2026-11-22T083000Z".to_owned()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("etcd");
        std::fs::create_dir(&data).unwrap();
        let places = Places::of(&data, &id).unwrap();
        assert_eq!(
            places.before,
            dir.path().join("etcd-restore-2026-11-22T083000Z.before")
        );
        let top = Places::of(Path::new("/proc"), &id).unwrap();
        assert_eq!(top.new, Path::new("/proc/restore-2026-11-22T083000Z.new"));
        let none = Places::of(&dir.path().join("none"), &id).unwrap();
        assert_eq!(none.new.parent(), Some(dir.path()));
    }
}
