//! What would do harm is refused, with what lifts it; and nothing is changed.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testbed::local::Etcd;
use testbed::{Cluster, Component, Node, Running, Workstation, parts};

use crate::command::{begin, on};
use crate::proof::{cluster_id, manifest, whole};
use crate::with;

const FLAG: [&str; 5] = [
    "manifest",
    "set-flag",
    "etcd",
    "quota-backend-bytes=3221225472",
    "--yes",
];

#[test]
fn a_cluster_that_has_its_quorum_and_a_member_that_is_well_are_left_alone() {
    with(3, |cluster| {
        let m1 = cluster.node("m1")?;
        let id = whole(cluster)?;
        on(m1, &["recover", "--ssh", "--yes", "--accept-data-loss"])?
            .code(5)?
            .says(&["the quorum is not lost", "member replace"])?;
        on(m1, &["member", "replace", "m1", "--yes"])?
            .code(5)?
            .says(&["--even-if-healthy"])?;
        untouched(cluster, id)
    });
}

#[test]
fn a_snapshot_of_another_cluster_is_refused() {
    with(3, |cluster| {
        let m1 = cluster.node("m1")?;
        let id = whole(cluster)?;
        let line = parts::etcd_line(cluster.state().etcd)?;
        let folder = tempfile::tempdir()?;
        let other = Etcd::alone(&line.etcd, &folder.path().join("data"))?;
        let mut number = 0;
        let mut refused = |says: &[&str]| {
            number += 1;
            let file = folder.path().join(format!("{number}.db"));
            other.snapshot(&line.etcdctl, &file)?;
            let there = m1.path("/var/tmp/other.db");
            fs::copy(&file, &there)?;
            let restore = [
                "restore",
                "/var/tmp/other.db",
                "--ssh",
                "--yes",
                "--accept-data-loss",
            ];
            on(m1, &restore)?
                .code(5)?
                .says(&["the snapshot is of another cluster", "--another-cluster"])?
                .says(says)?;
            fs::remove_file(there)?;
            anyhow::Ok(())
        };
        other.put("/registry/configmaps/default/x", "y")?;
        refused(&["none of them is here"])?;

        // A CA that is not the cluster's own: that of its etcd.
        let pem = fs::read_to_string(m1.path("/etc/kubernetes/pki/etcd/ca.crt"))?;
        let root_ca = json!({"kind": "ConfigMap", "data": {"ca.crt": pem}});
        let key = "/registry/configmaps/kube-system/kube-root-ca.crt";
        other.put(key, &root_ca.to_string())?;
        refused(&["or this one's CA was replaced"])?;

        let uid = "7d0a5bd0-77a1-4d5e-8b52-5a4b86bd1c0e";
        let namespace = json!({"kind": "Namespace", "metadata": {"uid": uid}});
        let key = "/registry/namespaces/kube-system";
        other.put(key, &namespace.to_string())?;
        let args = [
            "get",
            "namespace",
            "kube-system",
            "-o",
            "jsonpath={.metadata.uid}",
        ];
        let own = cluster.kubectl(args)?.success()?;
        refused(&[uid, own.trim()])?;
        untouched(cluster, id)
    });
}

