//! Ctrl-C and SIGKILL in the middle: what is left, and what removes it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use testbed::workstation::Running;
use testbed::{Cluster, Workstation};

use crate::transfer::{arrived, large_database};
use crate::{GONE, agrees_with_etcdutl, three};

const SOON: Duration = Duration::from_secs(60);

/// Waits until a run has something in the cluster.
fn in_the_cluster(running: &mut Running, cluster: &Cluster, what: &str) -> Result<()> {
    running.until(what, SOON, || {
        Ok(cluster
            .leftovers()?
            .iter()
            .any(|name| name.starts_with(what)))
    })
}

fn interrupt(mut running: Running) -> Result<()> {
    running.signal(Signal::INT)?;
    let begun = Instant::now();
    running
        .wait(SOON * 3)?
        .code(130)?
        .says(&["interrupted by Ctrl-C"])?;
    ensure!(
        begun.elapsed() < Duration::from_secs(11),
        "Ctrl-C took {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

fn kill(mut running: Running) -> Result<()> {
    running.signal(Signal::KILL)?;
    running.wait(SOON * 3)?.code(137).map(drop)
}

fn jobs(cluster: &Cluster) -> Result<Vec<Value>> {
    let label = "app.kubernetes.io/name=kubectl-etcd";
    let list = cluster
        .kubectl([
            "get",
            "jobs",
            "-n",
            "kubectl-etcd",
            "-l",
            label,
            "-o",
            "json",
        ])?
        .success()?;
    let list: Value = serde_json::from_str(&list)?;
    // What is being deleted is on its way.
    let jobs = list["items"].as_array().context("no list")?.iter();
    Ok(jobs
        .filter(|job| job["metadata"]["deletionTimestamp"].is_null())
        .cloned()
        .collect())
}

#[test]
fn ctrl_c_in_the_middle_of_any_command_leaves_no_job() {
    three(|cluster, me| {
        // With a control-plane node that does not answer most commands have a long middle.
        let m3 = cluster.node("m3")?;
        m3.freeze()?;
        // A look makes no Job; it ends all the same.
        let running = me.start(["status"])?;
        std::thread::sleep(Duration::from_secs(1));
        interrupt(running)?;
        let by_job = ["--via", "job"];
        for command in [
            ["status"].as_slice(),
            &["members"],
            &["health"],
            &["alarm", "list"],
            &["usage"],
            &["version"],
        ]
        .map(|command| [command, &by_job].concat())
        {
            let command = command.as_slice();
            caught(cluster, me, command).with_context(|| format!("{command:?}"))?;
            let left = jobs(cluster)?;
            ensure!(left.is_empty(), "after Ctrl-C in {command:?}: {left:?}");
        }
        m3.thaw()?;
        cluster.wait_ready()?;
        // Where m3 led etcd it may pass on now what it was asked for before it froze: a Job that was sent again, done with
        // and removed long ago is then made once more. Nobody can take that back beforehand; the next run does.
        me.etcd(["cleanup"])?.code(0).map(drop)
    });
}

/// Interrupts a command once it has a Job. Some may be done before; then it is tried again.
fn caught(cluster: &Cluster, me: &Workstation, command: &[&str]) -> Result<()> {
    for _ in 0..10 {
        let mut running = me.start(command)?;
        let begun = running.until("job", SOON, || Ok(!jobs(cluster)?.is_empty()));
        if begun.is_ok() && running.signal(Signal::INT).is_ok() {
            let begun = Instant::now();
            let answer = running.wait(SOON * 3)?;
            if answer.output.code == 130 {
                ensure!(
                    begun.elapsed() < Duration::from_secs(11),
                    "Ctrl-C took {:.1} s",
                    begun.elapsed().as_secs_f64()
                );
                return answer.says(&["interrupted by Ctrl-C"]).map(drop);
            }
            ensure!(matches!(answer.output.code, 0 | 3), "{answer}");
        }
    }
    bail!("it was done before the signal, ten times")
}

#[test]
fn what_a_killed_run_left_ends_by_itself_and_is_removed_by_the_next() {
    three(|cluster, me| {
        let m3 = cluster.node("m3")?;
        for next in [["usage"].as_slice(), &["cleanup"]] {
            m3.freeze()?;
            let mut running = me.start(["status", "--via", "job"])?;
            in_the_cluster(&mut running, cluster, "job")?;
            kill(running)?;
            let left = jobs(cluster)?;
            ensure!(
                !left.is_empty(),
                "the killed run has left nothing to remove"
            );
            for job in &left {
                let spec = &job["spec"];
                ensure!(
                    spec["activeDeadlineSeconds"]
                        .as_u64()
                        .is_some_and(|seconds| seconds <= 120),
                    "{job}"
                );
                ensure!(
                    spec["ttlSecondsAfterFinished"]
                        .as_u64()
                        .is_some_and(|seconds| seconds <= 60),
                    "{job}"
                );
            }
            m3.thaw()?;
            let next = me.etcd(next)?;
            ensure!(matches!(next.output.code, 0 | 3), "{next}");
            cluster
                .wait_nothing_left(GONE)
                .with_context(|| next.to_string())?;
        }
        cluster.wait_ready()
    });
}

#[test]
fn an_interrupted_defragmentation_gives_its_lock_back_and_a_killed_ones_is_taken_over() {
    three(|cluster, me| {
        let mut running = me.start(["defrag", "--yes", "--all"])?;
        in_the_cluster(&mut running, cluster, "lease")?;
        interrupt(running)?;
        let left = cluster.leftovers()?;
        ensure!(
            !left.iter().any(|name| name.starts_with("lease")),
            "{left:?}"
        );

        let mut running = me.start(["defrag", "--yes", "--all"])?;
        in_the_cluster(&mut running, cluster, "lease")?;
        kill(running)?;
        let left = cluster.leftovers()?;
        ensure!(
            left.iter().any(|name| name.starts_with("lease")),
            "a killed run gave its lock back? {left:?}"
        );
        me.etcd(["defrag", "--yes", "--all"])?.code(0).map(drop)
    });
}

#[test]
fn an_interrupted_snapshot_leaves_no_file_and_a_killed_one_nothing_that_looks_like_one() {
    three(|cluster, me| {
        large_database(cluster)?;
        let mut running = me.start(["snapshot", "save", "s.db"])?;
        arrived(&mut running, me, "s.db", 1 << 20)?;
        interrupt(running)?;
        ensure!(
            me.files()?.is_empty() && jobs(cluster)?.is_empty(),
            "{:?} {:?}",
            me.files()?,
            jobs(cluster)?
        );

        let mut running = me.start(["snapshot", "save", "s.db"])?;
        arrived(&mut running, me, "s.db", 1 << 20)?;
        kill(running)?;
        ensure!(
            me.files()?.iter().all(|name| name == "s.db.part"),
            "{:?}",
            me.files()?
        );
        ensure!(
            !jobs(cluster)?.is_empty(),
            "the killed run has left no Job to remove"
        );
        me.etcd(["cleanup"])?
            .code(0)?
            .says(&["job/kubectl-etcd-snapshot-save"])?;
        cluster.wait_nothing_left(GONE)?;

        // The same name again.
        me.etcd(["snapshot", "save", "s.db"])?.code(0)?;
        ensure!(me.files()? == ["s.db", "s.db.json"], "{:?}", me.files()?);
        kept_on_the_node(cluster, me)
    });
}

/// On the node, too, what an interrupted run leaves has another name, unless it was done before it heard of it: then it
/// is whole.
fn kept_on_the_node(cluster: &Cluster, me: &Workstation) -> Result<()> {
    let folder = "/var/lib/interrupted";
    let m2 = cluster.node("m2")?;
    let files = || -> Vec<String> {
        let entries = std::fs::read_dir(m2.path(folder))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let flag = format!("--on-node={folder}");
    let mut running = me.start(["snapshot", "save", "--node", "m2", &flag])?;
    running.until("file on the node", SOON, || Ok(!files().is_empty()))?;
    interrupt(running)?;
    cluster.wait_nothing_left(GONE)?;
    let left = files();
    for name in left.iter().filter(|name| name.ends_with(".db")) {
        agrees_with_etcdutl(cluster, &m2.path(folder).join(name))?;
    }
    let others = |name: &&String| !name.ends_with(".part") && !name.ends_with(".db");
    ensure!(
        left.iter()
            .filter(others)
            .all(|name| name.ends_with(".db.json")),
        "{left:?}"
    );
    Ok(())
}
