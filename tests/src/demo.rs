//! The first thing one sees of the project: a cluster, the plugin, its status, a snapshot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::state;
use crate::process::say;
use crate::{Cluster, Spec, parts};

/// What the demonstration leaves to play with.
#[derive(Debug)]
pub struct Demo {
    /// The cluster, which stays.
    pub cluster: Cluster,
    /// A folder with kubectl and the plugin, for `PATH`.
    pub programs: PathBuf,
    /// The snapshot.
    pub snapshot: PathBuf,
}

/// Brings up the cluster if it is not there, builds plugin and job image, shows status and saves a snapshot into the
/// folder. What the commands print goes to the terminal as it would for anybody.
///
/// # Errors
/// When a step fails; the cluster stays then, once it was up.
pub fn run(spec: &Spec, name: &str, folder: &Path) -> Result<Demo> {
    let cluster = if state::all()?.iter().any(|s| s.name == name) {
        let cluster = Cluster::open(name)?;
        cluster.power_on_all()?;
        cluster.wait_ready()?;
        cluster
    } else {
        Cluster::up(spec, name)?
    };
    let plugin = parts::plugin()?;
    let image = parts::job_image()?;
    for node in cluster.nodes() {
        node.load_image(&image.archive)?;
    }
    let programs = link_programs(&cluster, &plugin)?;
    show(&cluster, &programs, folder, &["etcd", "status"])?;
    let snapshot = free_name(folder, name);
    show(
        &cluster,
        &programs,
        folder,
        &["etcd", "snapshot", "save", &snapshot.display().to_string()],
    )?;
    Ok(Demo {
        cluster,
        programs,
        snapshot,
    })
}

/// The first of `NAME.snapshot.db`, `NAME-2.snapshot.db`, … that is not there: no snapshot is overwritten.
fn free_name(folder: &Path, name: &str) -> PathBuf {
    let numbered = (2_u32..).map(|n| format!("{name}-{n}.snapshot.db"));
    let mut names = std::iter::once(format!("{name}.snapshot.db"))
        .chain(numbered)
        .map(|n| folder.join(n));
    names
        .find(|path| !path.exists())
        .unwrap_or_else(|| folder.join(name))
}

/// A folder with kubectl, the plugin and the name under which kubectl asks it for completions.
///
/// # Errors
/// When a link cannot be made.
pub fn link_programs(cluster: &Cluster, plugin: &Path) -> Result<PathBuf> {
    let folder = cluster.folder().join("programs");
    fs::create_dir_all(&folder)?;
    for (name, target) in [
        ("kubectl", cluster.kubectl_path().as_path()),
        ("kubectl-etcd", plugin),
        ("kubectl_complete-etcd", plugin),
    ] {
        let link = folder.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(target, &link).with_context(|| format!("cannot create {}", link.display()))?;
    }
    Ok(folder)
}

fn show(cluster: &Cluster, programs: &Path, folder: &Path, args: &[&str]) -> Result<()> {
    say(&format!("\n$ kubectl {}", args.join(" ")));
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new(programs.join("kubectl"))
        .args(args)
        .current_dir(folder)
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("PATH", format!("{}:{path}", programs.display()))
        .status()
        .context("cannot start kubectl")?;
    if !status.success() {
        bail!("kubectl {} ended with {status}", args.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_demonstration_keeps_the_first_ones_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        for expected in [
            "demo.snapshot.db",
            "demo-2.snapshot.db",
            "demo-3.snapshot.db",
        ] {
            let path = free_name(folder.path(), "demo");
            assert_eq!(path, folder.path().join(expected));
            fs::write(path, "").unwrap();
        }
    }
}
