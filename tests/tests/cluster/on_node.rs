//! The plugin on a node, run by an administrator who is logged in there.

use std::time::Instant;

use anyhow::Result;
use testbed::{Answer, Node};

/// Runs the plugin on a node, as root.
pub(crate) fn on(node: &Node, words: &[&str]) -> Result<Answer> {
    let admin = "KUBECONFIG=/etc/kubernetes/admin.conf";
    let begun = Instant::now();
    let output = node.run(
        ["env", admin, "timeout", "120", "kubectl-etcd"]
            .iter()
            .chain(words),
    )?;
    Ok(Answer::of(
        &format!("on {}: kubectl-etcd {}", node.name(), words.join(" ")),
        output,
        begun.elapsed(),
    ))
}
