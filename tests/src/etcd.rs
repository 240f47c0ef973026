//! etcdctl against one member, from outside the node: its network, its certificates, this machine's program.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::Result;

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
