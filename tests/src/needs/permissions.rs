//! What the kernel has to permit, or the container that this command runs in: each is tried as a node uses it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cgroup::Groups;
use crate::process::{output, run, success};
use crate::{limits, network, paths};

/// Something that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// Control groups of one's own in every hierarchy.
    ControlGroups,
    /// Every kind of namespace, and mounts in them.
    Namespaces,
    /// An overlay over programs, with its upper folder where the disks of nodes are.
    Overlay,
    /// Named network namespaces, a switch and a cable.
    Network,
    /// Enough inotify instances for several kubelets.
    Inotify,
}

const PRIVILEGED: &str = "a container has to be privileged (docker run --privileged)";

impl Permission {
    pub(super) const ALL: [Self; 5] = [
        Self::ControlGroups,
        Self::Namespaces,
        Self::Overlay,
        Self::Network,
        Self::Inotify,
    ];

    /// Why it is not permitted, and what helps; `None` when it is.
    pub(super) fn refusal(self) -> Option<String> {
        let (tried, what, help) = match self {
            Self::ControlGroups => (
                control_groups(),
                "control groups cannot be made",
                PRIVILEGED,
            ),
            Self::Namespaces => (namespaces(), "namespaces cannot be made", PRIVILEGED),
            Self::Overlay => (
                overlay(),
                "no overlay can be mounted on the disks of nodes",
                "name a folder on another disk with KUBECTL_ETCD_TESTBED, in a container one of a volume",
            ),
            Self::Network => (network(), "network namespaces cannot be made", PRIVILEGED),
            Self::Inotify => (
                limits::ensure(),
                "kubelets lack inotify instances",
                PRIVILEGED,
            ),
        };
        tried.err().map(|error| {
            let error = format!("{error:#}");
            format!(
                "{what}: {help}; {}",
                error.lines().next().unwrap_or_default()
            )
        })
    }
}

fn own_name() -> String {
    format!("testbed-needs-{}", std::process::id())
}

fn control_groups() -> Result<()> {
    let groups = Groups::named(&own_name())?;
    let made = groups.create();
    let removed = groups.destroy();
    made.and(removed)
}

/// What `node/boot.rs` does first.
fn namespaces() -> Result<()> {
    in_namespaces(
        "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -o remount,bind,ro /",
    )
}

fn overlay() -> Result<()> {
    // An overlay takes no folder of another overlay as its upper one.
    let folder = tempfile::Builder::new()
        .prefix("needs-")
        .tempdir_in(paths::clusters()?)?;
    for name in ["upper", "work"] {
        std::fs::create_dir(folder.path().join(name))?;
    }
    let folder = folder.path().display();
    in_namespaces(&format!(
        "mount -t overlay -o 'lowerdir=/usr/local/bin,upperdir={folder}/upper,workdir={folder}/work' overlay /usr/local/bin"
    ))
}

/// Runs a script with every namespace of its own. The error is what the script said.
fn in_namespaces(script: &str) -> Result<()> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net"])
        .args(["--fork", "--kill-child", "sh", "-ec", script]);
    let done = output(&mut command)?;
    ensure!(done.ok(), "{}", done.stderr.trim());
    Ok(())
}

fn network() -> Result<()> {
    let name = own_name();
    let ip = |args: &[&str]| run("ip", args).map(drop);
    ip(&["netns", "add", &name])?;
    let made = ip(&["-n", &name, "link", "add", "switch", "type", "bridge"]).and_then(|()| {
        let cable = "link add one type veth peer name two";
        let words: Vec<&str> = ["-n", &name].into_iter().chain(cable.split(' ')).collect();
        ip(&words)
    });
    let entered = || {
        let at = Path::new("/run/netns").join(&name);
        let mut command = Command::new("nsenter");
        success(command.arg(format!("--net={}", at.display())).arg("true")).map(drop)
    };
    let entered = made.and_then(|()| entered());
    let removed = network::remove_namespace(&name);
    entered.and(removed).context("ip")
}
