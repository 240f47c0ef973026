//! Checkpoints: the disks of a cluster that kubeadm has just made, to start others from.
//!
//! Certificates, manifests and etcd's members hold addresses, and those come from the slot; so a checkpoint is for
//! one slot. It is taken of a running cluster, all nodes frozen for about a second: to the copy that is a power loss.
//! Images, journals and containers' logs are left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{Cluster, Spec, kubeadm, leases};
use crate::network::Slot;
use crate::node::{Node, disk};
use crate::parts::versions::{Etcd, Kubernetes};
use crate::paths;
use crate::process::{run, success};

/// kubeadm's certificates are good for a year; nothing says that a much older cluster is like a new one.
const OLDEST: Duration = Duration::from_secs(60 * 60 * 24 * 30);

/// What of a disk is kept.
const KEPT: [&str; 10] = [
    "etc",
    "opt",
    "root",
    "var/cache",
    "var/lock",
    "var/run",
    "var/lib/cni",
    "var/lib/etcd",
    "var/lib/kubelet",
    "var/tmp",
];

/// What a disk has beside that, empty.
const EMPTY: [(&str, u32); 4] = [
    ("tmp", 0o1777),
    ("var/log/journal", 0o755),
    ("var/log/pods", 0o755),
    ("var/log/containers", 0o755),
];

impl Cluster {
    /// Where the checkpoint of such a cluster is: its name tells everything that decides what is in it.
    fn checkpoint(&self) -> Result<PathBuf> {
        let state = &self.state;
        let first = self
            .nodes
            .first()
            .context("a cluster has a control-plane node")?;
        let made_by =
            disk::fingerprint() + &kubeadm::fingerprint(first, state.kubernetes, state.etcd);
        let hash = Sha256::digest(made_by.as_bytes());
        let hash: String = hash.iter().take(4).map(|b| format!("{b:02x}")).collect();
        let kind = kind(state.kubernetes, state.etcd, state.masters);
        let slot = state.slot.number();
        Ok(paths::checkpoints()?.join(format!("{kind}slot-{slot}-{hash}")))
    }

    /// The checkpoint to start from, if there is one that is not too old.
    pub(super) fn usable_checkpoint(&self) -> Result<Option<PathBuf>> {
        let path = self.checkpoint()?;
        let Ok(meta) = fs::metadata(&path) else {
            return Ok(None);
        };
        let age = SystemTime::now()
            .duration_since(meta.modified()?)
            .unwrap_or_default();
        if age < OLDEST {
            return Ok(Some(path));
        }
        fs::remove_dir_all(&path)?;
        Ok(None)
    }

    /// Keeps the disks as they are now for later clusters. The nodes stand still meanwhile, for about a second.
    ///
    /// # Errors
    /// When a node is off or the disks cannot be copied.
    pub(super) fn save_checkpoint(&self) -> Result<()> {
        let path = self.checkpoint()?;
        let unfinished = path.with_extension("part");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        // A lease that lies in the checkpoint would be waited for, 15 s, by whoever starts from it.
        self.delete_leases(&leases::COMPONENTS)?;
        let frozen = Frozen::all(&self.nodes)?;
        for node in &self.nodes {
            copy_disk(&node.disk(), &unfinished.join(node.name()))?;
        }
        drop(frozen);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::rename(&unfinished, &path).with_context(|| format!("cannot create {}", path.display()))
    }

    /// Gives every node its disk out of a checkpoint.
    pub(super) fn restore_checkpoint(&self, from: &Path) -> Result<()> {
        for node in &self.nodes {
            let disk = node.disk();
            fs::create_dir_all(node.folder())?;
            let source = from.join(node.name());
            run(
                "cp",
                [
                    "-a".as_ref(),
                    "--reflink=auto".as_ref(),
                    "--sparse=always".as_ref(),
                    source.as_os_str(),
                    disk.as_os_str(),
                ],
            )?;
            node.create_around_disk()?;
        }
        Ok(())
    }
}

/// A checkpoint that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it is of.
    pub name: String,
    /// When it was taken.
    pub taken: SystemTime,
}

/// Every checkpoint there is, by name.
///
/// # Errors
/// When the folder cannot be read.
pub fn all() -> Result<Vec<Checkpoint>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(paths::checkpoints()?)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().extension().is_none_or(|e| e != "part") {
            found.push(Checkpoint {
                name,
                taken: entry.metadata()?.modified()?,
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether there is a checkpoint of such clusters. It may turn out to be of other disks, or too old, when it is used.
///
/// # Errors
/// When the folder cannot be read.
pub fn is_of_kind(spec: &Spec) -> Result<bool> {
    let kind = kind(spec.kubernetes, spec.etcd, spec.masters);
    Ok(all()?.iter().any(|found| found.name.starts_with(&kind)))
}

/// The same, for one slot.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn is_for(spec: &Spec, slot: Slot) -> Result<bool> {
    let kind = kind(spec.kubernetes, spec.etcd, spec.masters);
    let slot = format!("{kind}slot-{}-", slot.number());
    Ok(all()?.iter().any(|found| found.name.starts_with(&slot)))
}

/// What the names of checkpoints of one kind begin with.
fn kind(kubernetes: Kubernetes, etcd: Etcd, masters: u8) -> String {
    let (kubernetes, etcd) = (kubernetes.version(), etcd.version());
    format!("kubernetes-{kubernetes}-etcd-{etcd}-masters-{masters}-")
}

/// Removes every checkpoint; the next cluster of each kind is made by kubeadm again.
///
/// # Errors
/// When one cannot be removed.
pub fn clear() -> Result<()> {
    let folder = paths::checkpoints()?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn copy_disk(disk: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(to)?;
    let mut command = Command::new("cp");
    command
        .current_dir(disk)
        .args(["-a", "--parents", "--reflink=auto", "--sparse=always"])
        .args(KEPT)
        .arg(to);
    success(&mut command)?;
    for (folder, mode) in EMPTY {
        let path = to.join(folder);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Nodes that stand still as long as this value lives.
struct Frozen<'a>(Vec<&'a Node>);

impl<'a> Frozen<'a> {
    fn all(nodes: &'a [Node]) -> Result<Self> {
        let mut frozen = Self(Vec::new());
        for node in nodes {
            frozen.0.push(node);
            node.freeze()?;
        }
        Ok(frozen)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        for node in &self.0 {
            if let Err(error) = node.thaw() {
                crate::process::say(&format!("{} stays frozen: {error:#}", node.name()));
            }
        }
    }
}
