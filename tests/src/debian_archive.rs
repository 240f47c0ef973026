//! Debian's archive, by apt-get.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run, success};

/// Fetches the lists of what the archive has.
pub(crate) fn update() -> Result<()> {
    run("apt-get", ["-q", "update"]).map(drop)
}

/// Unpacks a package into a folder without installing it: what it would start with the machine is not wanted.
pub(crate) fn unpack(package: &str, out: &Path) -> Result<()> {
    let download = || {
        let mut command = Command::new("apt-get");
        success(command.args(["-q", "download", package]).current_dir(out)).map(drop)
    };
    download()
        .or_else(|_| update().and_then(|()| download()))
        .with_context(|| format!("cannot download the Debian package {package}"))?;
    let entries = fs::read_dir(out)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths = entries.iter().map(fs::DirEntry::path);
    let archive = paths
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .with_context(|| format!("apt-get left no package in {}", out.display()))?;
    let done = success(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(out));
    done.with_context(|| format!("cannot unpack {}", archive.display()))?;
    Ok(fs::remove_file(archive)?)
}
