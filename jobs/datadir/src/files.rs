//! Making files.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::Error;

/// Makes a file that is not there yet, readable for its owner alone: it holds all Secrets of a cluster.
///
/// # Errors
/// [`Error::Io`], also when something of that name is there.
pub(crate) fn create_private(path: &Path) -> Result<File, Error> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io(&path.display().to_string(), "create", e))
}
