//! A bundle, as people open one.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use testbed::process;

/// Its files, in a folder of their own.
pub(crate) fn unpacked(bundle: &Path) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "-xpf"])
        .arg(bundle)
        .arg("-C")
        .arg(folder.path());
    process::success(&mut tar)?;
    Ok(folder)
}
