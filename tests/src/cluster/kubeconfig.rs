//! The administrator's kubeconfig, with a context for each control-plane node's own apiserver.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Cluster;

impl Cluster {
    /// Writes the kubeconfig out of m1's admin.conf. kubeadm's points to m1 only: when that is off, one wants another.
    pub(super) fn write_kubeconfig(&self) -> Result<()> {
        let first = self
            .nodes
            .first()
            .context("a cluster has a control-plane node")?;
        let admin = fs::read_to_string(first.path("/etc/kubernetes/admin.conf"))
            .context("m1 has no admin.conf")?;
        let admin: Value = serde_yaml::from_str(&admin).context("m1's admin.conf is no YAML")?;
        let authority = &admin["clusters"][0]["cluster"]["certificate-authority-data"];
        let names = || self.nodes.iter().map(crate::Node::name);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": first.name(),
            "clusters": self.nodes.iter().map(|n| json!({
                "name": n.name(),
                "cluster": { "server": format!("https://{}:6443", n.ip()), "certificate-authority-data": authority },
            })).collect::<Vec<_>>(),
            "contexts": names().map(|n| json!({
                "name": n, "context": { "cluster": n, "user": "kubernetes-admin" },
            })).collect::<Vec<_>>(),
            "users": [{ "name": "kubernetes-admin", "user": admin["users"][0]["user"] }],
        });
        fs::write(self.kubeconfig(), serde_yaml::to_string(&config)?)
            .with_context(|| format!("cannot write {}", self.kubeconfig().display()))
    }
}
