//! Accidents of their own kind: a member that somebody removed, all data lost, a full disk.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Answer, Component, Node, Workstation, wait};

use crate::command::on;
use crate::objects::{all_written, converged, deploy, no_containers, write};
use crate::proof::{aside, cluster_id, healthy, manifest, whole};
use crate::with;

const SNAPSHOT: &str = "/var/tmp/accidents.db";

/// With two files of WAL and a database it has some 150 MB; a restored one beside it finds room, and a filler too.
const SMALL_DISK: u64 = 420 << 20;

/// How long kubelet may take to start etcd once more.
const AGAIN: Duration = Duration::from_secs(120);

/// The command that `doctor` says to run on a node about a situation.
fn advised(node: &Node, kind: &str) -> Result<String> {
    let told = on(node, &["doctor", "-o", "json"])?;
    let situations = told.json()?["situations"].clone();
    let found = situations
        .as_array()
        .and_then(|all| all.iter().find(|one| one["kind"] == kind));
    let command = found.with_context(|| told.to_string())?["next"]["command"].clone();
    Ok(command.as_str().context("no command")?.to_owned())
}

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

#[test]
fn on_a_full_disk_nothing_is_begun_and_the_data_stays_on_it_afterwards() {
    with(1, |cluster| {
        let m1 = cluster.node("m1")?;
        // A disk of its own for etcd: what is put aside lies inside of it.
        m1.power_off()?;
        m1.limit_etcd_disk(Some(SMALL_DISK))?;
        m1.power_on()?;
        cluster.wait_ready()?;
        write(cluster, m1, "saved", 20)?;
        on(m1, &["snapshot", "save", SNAPSHOT, "--via", "local"])?.code(0)?;
        write(cluster, m1, "since", 20)?;
        let (id, before) = (cluster_id(cluster, m1)?, manifest(m1)?);

        ensure!(m1.fill_etcd_disk()? > 0, "the disk was full already");
        let restore = [
            "restore",
            SNAPSHOT,
            "--yes",
            "--accept-data-loss",
            "-o",
            "json",
        ];
        on(m1, &restore)?
            .code(1)?
            .says(&["/var/lib/etcd", "MiB are free"])?;
        ensure!(manifest(m1)? == before, "the manifest is another one");
        ensure!(
            aside(m1)?.is_empty() && !m1.component(Component::Etcd).is_empty(),
            "something was done"
        );
        cluster.write_until_refused()?;
        wait::until_true("etcd has ended", AGAIN, || {
            let log = m1.run([
                "sh",
                "-c",
                "grep -qs 'no space left on device' /var/log/pods/kube-system_etcd-m1_*/etcd/*.log",
            ]);
            log.is_ok_and(|log| log.ok())
        })?;
        let command = advised(m1, "disk-full")?;
        ensure!(
            command.starts_with("du -xh") && command.contains("/var/lib/etcd"),
            "{command}"
        );

        m1.free_etcd_disk()?;
        cluster.wait_ready()?;
        all_written(cluster, "since", 20)?;
        let restored = on(m1, &restore)?.code(0)?;
        ensure!(
            cluster_id(cluster, m1)? != id,
            "the cluster id is the old one"
        );
        whole(cluster)?;
        all_written(cluster, "saved", 20)?;
        all_written(cluster, "since", 0)?;
        kept_inside(m1, &restored)?;
        on(m1, &["plan", "undo", "--yes", "--accept-data-loss"])?.code(0)?;
        ensure!(whole(cluster)? == id, "the cluster id is another one");
        all_written(cluster, "since", 20)?;
        m1.power_off()?;
        m1.limit_etcd_disk(None)?;
        m1.power_on()?;
        cluster.wait_ready()
    });
}

/// What was put aside is where the data was, and nowhere else.
fn kept_inside(node: &Node, answer: &Answer) -> Result<()> {
    let told: Value = answer.json()?;
    let kept = told["kept"].as_array().context("nothing is kept")?;
    ensure!(
        kept.iter()
            .filter_map(Value::as_str)
            .any(|line| line.contains("/var/lib/etcd/restore-")),
        "{answer}"
    );
    ensure!(aside(node)?.is_empty(), "beside the disk");
    Ok(())
}
