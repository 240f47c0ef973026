//! Objects in the API, and the containers that run for them.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::parts::versions::PAUSE_IMAGE;
use testbed::{Cluster, Node, wait};

/// Creates ConfigMaps by the apiserver of a node; all of them are acknowledged when this returns.
pub(crate) fn write(cluster: &Cluster, by: &Node, prefix: &str, count: usize) -> Result<()> {
    let items: Vec<Value> = (0..count).map(|at| config_map(prefix, at)).collect();
    create(
        cluster,
        by,
        &json!({"apiVersion": "v1", "kind": "List", "items": items}),
    )
}

fn config_map(prefix: &str, at: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("{prefix}-{at}"), "namespace": "default"},
        "data": {"text": "x".repeat(500)},
    })
}

fn create(cluster: &Cluster, by: &Node, object: &Value) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(object.to_string().as_bytes())?;
    let path = file.path().to_str().context("a path that is no text")?;
    cluster
        .kubectl_by(by, ["create", "-f", path])?
        .success()
        .map(drop)
}

/// Deletes the ConfigMaps that [`write`] made.
pub(crate) fn remove(cluster: &Cluster, by: &Node, prefix: &str, count: usize) -> Result<()> {
    let names: Vec<String> = (0..count).map(|at| format!("{prefix}-{at}")).collect();
    let mut args = vec!["delete", "configmaps", "-n", "default"];
    args.extend(names.iter().map(String::as_str));
    cluster.kubectl_by(by, args)?.success().map(drop)
}

/// Of the ConfigMaps that [`write`] made, how many there are by the apiserver of a node.
pub(crate) fn written(cluster: &Cluster, by: &Node, prefix: &str) -> Result<usize> {
    let args = [
        "get",
        "configmaps",
        "-n",
        "default",
        "-o",
        "name",
        "--request-timeout=10s",
    ];
    let found = cluster.kubectl_by(by, args)?.success()?;
    let begins = format!("configmap/{prefix}-");
    let names: BTreeSet<&str> = found
        .lines()
        .filter(|name| name.starts_with(&begins))
        .collect();
    Ok(names.len())
}

/// As many as that are there, whichever apiserver is asked.
pub(crate) fn all_written(cluster: &Cluster, prefix: &str, count: usize) -> Result<()> {
    for node in cluster.nodes() {
        let found = written(cluster, node, prefix)?;
        ensure!(
            found == count,
            "{}: {found} of the objects {prefix}, not {count}",
            node.name()
        );
    }
    Ok(())
}

/// A Deployment that also runs on control-plane nodes, and whose containers are known by its name.
pub(crate) fn deploy(cluster: &Cluster, by: &Node, name: &str, replicas: usize) -> Result<()> {
    let labels = json!({"app": name});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "pause", "image": PAUSE_IMAGE,
                        "command": ["/pause", name],
                    }],
                },
            },
        },
    });
    create(cluster, by, &deployment)?;
    converged(cluster, by, name, replicas)
}

/// Waits until a Deployment has all its Pods, and just as many containers run.
pub(crate) fn converged(cluster: &Cluster, by: &Node, name: &str, replicas: usize) -> Result<()> {
    let args = [
        "get",
        "deployment",
        name,
        "-o",
        "json",
        "--request-timeout=5s",
    ];
    wait::until(
        &format!("Deployment {name}"),
        Duration::from_secs(120),
        || {
            let answer = cluster
                .kubectl_by(by, args)
                .map_err(|error| format!("{error:#}"))?;
            let found: Value =
                serde_json::from_str(&answer.stdout).map_err(|_| answer.to_string())?;
            let (status, run) = (&found["status"], containers(cluster, name));
            let seen = status["observedGeneration"] == found["metadata"]["generation"];
            let all = ["replicas", "availableReplicas", "updatedReplicas"];
            match seen && all.iter().all(|count| status[count] == replicas) && run == replicas {
                true => Ok(()),
                false => Err(format!("{run} containers; {status}")),
            }
        },
    )
}

/// How many containers of a Deployment run on the nodes, whatever the API says.
pub(crate) fn containers(cluster: &Cluster, name: &str) -> usize {
    let of = |node: &Node| {
        let all = node.processes();
        all.iter()
            .filter(|one| one.args == ["/pause", name])
            .count()
    };
    cluster.nodes().iter().map(of).sum()
}

/// Waits until no container of a Deployment runs that the API does not know.
pub(crate) fn no_containers(cluster: &Cluster, name: &str) -> Result<()> {
    wait::until(
        &format!("no containers of {name}"),
        Duration::from_secs(90),
        || match containers(cluster, name) {
            0 => Ok(()),
            some => Err(format!("{some} run")),
        },
    )
}
