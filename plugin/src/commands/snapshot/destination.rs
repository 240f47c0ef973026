//! Where a snapshot is to lie, as it is typed.

use std::path::{Path, PathBuf};

use etcd_operations::stored::description::Description;

use kubectl_etcd_core::error::Error;

/// The file that is meant by a file, a folder or nothing: a full path at which there is nothing yet.
///
/// # Errors
/// When something is there already, or the folder cannot be used.
pub(super) fn free_file(wanted: Option<&Path>, default_name: &str) -> Result<PathBuf, Error> {
    let wanted = wanted.unwrap_or(Path::new("."));
    let file = if wanted.is_dir() {
        wanted.join(default_name)
    } else {
        wanted.to_owned()
    };
    for taken in [&file, &Description::path_of(&file)] {
        if taken.symlink_metadata().is_ok() {
            return Err(Error::refused(format!(
                "{} is there already, and nothing is ever overwritten",
                taken.display()
            ))
            .hint("name another file, or move that one aside"));
        }
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|cause| {
        Error::failed(format!("the folder {} cannot be used", folder.display())).caused_by(cause)
    })?;
    let name = file
        .file_name()
        .ok_or_else(|| Error::usage(format!("{} is no file name", file.display())))?;
    Ok(folder.join(name))
}

/// A path that names a folder on a node, where no current folder means anything.
pub(super) fn full_path(folder: &Path, flag: &str) -> Result<PathBuf, Error> {
    if folder.is_absolute() {
        return Ok(folder.to_owned());
    }
    Err(Error::usage(format!(
        "{flag}={} is not a full path: it names a folder on the node",
        folder.display()
    )))
}
