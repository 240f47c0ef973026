//! How long it takes to mend a cluster: one run, with where the time goes. By hand, and what is promised, stand beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testbed::{Cluster, Component, Node, Spec, wait};

use crate::command::{on, seconds, stages};
use crate::objects::{all_written, converged, deploy, write};
use crate::proof::{healthy, tear, whole};
use crate::ready;

/// The values that make a database large, 1 MiB each.
const LARGE_MIB: usize = 500;

#[test]
#[ignore = "takes 10 minutes; cargo test -p testbed --test plans -- --ignored --nocapture figures"]
fn figures() -> Result<()> {
    let cluster = Cluster::start(Spec::masters(3))?;
    ready(&cluster)?;
    let mut rows = vec![flag(&cluster)?, restore(&cluster)?];
    deploy(&cluster, cluster.node("m1")?, "steady", 3)?;
    rows.push(power_lost(&cluster, &["m1"])?);
    rows.push(power_lost(&cluster, &["m1", "m2"])?);
    rows.push(large(&cluster)?);
    eprintln!("SECONDS  PROMISED  BY HAND  WHAT");
    for row in rows {
        eprintln!("{row}");
    }
    Ok(())
}

fn row(took: Duration, promised: u32, by_hand: &str, what: &str) -> String {
    format!(
        "{:>7.1}  {promised:>8}  {by_hand:>7}  {what}",
        seconds(took)
    )
}

fn flag(cluster: &Cluster) -> Result<String> {
    let m2 = cluster.node("m2")?;
    let flag = "quota-backend-bytes=4294967296";
    let set = ["manifest", "set-flag", "etcd", flag, "--yes", "-o", "json"];
    let set = on(m2, &set)?.code(0)?;
    stages(&set)?;
    on(m2, &["plan", "undo", "--yes"])?.code(0)?;
    whole(cluster)?;
    Ok(row(
        set.took,
        20,
        "47",
        "a flag of one member's etcd, to healthy again",
    ))
}

fn restore(cluster: &Cluster) -> Result<String> {
    let m1 = cluster.node("m1")?;
    let file = "/var/tmp/figures.db";
    on(m1, &["snapshot", "save", file, "--via", "local"])?.code(0)?;
    let restore = ["restore", file, "--ssh", "--yes", "--accept-data-loss"];
    let begun = Instant::now();
    let (restored, served) = thread::scope(|scope| {
        let served = scope.spawn(|| served_again(cluster, begun));
        let restored = on(m1, &[&restore[..], &["-o", "json"]].concat());
        (restored, served.join())
    });
    stages(&restored?.code(0)?)?;
    whole(cluster)?;
    let Ok(served) = served else {
        anyhow::bail!("the apiservers were not watched to the end");
    };
    Ok(row(
        served?,
        30,
        "44",
        "restore of three control-plane nodes, to three ready apiservers",
    ))
}

/// How long it takes until every apiserver was gone and is ready again.
fn served_again(cluster: &Cluster, begun: Instant) -> Result<Duration> {
    let limit = Duration::from_secs(60);
    for node in cluster.nodes() {
        wait::until_true("an apiserver that is gone", limit, || {
            node.component(Component::Apiserver).is_empty()
        })?;
    }
    for node in cluster.nodes() {
        cluster.wait_apiserver(node, limit)?;
    }
    Ok(begun.elapsed())
}

/// All lose their power, and these their databases; to everything that runs again.
fn power_lost(cluster: &Cluster, torn: &[&str]) -> Result<String> {
    let (m1, m3) = (cluster.node("m1")?, cluster.node("m3")?);
    let objects = format!("torn-{}", torn.len());
    write(cluster, m1, &objects, 50)?;
    whole(cluster)?;
    cluster.power_off_all()?;
    for node in torn {
        tear(cluster.node(node)?)?;
    }
    cluster.power_on_all()?;
    let begun = Instant::now();
    let done = match torn.len() {
        1 => {
            healthy(cluster, &[cluster.node("m2")?, m3])?;
            on(m1, &["member", "replace", "m1", "--yes", "-o", "json"])?
        }
        _ => {
            let recover = ["recover", "--ssh", "--yes", "--accept-data-loss"];
            on(m3, &[&recover[..], &["-o", "json"]].concat())?
        }
    };
    stages(&done.code(0)?)?;
    whole(cluster)?;
    converged(cluster, m3, "steady", 3)?;
    let took = begun.elapsed();
    all_written(cluster, &objects, 50)?;
    let what = format!(
        "three control-plane nodes lost power, databases torn: {}; from power to nodes Ready and Pods running",
        torn.len()
    );
    Ok(row(took, 180, "660", &what))
}

fn large(cluster: &Cluster) -> Result<String> {
    let (m1, m2) = (cluster.node("m1")?, cluster.node("m2")?);
    let value = vec![0x5a; 1 << 20];
    for number in 0..LARGE_MIB {
        cluster.put(m2, &format!("testbed/figures/{number}"), &value)?;
    }
    cluster.power_off_all()?;
    tear(m1)?;
    cluster.power_on_all()?;
    healthy(cluster, &[m2, cluster.node("m3")?])?;
    cluster.wait_apiserver(m2, Duration::from_secs(120))?;
    let ended = AtomicBool::new(false);
    let (replaced, writes) = thread::scope(|scope| {
        let writer = scope.spawn(|| writes(cluster, m2, &ended));
        let replaced = on(m1, &["member", "replace", "m1", "--yes", "-o", "json"]);
        ended.store(true, Ordering::Relaxed);
        (replaced, writer.join())
    });
    let replaced = replaced?.code(0)?;
    stages(&replaced)?;
    let Ok((good, failed)) = writes else {
        anyhow::bail!("the writer ended early");
    };
    whole(cluster)?;
    ensure!(failed.is_empty(), "failed writes: {failed:#?}");
    let what =
        format!("a member replaced, {LARGE_MIB} MiB; {good} writes meanwhile and none failed");
    Ok(row(replaced.took, 90, "-", &what))
}

/// Writes through the apiserver of a node until it is told to end: how many were acknowledged, and what the others said.
fn writes(cluster: &Cluster, by: &Node, ended: &AtomicBool) -> (usize, Vec<String>) {
    let (mut good, mut failed) = (0, Vec::new());
    for number in 0.. {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("meanwhile-{number}");
        let create = ["create", "configmap", &name, "--request-timeout=10s"];
        match cluster
            .kubectl_by(by, create)
            .and_then(testbed::process::Output::success)
        {
            Ok(_) => good += 1,
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    (good, failed)
}
