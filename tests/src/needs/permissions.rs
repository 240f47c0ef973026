//! What the kernel has to permit, or the container that this command runs in: each is tried as a node uses it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cgroup::Groups;
use crate::process::{run, success};
use crate::{limits, network, paths};

/// Something that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// Control groups of one's own in every hierarchy.
    ControlGroups,
    /// Every kind of namespace, and mounts in them, an overlay among these.
    Namespaces,
    /// Named network namespaces, a switch and a cable.
    Network,
    /// Enough inotify instances for several kubelets.
    Inotify,
}

impl Permission {
    pub(super) const ALL: [Self; 4] = [
        Self::ControlGroups,
        Self::Namespaces,
        Self::Network,
        Self::Inotify,
    ];

    /// Why it is not permitted, and what helps; `None` when it is.
    pub(super) fn refusal(self) -> Option<String> {
        let (tried, what) = match self {
            Self::ControlGroups => (control_groups(), "control groups cannot be made"),
            Self::Namespaces => (namespaces(), "namespaces cannot be made or mounted in"),
            Self::Network => (network(), "network namespaces cannot be made"),
            Self::Inotify => (limits::ensure(), "kubelets would lack inotify instances"),
        };
        tried.err().map(|error| {
            format!("{what}; a container has to be privileged (docker run --privileged): {error:#}")
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

/// The mounts of a node's start that need most: see `node/boot.rs`.
const MOUNTS: &str = "\
mount --make-rprivate /
mount -t proc proc /proc
mount -t overlay -o \"lowerdir=/usr/local/bin,upperdir=$1/upper,workdir=$1/work\" overlay /usr/local/bin
mount -t tmpfs tmpfs /run
mount -o remount,bind,ro /
";

fn namespaces() -> Result<()> {
    // Where the disks of nodes are: an overlay takes no file system for its upper folder that is an overlay itself.
    let folder = tempfile::Builder::new()
        .prefix("needs-")
        .tempdir_in(paths::clusters()?)?;
    for name in ["upper", "work"] {
        std::fs::create_dir(folder.path().join(name))?;
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--uts", "--ipc", "--pid", "--cgroup", "--net"])
        .args(["--fork", "--kill-child", "sh", "-ec", MOUNTS, "sh"])
        .arg(folder.path());
    success(&mut command).map(drop)
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
