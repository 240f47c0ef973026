//! A node that says it has a member of the cluster's etcd, as a worker's kubelet can.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::Cluster;

use crate::schema::checked;
use crate::{row, three};

/// The worker.
const WORKER: &str = "w1";

fn create(cluster: &Cluster, object: &Value) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), object.to_string())?;
    let path = file.path().to_string_lossy();
    cluster
        .kubectl(["create", "-f", &path])?
        .success()
        .map(drop)
}

/// A Node without a label of a control-plane node, and on it m1's own etcd pod as if kubelet had made it there.
fn pose(cluster: &Cluster) -> Result<()> {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": WORKER}});
    create(cluster, &node)?;
    let get = |kind: &str, name: &str| -> Result<Value> {
        let args = ["get", kind, name, "-n", "kube-system", "-o", "json"];
        Ok(serde_json::from_str(&cluster.kubectl(args)?.success()?)?)
    };
    let uid = get("node", WORKER)?["metadata"]["uid"].clone();
    let mut pod = get("pod", "etcd-m1")?;
    pod["metadata"] = json!({
        "name": format!("etcd-{WORKER}"), "namespace": "kube-system", "labels": pod["metadata"]["labels"],
        "annotations": {"kubernetes.io/config.mirror": "a1b2"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": WORKER, "uid": uid, "controller": true}],
    });
    pod["spec"]["nodeName"] = WORKER.into();
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("status");
    }
    create(cluster, &pod)
}

fn end(cluster: &Cluster) -> Result<()> {
    let pod = format!("etcd-{WORKER}");
    let pod = [
        "delete",
        "pod",
        "-n",
        "kube-system",
        &pod,
        "--force",
        "--ignore-not-found",
    ];
    cluster.kubectl(pod)?.success()?;
    let node = ["delete", "node", WORKER, "--ignore-not-found"];
    cluster.kubectl(node)?.success().map(drop)
}

#[test]
fn a_worker_that_poses_as_a_member_is_named_and_left_alone() {
    three(|cluster, me| {
        let tried = pose(cluster).and_then(|()| {
            let left =
                "pod etcd-w1 says it is an etcd of w1, which is no control-plane node: left alone";
            let status = me.etcd(["status", "-o", "json"])?.code(3)?;
            let told = checked(&status)?;
            ensure!(row(&told, "rows", WORKER).is_err(), "{status}");
            ensure!(told["rows"].as_array().is_some_and(|rows| rows.len() == 3));
            let warnings = told["warnings"].as_array().context("warnings")?;
            ensure!(
                warnings.iter().any(|one| one["message"] == left),
                "{status}"
            );
            let saved = me.etcd(["snapshot", "save", "s.db", "-o", "json"])?;
            let saved = saved.code(0)?.says(&[left])?;
            let told = checked(&saved)?;
            ensure!(
                told["node"] != WORKER && told["checked"] == "here",
                "{saved}"
            );
            let same = told["sameDataAs"]["node"].as_str().context("compared")?;
            ensure!(told["node"] != same, "{saved}");
            me.etcd(["snapshot", "save", "w.db", "--node", WORKER])?
                .code(2)?
                .says(&["no control-plane node `w1`"])
                .map(drop)
        });
        end(cluster)?;
        tried
    });
}
