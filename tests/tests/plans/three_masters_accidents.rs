//! Accidents of their own kind: a member that somebody removed, all data lost.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::{Workstation, wait};

use crate::command::{advised, on};
use crate::objects::{all_written, converged, deploy, no_containers, write};
use crate::proof::{healthy, whole};
use crate::with;

/// How long kubelet may take to start etcd once more.
const AGAIN: Duration = Duration::from_secs(120);

#[test]
fn a_member_that_was_removed_and_comes_back_is_told_and_replaced() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        let id = whole(cluster)?;
        m3.power_off()?;
        on(m1, &["member", "remove", "m3", "--yes"])?.code(0)?;
        healthy(cluster, &[m1, m2])?;
        write(cluster, m1, "removed", 20)?;
        m3.power_on()?;
        wait::until_true("etcd of m3 has ended", AGAIN, || {
            let ended = m3.run([
                "sh",
                "-c",
                "grep -qs 'permanently removed' /var/log/pods/kube-system_etcd-m3_*/etcd/*.log",
            ]);
            ended.is_ok_and(|ended| ended.ok())
        })?;
        let command = advised(m3, "member-removed")?;
        ensure!(command == "kubectl etcd member replace m3", "{command}");
        // The others do not know it any more, so it is reached from there only when it is named.
        let unknown = on(m1, &["member", "replace", "m3", "--ssh", "--yes"])?;
        unknown.code(2)?.says(&["--ssh m3=ADDRESS"])?;
        let named = format!("m3={}", m3.ip());
        let told = on(m1, &["doctor", "--ssh", &named])?;
        told.says(&["kubectl etcd member replace m3"])?;
        on(m3, &["member", "replace", "m3", "--yes"])?.code(0)?;
        ensure!(whole(cluster)? == id, "the cluster id is another one");
        all_written(cluster, "removed", 20)
    });
}

#[test]
fn all_databases_are_lost_and_a_bundle_on_the_workstation_brings_the_cluster_back() {
    with(3, |cluster| {
        let (m1, me) = (cluster.node("m1")?, Workstation::of(cluster)?);
        write(cluster, m1, "bundled", 30)?;
        deploy(cluster, m1, "steady", 3)?;
        let saved = me
            .etcd(["snapshot", "save", "--bundle", ".", "-o", "json"])?
            .code(0)?;
        let bundle = bundle_in(&me)?;
        ensure!(saved.output.stdout.contains(&bundle), "{saved}");
        let id = whole(cluster)?;
        cluster.power_off_all()?;
        for node in cluster.nodes() {
            fs::remove_dir_all(node.path("/var/lib/etcd/member"))?;
        }
        cluster.power_on_all()?;

        let config = cluster.folder().join("ssh_config");
        let config = config.to_str().context("a path that is no text")?;
        let addresses: Vec<String> = cluster
            .nodes()
            .iter()
            .map(|node| node.ip().to_string())
            .collect();
        let mut restore = vec!["restore", &bundle, "--ssh", "--ssh-config", config];
        for address in &addresses {
            restore.extend(["--master", address]);
        }
        restore.extend(["--yes", "--accept-data-loss"]);
        // Without data m1 begins a new and empty cluster, which is another one once an apiserver has written to it.
        let mut restored = me.etcd(&restore)?;
        if restored.output.code == 5 {
            restored.says(&["--another-cluster"])?;
            restored = me.etcd([&restore[..], &["--another-cluster"]].concat())?;
        }
        let restored = restored.code(0)?;
        ensure!(
            whole(cluster)? != id,
            "the cluster id is the old one: {restored}"
        );
        all_written(cluster, "bundled", 30)?;
        converged(cluster, m1, "steady", 3)?;
        cluster
            .kubectl(["delete", "deployment", "steady", "--wait=false"])?
            .success()?;
        no_containers(cluster, "steady")
    });
}

fn bundle_in(me: &Workstation) -> Result<String> {
    let files = me.files()?;
    let bundle = files.iter().find(|name| name.contains(".tar"));
    Ok(bundle.with_context(|| format!("{files:?}"))?.clone())
}
