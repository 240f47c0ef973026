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
        // Before the nodes are waited for: who takes a lease over needs a moment, too.
        wait::until("leases", limit, || {
            self.delete_stale_leases()
                .map_err(|error| format!("{error:#}"))
        })?;
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
        let what = format!(
            "{} {}",
            node.name(),
            if ready { "Ready" } else { "not Ready" }
        );
        wait::until(&what, limit, || {
            let is = is_ready(&self.list_nodes(by)?, node);
            if is == ready {
                Ok(())
            } else {
                Err(format!("ready: {is}"))
            }
        })
    }

    /// The nodes and, in the same list, their leases.
    fn list_nodes(&self, by: &Node) -> Result<Value, wait::State> {
        let args = [
            "get",
            "nodes,leases",
            "-n",
            "kube-node-lease",
            "-o",
            "json",
            "--request-timeout=5s",
        ];
        let answer = self.kubectl_by(by, args).map_err(|e| format!("{e:#}"))?;
        serde_json::from_str(&answer.stdout).map_err(|_| answer.to_string())
    }

    /// Whether every node is Ready, and its kubelet has reached an apiserver since its power came on: what the API
    /// kept from before is no evidence.
    fn nodes_ready(&self) -> Result<(), wait::State> {
        let list = self.list_nodes(self.nodes.first().ok_or("no node")?)?;
        let there = |n: &Node| {
            is_ready(&list, n)
                && n.powered_on()
                    .is_none_or(|on| renewed(&list, n) >= Some(on))
        };
        let missing: Vec<&str> = self
            .nodes
            .iter()
            .filter(|n| !there(n))
            .map(Node::name)
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

/// The object of a node in the list.
fn find<'a>(list: &'a Value, kind: &str, node: &Node) -> Option<&'a Value> {
    let items = list["items"].as_array()?;
    items
        .iter()
        .find(|i| i["kind"] == kind && i["metadata"]["name"] == node.name())
}

fn is_ready(list: &Value, node: &Node) -> bool {
    let conditions = find(list, "Node", node).and_then(|n| n["status"]["conditions"].as_array());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    })
}

/// When a kubelet last renewed its lease, in seconds since 1970.
fn renewed(list: &Value, node: &Node) -> Option<i64> {
    let time = find(list, "Lease", node)?["spec"]["renewTime"].as_str()?;
    time.parse().ok().map(jiff::Timestamp::as_second)
}
