//! When a cluster is ready, and waiting for that.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::Cluster;
use crate::node::Node;
use crate::wait;

impl Cluster {
    /// Waits until every apiserver says it is ready, every member of etcd is healthy and every node is Ready.
    ///
    /// # Errors
    /// When that is not so within 3 minutes, with what was last seen.
    pub fn wait_ready(&self) -> Result<()> {
        let limit = Duration::from_secs(180);
        for node in &self.nodes {
            self.wait_apiserver(node, limit)?;
        }
        wait::until("all nodes Ready", limit, || self.nodes_ready())?;
        wait::until("etcd healthy", limit, || self.etcd_healthy())
    }

    /// Waits until the apiserver of a master says it is ready.
    ///
    /// # Errors
    /// When it does not within the limit, with its last answer.
    pub fn wait_apiserver(&self, node: &Node, limit: Duration) -> Result<()> {
        wait::until(
            &format!("apiserver of {} ready", node.name()),
            limit,
            || {
                let answer = self
                    .kubectl_by(node, ["get", "--raw=/readyz", "--request-timeout=5s"])
                    .map_err(|e| format!("{e:#}"))?;
                if answer.ok() && answer.stdout == "ok" {
                    Ok(())
                } else {
                    Err(answer.to_string())
                }
            },
        )
    }

    fn nodes_ready(&self) -> Result<(), wait::State> {
        let answer = self
            .kubectl(["get", "nodes", "-o", "json", "--request-timeout=5s"])
            .map_err(|e| format!("{e:#}"))?;
        let list: Value = serde_json::from_str(&answer.stdout).map_err(|_| answer.to_string())?;
        let ready = ready_nodes(&list);
        let missing: Vec<&str> = self
            .nodes
            .iter()
            .map(Node::name)
            .filter(|n| !ready.iter().any(|r| r == n))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("not Ready: {}", missing.join(", ")))
        }
    }

    /// Whether every member answers a linearizable read; else what was seen.
    ///
    /// # Errors
    /// When not, with etcdctl's words.
    pub fn etcd_healthy(&self) -> Result<(), wait::State> {
        for node in &self.nodes {
            let answer = self
                .etcdctl(node, ["endpoint", "health"])
                .map_err(|e| format!("{e:#}"))?;
            if !answer.ok() {
                return Err(format!("{}: {answer}", node.name()));
            }
        }
        Ok(())
    }
}

fn ready_nodes(list: &Value) -> Vec<String> {
    let condition = |node: &Value| {
        node["status"]["conditions"].as_array().is_some_and(|all| {
            all.iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
    };
    let items = list["items"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    items
        .iter()
        .filter(|n| condition(n))
        .filter_map(|n| n["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}
