//! Where the test bed keeps what it makes: one folder outside the source tree.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Environment variable that moves everything the test bed keeps to another folder.
pub const ROOT_VARIABLE: &str = "KUBECTL_ETCD_TESTBED";

/// The folder that holds parts, checkpoints, clusters and locks.
///
/// `$KUBECTL_ETCD_TESTBED`, else `$XDG_CACHE_HOME/kubectl-etcd`, else `~/.cache/kubectl-etcd`. Everything lies in
/// one folder, hence on one file system, because clusters hard-link the unpacked images instead of copying them.
///
/// # Errors
/// When neither variable nor `HOME` is set.
pub fn root() -> Result<PathBuf> {
    if let Some(path) = non_empty(ROOT_VARIABLE) {
        return Ok(path);
    }
    if let Some(cache) = non_empty("XDG_CACHE_HOME") {
        return Ok(cache.join("kubectl-etcd"));
    }
    let home = non_empty("HOME").context("neither HOME nor XDG_CACHE_HOME is set")?;
    Ok(home.join(".cache/kubectl-etcd"))
}

fn non_empty(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

fn folder(name: &str) -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let path = root()?.join(name);
    // 0700: clusters hold private keys, and a copy of this machine's /etc.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path)
}

/// What clusters are made of, by name and version; may be deleted when no cluster is up, is then built again.
///
/// # Errors
/// When the folder cannot be made.
pub fn parts() -> Result<PathBuf> {
    folder("parts")
}

/// Disks of powered-off control-plane nodes that new clusters start from.
///
/// # Errors
/// When the folder cannot be made.
pub fn checkpoints() -> Result<PathBuf> {
    folder("checkpoints")
}

/// Databases that benchmarks measure with, made once.
///
/// # Errors
/// When the folder cannot be made.
pub fn benchmarks() -> Result<PathBuf> {
    folder("benchmarks")
}

/// One folder for each cluster.
///
/// # Errors
/// When the folder cannot be made.
pub fn clusters() -> Result<PathBuf> {
    folder("clusters")
}

/// Snapshots that demonstrations save; they outlive the clusters.
///
/// # Errors
/// When the folder cannot be made.
pub fn snapshots() -> Result<PathBuf> {
    folder("snapshots")
}

/// Lock files.
///
/// # Errors
/// When the folder cannot be made.
pub fn locks() -> Result<PathBuf> {
    folder("locks")
}
