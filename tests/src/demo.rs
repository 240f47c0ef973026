//! The first thing one sees of the project: a cluster, the plugin, its status, a snapshot.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::{checkpoint, state};
use crate::needs::{self, Wanted, Work};
use crate::parts::rounded;
use crate::process::{both, say};
use crate::{Cluster, Spec, parts, paths};

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

/// Brings up the cluster if it is not there and builds the plugin, side by side; shows the status and saves a snapshot, in a
/// folder that outlives the cluster. What the commands print goes to the terminal as it would for anybody.
///
/// # Errors
/// When a step fails; the cluster stays then, once it was up.
pub fn run(spec: &Spec, name: &str) -> Result<Demo> {
    let there = state::all()?.iter().any(|s| s.name == name);
    needs::ensure(&wanted(spec, !there))?;
    say(&beforehand(spec, there)?);
    let (cluster, plugin) = both(|| cluster(spec, name, there), parts::quick_plugin)?;
    let programs = link_programs(&cluster, &plugin)?;
    show(&cluster, &programs, &["etcd", "status"])?;
    let snapshot = free_name(&paths::snapshots()?, name);
    show(
        &cluster,
        &programs,
        &["etcd", "snapshot", "save", &snapshot.display().to_string()],
    )?;
    Ok(Demo {
        cluster,
        programs,
        snapshot,
    })
}

/// What a demonstration needs of this machine.
#[must_use]
pub fn wanted(spec: &Spec, new_cluster: bool) -> Wanted {
    Wanted {
        work: Work::Plugin,
        parts: parts::of_nodes(spec.kubernetes, spec.etcd),
        nodes: if new_cluster { spec.masters } else { 0 },
    }
}

fn cluster(spec: &Spec, name: &str, there: bool) -> Result<Cluster> {
    if !there {
        return Cluster::up(spec, name);
    }
    let cluster = Cluster::open(name)?;
    cluster.power_on_all()?;
    cluster.wait_ready()?;
    Ok(cluster)
}

/// How long a build of the plugin takes on 2 cores when nothing of it is there, and how long when everything is.
const PLUGIN_SECONDS: [u32; 2] = [240, 10];
/// The same for a cluster: when kubeadm makes it, from a checkpoint, and when it is there.
const CLUSTER_SECONDS: [u32; 3] = [100, 40, 10];

/// How long it will take, and what for.
fn beforehand(spec: &Spec, there: bool) -> Result<String> {
    let mut steps: Vec<(String, u32)> = parts::of_nodes(spec.kubernetes, spec.etcd)
        .into_iter()
        .filter(|part| !part.is_there())
        .map(|part| (part.name, part.seconds))
        .collect();
    let [whole, nothing] = PLUGIN_SECONDS;
    let built = parts::target_folder()?.join("debug/kubectl-etcd").exists();
    steps.push(("the plugin".to_owned(), if built { nothing } else { whole }));
    let [by_kubeadm, from_checkpoint, up] = CLUSTER_SECONDS;
    let seconds = match there {
        true => up,
        false if checkpoint::is_of_kind(spec)? => from_checkpoint,
        false => by_kubeadm,
    };
    steps.push(("the cluster".to_owned(), seconds));
    Ok(tell(&steps))
}

fn tell(steps: &[(String, u32)]) -> String {
    let total = steps.iter().map(|(_, seconds)| seconds).sum();
    let each = steps
        .iter()
        .map(|(name, seconds)| format!("{name} {}", rounded(*seconds)));
    format!(
        "this takes about {} on 2 cores: {}",
        rounded(total),
        each.collect::<Vec<_>>().join(", ")
    )
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

fn show(cluster: &Cluster, programs: &Path, args: &[&str]) -> Result<()> {
    say(&format!("\n$ kubectl {}", args.join(" ")));
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new(programs.join("kubectl"))
        .args(args)
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

    #[test]
    fn the_time_is_told_before_with_what_takes_it() {
        let steps = [
            ("kubernetes-v1".to_owned(), 360),
            ("the cluster".to_owned(), 40),
        ];
        assert_eq!(
            tell(&steps),
            "this takes about 7 minutes on 2 cores: kubernetes-v1 6 minutes, the cluster 40 s"
        );
    }
}
