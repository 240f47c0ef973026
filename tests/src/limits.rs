//! Limits of this machine that several nodes on one kernel reach together.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::process::say;

/// systemd, containerd, kubelet and the control plane of one node hold some 40 inotify instances; the kernel's
/// default is 128 for all of root's. Without a free one kubelet ends with "inotify_init: too many open files".
const WANTED: [(&str, u64); 2] = [
    ("/proc/sys/fs/inotify/max_user_instances", 8192),
    ("/proc/sys/fs/inotify/max_user_watches", 524_288),
];

/// Raises the limits that are too low, never lowers one. This is the one setting of the machine that is changed.
///
/// # Errors
/// When a limit is too low and cannot be raised.
pub fn ensure() -> Result<()> {
    for (path, wanted) in WANTED {
        let now = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let now: u64 = now
            .trim()
            .parse()
            .with_context(|| format!("{path} holds no number: {now}"))?;
        if now >= wanted {
            continue;
        }
        let name = path.trim_start_matches("/proc/sys/").replace('/', ".");
        if let Err(error) = fs::write(path, wanted.to_string()) {
            bail!(
                "{name} is {now}, too low for a cluster, and cannot be raised ({error}): sysctl -w {name}={wanted}"
            );
        }
        say(&format!(
            "raised {name} from {now} to {wanted} (until this machine restarts)"
        ));
    }
    Ok(())
}
