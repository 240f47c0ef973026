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

    /// Waits until the API says that a node is Ready, or no longer so, asked by the apiserver of `by`.
    ///
    /// The control plane calls a dead node NotReady after 40 to 50 s.
    ///
    /// # Errors
    /// When that is not so within the limit.
    pub fn wait_node(&self, node: &Node, ready: bool, by: &Node, limit: Duration) -> Result<()> {
        let what = format!("{} {}", node.name(), if ready { "Ready" } else { "not Ready" });
        wait::until(&what, limit, || {
            let list = self.list_nodes(by)?;
            let is = ready_nodes(&list).iter().any(|r| r.name == node.name());
            if is == ready { Ok(()) } else { Err(format!("ready: {is}")) }
        })
    }

    fn list_nodes(&self, by: &Node) -> Result<Value, wait::State> {
        let answer = self
            .kubectl_by(by, ["get", "nodes", "-o", "json", "--request-timeout=5s"])
            .map_err(|e| format!("{e:#}"))?;
        serde_json::from_str(&answer.stdout).map_err(|_| answer.to_string())
    }

    /// Whether every node is Ready, and has said so itself since its power came on: what the API kept from before
    /// is no evidence.
    fn nodes_ready(&self) -> Result<(), wait::State> {
        let first = self.nodes.first().ok_or("no node")?;
        let ready = ready_nodes(&self.list_nodes(first)?);
        let missing: Vec<&str> = self
            .nodes
            .iter()
            .filter(|n| !ready.iter().any(|r| r.name == n.name() && n.powered_on().is_none_or(|on| r.said >= on)))
            .map(Node::name)
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not Ready: {}", missing.join(", "))) }
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

/// A node that the API calls Ready.
struct ReadyNode {
    name: String,
    /// When its kubelet last said so, in seconds since 1970.
    said: i64,
}

fn ready_nodes(list: &Value) -> Vec<ReadyNode> {
    let ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array()?;
        let condition = conditions.iter().find(|c| c["type"] == "Ready" && c["status"] == "True")?;
        let said: jiff::Timestamp = condition["lastHeartbeatTime"].as_str()?.parse().ok()?;
        Some(ReadyNode { name: node["metadata"]["name"].as_str()?.to_owned(), said: said.as_second() })
    };
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(ready).collect()
}