#[test]
fn while_a_plan_is_under_way_or_has_not_ended_there_is_no_other() {
    with(3, |cluster| {
        let (m1, m2) = (cluster.node("m1")?, cluster.node("m2")?);
        let (id, before) = (whole(cluster)?, manifest(m2)?);
        on(
            m1,
            &["snapshot", "save", "/var/tmp/now.db", "--via", "local"],
        )?
        .code(0)?;
        let me = Workstation::of(cluster)?;
        let mut running = begun(&me, m2)?;
        // It cannot be done before the others are refused.
        signal(m2, Signal::STOP)?;
        // Not one for which the others would have to hold the quorum.
        let other = ["manifest", "set-flag", "kube-scheduler", "v=1", "--yes"];
        on(m1, &other)?.code(5)?.says(&[
            "root@m2/",
            "is at work on this etcd: etcd on m2",
            "wait until it is done",
        ])?;
        signal(m2, Signal::KILL)?;
        // What started it there has stopped with it.
        drop(running.signal(Signal::CONT));
        ensure!(
            running.wait(Duration::from_secs(60))?.output.code != 0,
            "it was not killed"
        );

        on(m2, &FLAG)?
            .code(5)?
            .says(&["has begun and not ended", "plan resume", "plan undo"])?;
        let restore = [
            "restore",
            "/var/tmp/now.db",
            "--ssh",
            "--yes",
            "--accept-data-loss",
        ];
        on(m1, &restore)?
            .code(5)?
            .says(&["m2", "has begun and not ended"])?;
        on(m2, &["plan", "show"])?
            .code(3)?
            .says(&["begun and not ended"])?;
        on(m2, &["plan", "undo", "--yes"])?.code(0)?;
        ensure!(manifest(m2)? == before, "the manifest is another one");
        fs::remove_file(m1.path("/var/tmp/now.db"))?;

        on(m1, &other)?.code(0)?;
        on(m1, &["plan", "undo", "--yes"])?.code(0)?;
        // And one that somebody else was refused for ends well.
        let running = begun(&me, m2)?;
        on(m1, &other)?.code(5)?;
        running.wait(Duration::from_secs(120))?.code(0)?;
        on(m2, &["plan", "undo", "--yes"])?.code(0)?;
        ensure!(manifest(m2)? == before, "the manifest is another one");
        untouched(cluster, id)
    });
}

/// Sends a signal to the plugin that is at work on a node.
fn signal(node: &Node, signal: Signal) -> Result<()> {
    let programs = node.processes().into_iter();
    for program in programs.filter(|one| one.program() == "kubectl-etcd") {
        let pid = i32::try_from(program.pid).ok().and_then(Pid::from_raw);
        pid.map_or(Ok(()), |pid| kill_process(pid, signal))?;
    }
    Ok(())
}

#[test]
fn a_stray_copy_of_a_manifest_is_named_before_anything_is_done() {
    with(3, |cluster| {
        let m3 = cluster.node("m3")?;
        let (id, before) = (whole(cluster)?, manifest(m3)?);
        // A kubelet that sees the copy replaces the Pod by it.
        m3.run(["systemctl", "stop", "kubelet"])?.success()?;
        let copy = m3.manifest(Component::Etcd).with_extension("yaml.bak");
        fs::copy(m3.manifest(Component::Etcd), &copy)?;
        on(m3, &FLAG)?
            .code(5)?
            .says(&["etcd.yaml.bak", "move it out of the folder"])?;
        fs::remove_file(&copy)?;
        on(m3, &FLAG)?
            .code(5)?
            .says(&["kubelet does not run", "systemctl start kubelet"])?;
        m3.run(["systemctl", "start", "kubelet"])?.success()?;
        ensure!(manifest(m3)? == before, "the manifest is another one");
        untouched(cluster, id)
    });
}

/// Begins to set a flag on a node, and waits until the plan has begun.
fn begun(me: &Workstation, node: &Node) -> Result<Running> {
    let mut running = begin(me, node, &FLAG)?;
    let current = node.path("/var/lib/kubectl-etcd/plans/current");
    running.until("a plan begun", Duration::from_secs(60), || {
        Ok(current.exists())
    })?;
    Ok(running)
}

/// The cluster is the same, and no plan has left data anywhere.
fn untouched(cluster: &Cluster, id: u64) -> Result<()> {
    let first: &Node = cluster.node("m1")?;
    ensure!(
        cluster_id(cluster, first)? == id,
        "the cluster id is another one"
    );
    ensure!(whole(cluster)? == id, "the cluster id is another one");
    Ok(())
}
