//! etcd 3.5.0 ends with "unexpected removal of unknown remote peer" when it is started: between two of raft's snapshots a member
//! was removed, and then it was killed. From then on it ends whenever it is started, on a copy of its data too.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testbed::{Cluster, Component, Etcd, Node, Spec, parts, wait};

use crate::command::{on, quietly};
use crate::objects::{all_written, write};
use crate::proof::whole;
use crate::ready;

#[test]
fn a_member_removed_twice_is_got_over_from_the_database_or_by_a_later_etcd() -> Result<()> {
    let image = parts::etcd_3_5_0()?;
    let cluster = Cluster::start(Spec::masters(1).etcd(Etcd::V3_5).side_by_side())?;
    ready(&cluster)?;
    let m1 = cluster.node("m1")?;
    m1.load_image(&image)?;
    let later = format!("registry.k8s.io/etcd:{}", Etcd::V3_5.image_tag());
    m1.power_off()?;
    rewrite(
        &m1.manifest(Component::Etcd),
        &[
            (&later, parts::ETCD_3_5_0),
            ("--snapshot-count=10000", "--snapshot-count=100"),
        ],
    )?;
    m1.power_on()?;
    let id = whole(&cluster)?;
    remove_and_kill(&cluster, m1)?;

    wait::until("what it ends of", Duration::from_secs(60), || {
        let told = quietly(m1, &["doctor"]).map_err(|error| format!("{error:#}"))?;
        let text = told.to_string();
        match text.contains("its log removes a member that its database has not got any more")
            && text.contains("manifest set-image etcd IMAGE")
        {
            true => Ok(()),
            false => Err(text),
        }
    })?;
    on(m1, &["recover", "--yes", "--accept-data-loss"])?.code(0)?;
    whole(&cluster)?;
    all_written(&cluster, "twice", 150)?;

    // Rolled back, it ends as before; and nothing is lost by a later one.
    on(m1, &["plan", "undo", "--yes", "--accept-data-loss"])?.code(0)?;
    on(m1, &["manifest", "set-image", "etcd", &later, "--yes"])?.code(0)?;
    ensure!(whole(&cluster)? == id, "the cluster id is another one");
    all_written(&cluster, "twice", 150)
}

/// Puts other words into a file, each for one that has to be there.
fn rewrite(path: &Path, words: &[(&str, &str)]) -> Result<()> {
    let mut text = fs::read_to_string(path)?;
    for (from, to) in words {
        ensure!(
            text.contains(from),
            "no {from} in {}:\n{text}",
            path.display()
        );
        text = text.replace(from, to);
    }
    Ok(fs::write(path, text)?)
}

/// Has a member added before raft's next snapshot and removed after it, and kills etcd before the one after that.
fn remove_and_kill(cluster: &Cluster, node: &Node) -> Result<()> {
    let urls = "--peer-urls=https://10.255.255.1:2380";
    let add = ["member", "add", "never", "--learner", urls, "-w", "json"];
    let added = cluster.etcdctl(node, add)?.success()?;
    let added: serde_json::Value = serde_json::from_str(&added)?;
    let id = added["member"]["ID"].as_u64().context("no id")?;
    write(cluster, node, "twice", 150)?;
    let id = format!("{id:x}");
    cluster
        .etcdctl(node, ["member", "remove", &id])?
        .success()?;
    // Every 100 ms etcd writes what it did into its database.
    thread::sleep(Duration::from_millis(400));
    let etcd = node.component(Component::Etcd).into_iter().next();
    let pid = etcd.and_then(|etcd| Pid::from_raw(i32::try_from(etcd.pid).ok()?));
    Ok(kill_process(
        pid.context("etcd does not run")?,
        Signal::KILL,
    )?)
}
