//! etcdctl against one member, from outside the node: its network, its certificates, this machine's program.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::parts;
use crate::process::{self, Output};
use crate::{Cluster, Node};

impl Cluster {
    /// etcdctl of the cluster's version against the member of one node only, at 127.0.0.1:2379 there.
    ///
    /// It works when the node's cable is pulled, too.
    ///
    /// # Errors
    /// When it cannot be started; a failing exit code is no error here.
    pub fn etcdctl<S: AsRef<OsStr>>(
        &self,
        node: &Node,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Output> {
        process::output(&mut command(self, node, args)?)
    }

    /// Puts a key of at most 1.5 MiB through the member of a node.
    ///
    /// # Errors
    /// When etcd refuses it.
    pub fn put(&self, node: &Node, key: &str, value: &[u8]) -> Result<()> {
        let mut child = command(self, node, ["put", key])?
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        child
            .stdin
            .take()
            .context("etcdctl has no standard input")?
            .write_all(value)?;
        let done = child.wait_with_output()?;
        ensure!(
            done.status.success(),
            "{key} is not taken: {}",
            String::from_utf8_lossy(&done.stderr).trim()
        );
        Ok(())
    }

    /// The status of a member, as etcdctl prints it in JSON.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn etcd_status(&self, node: &Node) -> Result<Value> {
        let all: Value = serde_json::from_str(
            &self
                .etcdctl(node, ["endpoint", "status", "-w", "json"])?
                .success()?,
        )?;
        Ok(all[0]["Status"].clone())
    }

    /// Compacts the history up to now, on every member before it returns.
    ///
    /// # Errors
    /// When etcd refuses.
    pub fn compact(&self) -> Result<()> {
        for (number, node) in self.nodes().iter().enumerate() {
            let revision = self.etcd_status(node)?["header"]["revision"].to_string();
            let compacted = self.etcdctl(node, ["compact", &revision, "--physical"])?;
            // The members after the first may have nothing new to compact.
            ensure!(
                compacted.ok() || (number > 0 && compacted.stderr.contains("compacted")),
                "{compacted}"
            );
        }
        Ok(())
    }
}

pub(crate) fn command<S: AsRef<OsStr>>(
    cluster: &Cluster,
    node: &Node,
    args: impl IntoIterator<Item = S>,
) -> Result<Command> {
    let pki = node.path("/etc/kubernetes/pki/etcd");
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net=/run/netns/{}", node.network()))
        .arg(parts::etcd_line(cluster.state().etcd)?.etcdctl)
        .arg("--endpoints=https://127.0.0.1:2379")
        .arg(format!("--cacert={}", pki.join("ca.crt").display()))
        .arg(format!("--cert={}", pki.join("server.crt").display()))
        .arg(format!("--key={}", pki.join("server.key").display()))
        .args(args);
    Ok(command)
}
