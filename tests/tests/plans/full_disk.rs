//! A master whose etcd has a disk of its own, which is full.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Answer, Cluster, Component, Node, Spec, wait};

use crate::command::{advised, on};
use crate::objects::{all_written, write};
use crate::proof::{aside, cluster_id, manifest, whole};
use crate::ready;

const SNAPSHOT: &str = "/var/tmp/full-disk.db";

/// With two files of WAL and a database it has some 150 MB; a restored one beside it finds room, and a filler too.
const SMALL_DISK: u64 = 420 << 20;

/// How long kubelet may take to start etcd once more.
const AGAIN: Duration = Duration::from_secs(120);

#[test]
fn on_a_full_disk_nothing_is_begun_and_the_data_stays_on_it_afterwards() -> Result<()> {
    let small = |cluster: &Cluster| cluster.node("m1")?.limit_etcd_disk(Some(SMALL_DISK));
    let cluster = Cluster::start_changed(Spec::masters(1), small)?;
    cluster.wait_ready()?;
    ready(&cluster)?;
    full(&cluster)
}

fn full(cluster: &Cluster) -> Result<()> {
    let m1 = cluster.node("m1")?;
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
    // It has seen etcd end again and again, and would wait longer and longer.
    m1.run(["systemctl", "restart", "kubelet"])?.success()?;
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
    all_written(cluster, "since", 20)
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
