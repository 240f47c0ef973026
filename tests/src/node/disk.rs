//! What is on a node's disk before it is powered on for the first time.
//!
//! A disk is a folder with the node's own `/etc`, `/var`, `/root`, `/opt` and `/tmp`. The rest of the file system is
//! this machine's, read-only.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use crate::parts::NodeParts;
use crate::parts::versions::PAUSE_IMAGE;
use crate::process::run;

/// Folders of a node that are its own; everything else is shared with this machine and read-only.
pub(super) const OWN: [&str; 5] = ["etc", "opt", "tmp", "var", "root"];

const UNITS: [(&str, &str); 4] = [
    ("node.target", include_str!("units/node.target")),
    (
        "containerd.service",
        include_str!("units/containerd.service"),
    ),
    ("kubelet.service", include_str!("units/kubelet.service")),
    ("sshd.service", include_str!("units/sshd.service")),
];

const CONTAINERD_CONFIG: &str = include_str!("units/containerd.toml");

/// Everything that decides what a new disk holds: a checkpoint made of other disks must not be used.
pub(crate) fn fingerprint() -> String {
    UNITS
        .iter()
        .map(|(_, text)| *text)
        .chain([CONTAINERD_CONFIG, PAUSE_IMAGE, "disk 1"])
        .collect()
}

/// Makes the disk of a new node.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn create(disk: &Path, name: &str, address: Ipv4Addr) -> Result<()> {
    for folder in OWN.iter().filter(|f| **f != "etc") {
        fs::create_dir_all(disk.join(folder))?;
    }
    // The node's own copy: users, locale, certificates are this machine's, and nothing written here is.
    run(
        "cp",
        [
            "-a".as_ref(),
            Path::new("/etc").as_os_str(),
            disk.as_os_str(),
        ],
    )?;
    for theirs in [
        "ssh",
        "kubernetes",
        "cni",
        "containerd",
        "systemd/system",
        "resolv.conf",
        "hosts",
        "hostname",
        "machine-id",
    ] {
        remove(&disk.join("etc").join(theirs))?;
    }
    for (folder, mode) in [
        ("tmp", 0o1777),
        ("root", 0o700),
        ("opt/cni/bin", 0o755),
        ("etc/ssh", 0o755),
        ("etc/kubernetes/manifests", 0o755),
        ("etc/cni/net.d", 0o755),
        ("etc/containerd", 0o755),
        ("etc/systemd/system", 0o755),
        ("var/cache", 0o755),
        ("var/tmp", 0o1777),
        ("var/lib/etcd", 0o700),
        ("var/lib/kubelet", 0o755),
        ("var/lib/cni", 0o755),
        ("var/log/journal", 0o755),
        ("var/log/pods", 0o755),
        ("var/log/containers", 0o755),
    ] {
        let path = disk.join(folder);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    symlink("/run", disk.join("var/run"))?;
    symlink("/run/lock", disk.join("var/lock"))?;

    let etc = |file: &str, text: &str| {
        let path = disk.join("etc").join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    etc("hostname", &format!("{name}\n"))?;
    etc("machine-id", &format!("{:032x}\n", u32::from(address)))?;
    etc("resolv.conf", "")?;
    etc(
        "containerd/config.toml",
        &CONTAINERD_CONFIG.replace("@PAUSE@", PAUSE_IMAGE),
    )?;
    etc("cni/net.d/10-bridge.conflist", &pod_network(address))?;
    fs::create_dir_all(disk.join("etc/systemd/journald.conf.d"))?;
    etc(
        "systemd/journald.conf.d/testbed.conf",
        "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxUse=64M\n",
    )?;
    for (unit, text) in UNITS {
        etc(&format!("systemd/system/{unit}"), text)?;
    }
    Ok(())
}

/// Puts the images of a cluster where the node's containerd has them.
///
/// # Errors
/// When a file cannot be linked or copied.
pub(super) fn add_images(disk: &Path, parts: &NodeParts) -> Result<()> {
    crate::parts::clone_for_node(&parts.store, &disk.join("var/lib/containerd"))
}

/// Pods of each node get addresses of their own; pods of different nodes do not reach each other.
fn pod_network(address: Ipv4Addr) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": format!("10.244.{}.0/24", address.octets()[3]) }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
    .to_string()
}

fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot look at {}", path.display())),
    }
    Ok(())
}
