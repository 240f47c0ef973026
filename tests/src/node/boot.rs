//! Powering on: the namespaces of a node, what is mounted in them, and systemd as their first process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::disk::OWN;
use crate::cgroup::Groups;
use crate::parts::NodeParts;
use crate::process::{ProcessId, success};

/// What a boot needs to know of its node.
pub(super) struct Boot<'a> {
    pub(super) name: &'a str,
    pub(super) folder: &'a Path,
    pub(super) network: &'a str,
    pub(super) parts: &'a NodeParts,
    pub(super) groups: &'a Groups,
    /// Shell lines run when everything is mounted, before systemd starts.
    pub(super) extra: &'a str,
}

/// Starts the node's first process and gives back the one outside that holds it: when that dies, so does the node.
pub(super) fn start(boot: &Boot<'_>) -> Result<ProcessId> {
    let init = boot.folder.join("init");
    fs::write(&init, script(boot)).with_context(|| format!("cannot write {}", init.display()))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    boot.groups.create()?;
    // A node made by a program that gives way to others does not itself.
    // Not `ip netns exec`: it hides this machine's control groups before the node has its own.
    let inner = format!(
        "renice -n 0 -p $$ >/dev/null || true\n{}exec nsenter --net=/run/netns/{} unshare --mount --uts --ipc --pid --cgroup --fork --kill-child '{}'",
        boot.groups.entering(),
        boot.network,
        init.display(),
    );
    // A session of its own: a Ctrl-C at the terminal is not meant for the node. In the background, so that it belongs
    // to nobody who would have to wait for it.
    let outer = "setsid sh -ec \"$1\" </dev/null >\"$2\" 2>&1 & echo $!";
    let told = success(
        Command::new("sh")
            .args(["-c", outer, "sh", &inner])
            .arg(boot.folder.join("init.log")),
    )?;
    let pid = told
        .trim()
        .parse()
        .with_context(|| format!("no process number: {told}"))?;
    ProcessId::of(pid).with_context(|| format!("{} ended at once: {}", boot.name, log(boot.folder)))
}

/// What the boot said before systemd took over.
pub(super) fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("init.log")).unwrap_or_default()
}

fn script(boot: &Boot<'_>) -> String {
    let (name, folder) = (boot.name, boot.folder.display());
    let NodeParts {
        kubernetes,
        containerd,
        cni,
        ..
    } = boot.parts;
    let (kubernetes, containerd, cni) = (kubernetes.display(), containerd.display(), cni.display());
    let own: String = OWN
        .iter()
        .map(|f| format!("mount --bind /run/testbed/node/disk/{f} /{f}\n"))
        .collect();
    format!(
        r#"#!/bin/bash
set -e
hostname {name}
mount --make-rprivate /
mount -t proc proc /proc
{cgroups}
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir -p /run/lock /run/testbed/node /run/testbed/kubernetes /run/testbed/containerd /run/testbed/cni
# First to where nothing hides them: the folders below may be what these lie in.
mount --bind '{folder}' /run/testbed/node
# Every power-on is another boot: to the journal, and to kubelet, which tells Kubernetes.
cat /proc/sys/kernel/random/uuid > /run/testbed/boot_id
mount --bind /run/testbed/boot_id /proc/sys/kernel/random/boot_id
mount --bind '{kubernetes}' /run/testbed/kubernetes
mount --bind '{containerd}' /run/testbed/containerd
mount --bind '{cni}' /run/testbed/cni
mount -t overlay -o lowerdir=/run/testbed/kubernetes:/run/testbed/containerd:/usr/local/bin,upperdir=/run/testbed/node/programs,workdir=/run/testbed/node/programs.work overlay /usr/local/bin
{own}mount --bind /run/testbed/cni /opt/cni/bin
# Nothing that is this machine's is written by a node.
mount -o remount,bind,ro /
{extra}
mount --make-rshared /
cd /
export container=testbed
exec /lib/systemd/systemd --system --unit=node.target --log-target=journal --show-status=no
"#,
        cgroups = boot.groups.mounting().trim_end(),
        extra = boot.extra,
    )
}
