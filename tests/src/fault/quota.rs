//! etcd's quota, small and reached: the NOSPACE alarm.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::etcd::command;
use crate::fault::Component;
use crate::{Cluster, Node};

const FLAG: &str = "--quota-backend-bytes=";

impl Cluster {
    /// Gives every member this quota, by its manifest, and waits until the cluster is ready again.
    ///
    /// All masters are powered off and on (20 s): one after another, kubelet would take most of a minute for each.
    ///
    /// # Errors
    /// When a manifest is not as kubeadm writes it or the cluster does not come back.
    pub fn set_etcd_quota(&self, size_bytes: u64) -> Result<()> {
        self.power_off_all()?;
        self.write_etcd_quota(size_bytes)?;
        self.power_on_all()?;
        self.wait_ready()
    }

    /// Writes the quota into every member's manifest, for masters that are off.
    ///
    /// # Errors
    /// When a manifest is not as kubeadm writes it.
    pub fn write_etcd_quota(&self, size_bytes: u64) -> Result<()> {
        let mut nodes = self.nodes().iter();
        nodes.try_for_each(|node| set_quota(node, size_bytes))
    }

    /// Writes to etcd until it refuses with the NOSPACE alarm: one key over and over, so that compaction and
    /// defragmentation free the space again. Takes about 0.1 s per MiB of quota.
    ///
    /// # Errors
    /// When etcd refuses for another reason, or takes more than 3 GiB.
    pub fn fill_etcd(&self) -> Result<()> {
        let refusal = self.write_until_refused()?;
        if refusal.contains("database space exceeded") {
            return Ok(());
        }
        bail!("etcd refuses a write, and not for lack of space: {refusal}")
    }

    /// Writes 1 MiB to the same key of m1's etcd until that fails; gives back how.
    ///
    /// # Errors
    /// When etcd takes more than 3 GiB.
    pub fn write_until_refused(&self) -> Result<String> {
        let first = self.nodes().first().context("a cluster has a master")?;
        let value = vec![b'x'; 1 << 20];
        for _ in 0..3072 {
            let mut child = command(
                self,
                first,
                ["put", "testbed/filler", "--command-timeout=10s"],
            )?
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
            // It may have ended already, and then says why.
            drop(
                child
                    .stdin
                    .take()
                    .context("etcdctl has no standard input")?
                    .write_all(&value),
            );
            let done = child.wait_with_output()?;
            if !done.status.success() {
                return Ok(String::from_utf8_lossy(&done.stderr).trim().to_owned());
            }
        }
        bail!("etcd took 3 GiB and refuses nothing")
    }
}

fn set_quota(node: &Node, size_bytes: u64) -> Result<()> {
    let path = node.manifest(Component::Etcd);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let new = with_quota(&text, size_bytes)
        .with_context(|| format!("{} is not as kubeadm writes it", path.display()))?;
    let aside = path.with_file_name(".etcd.yaml.new");
    fs::write(&aside, new)?;
    Ok(fs::rename(aside, path)?)
}

/// The manifest with the flag after the program's name, instead of one that is there.
fn with_quota(manifest: &str, size_bytes: u64) -> Option<String> {
    let mut lines: Vec<String> = manifest
        .lines()
        .filter(|l| !l.contains(FLAG))
        .map(str::to_owned)
        .collect();
    let program = lines.iter().position(|l| l.trim() == "- etcd")?;
    let indent = lines.get(program)?.split('-').next()?.to_owned();
    lines.insert(program + 1, format!("{indent}- {FLAG}{size_bytes}"));
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_added_once() {
        let manifest = "spec:\n  containers:\n  - command:\n    - etcd\n    - --name=m1\n";
        let once = with_quota(manifest, 8).unwrap();
        assert_eq!(
            once,
            "spec:\n  containers:\n  - command:\n    - etcd\n    - --quota-backend-bytes=8\n    - --name=m1\n"
        );
        assert_eq!(with_quota(&once, 9).unwrap(), once.replace("=8", "=9"));
    }
}
