//! Two clusters out of one: the old majority comes back while the recovered member is off, and then they meet.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Component, Node, wait};

use crate::command::on;
use crate::objects::{all_written, write, written};
use crate::proof::{agree, cluster_id, healthy, runs_with, whole};
use crate::with;

/// How long an apiserver may take after its control-plane node got its power back.
const BACK: Duration = Duration::from_secs(120);

#[test]
fn an_old_majority_and_the_recovered_member_do_each_other_no_harm() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        write(cluster, m1, "apart-early", 20)?;
        let old = whole(cluster)?;
        m2.power_off()?;
        m3.power_off()?;
        let recover = ["recover", "--this-node-only"];
        wait::until("a lost quorum", BACK, || {
            let plan = on(m1, &[&recover[..], &["--dry-run"]].concat());
            let plan = plan.map_err(|error| format!("{error:#}"))?;
            match plan.output.code {
                0 => Ok(()),
                _ => Err(plan.to_string()),
            }
        })?;
        on(
            m1,
            &[&recover[..], &["--yes", "--accept-data-loss"]].concat(),
        )?
        .code(0)?;
        let new = agree(cluster, &[m1])?;
        ensure!(new != old, "the cluster id is the old one");
        write(cluster, m1, "apart-recovered", 20)?;

        m1.power_off()?;
        m2.power_on()?;
        m3.power_on()?;
        healthy(cluster, &[m2, m3])?;
        cluster.wait_apiserver(m2, BACK)?;
        write(cluster, m2, "old-majority", 20)?;
        m1.power_on()?;
        cluster.wait_apiserver(m1, BACK)?;
        for node in [m2, m3] {
            met(node)?;
        }

        write(cluster, m1, "apart-one", 10)?;
        write(cluster, m3, "apart-other", 10)?;
        ensure!(agree(cluster, &[m1])? == new, "m1 is of another cluster");
        for node in [m2, m3] {
            let id = cluster_id(cluster, node)?;
            ensure!(id == old, "{} is of another cluster", node.name());
        }
        let counts = |node: &Node| -> Result<[usize; 5]> {
            let prefixes = [
                "apart-early",
                "apart-recovered",
                "apart-one",
                "old-majority",
                "apart-other",
            ];
            let mut counts = [0; 5];
            for (count, prefix) in counts.iter_mut().zip(prefixes) {
                *count = written(cluster, node, prefix)?;
            }
            Ok(counts)
        };
        ensure!(counts(m1)? == [20, 20, 10, 0, 0], "{:?}", counts(m1)?);
        ensure!(counts(m2)? == [20, 0, 0, 20, 10], "{:?}", counts(m2)?);
        // The recovered one knows nothing of the others any more, but they of it.
        told(m2, &[])?;
        let [two, three] = [m2.ip().to_string(), m3.ip().to_string()];
        told(m1, &["--ssh", "--master", &two, "--master", &three])?;

        // Who is to go on is for people to say: here it is the recovered one.
        let endpoint = format!("https://{}:2379", m1.ip());
        let join = |node: &Node, more: &[&str]| {
            let replace = ["member", "replace", node.name(), "--this-node-only"];
            let there = ["--endpoint", &endpoint, "--yes"];
            on(node, &[&replace[..], &there, more].concat())
        };
        join(m2, &[])?
            .code(5)?
            .says(&["in another cluster", "--even-if-healthy"])?;
        join(m2, &["--even-if-healthy"])?
            .code(5)?
            .says(&["as a member of another cluster", "--accept-data-loss"])?;
        join(m2, &["--even-if-healthy", "--accept-data-loss"])?.code(0)?;
        join(m3, &[])?.code(0)?;
        ensure!(whole(cluster)? == new, "the cluster id is another one");
        for (prefix, count) in [
            ("apart-early", 20),
            ("apart-recovered", 20),
            ("apart-one", 10),
            ("apart-other", 0),
        ] {
            all_written(cluster, prefix, count)?;
        }
        Ok(())
    });
}

/// Waits until an old member has heard of the other cluster; it runs all the same.
fn met(node: &Node) -> Result<()> {
    let script = "cat /var/log/pods/kube-system_etcd-*/etcd/*.log";
    wait::until("they meet", BACK, || {
        let said = node.run(["sh", "-c", script]);
        let said = said.map_err(|error| format!("{error:#}"))?.stdout;
        match said.contains("cluster ID mismatch") {
            true => Ok(()),
            false => Err(said.lines().last().unwrap_or_default().to_owned()),
        }
    })?;
    ensure!(
        !node.component(Component::Etcd).is_empty() && !runs_with(node, "--force-new-cluster"),
        "etcd of {} ended",
        node.name()
    );
    Ok(())
}

/// `doctor` says that there are two.
fn told(node: &Node, how: &[&str]) -> Result<()> {
    let told = on(node, &[&["doctor", "-o", "json"], how].concat())?;
    let told_json: Value = told.json()?;
    let situations = told_json["situations"]
        .as_array()
        .context("no situations")?;
    ensure!(
        situations.iter().any(|one| one["kind"] == "two-clusters"),
        "{told}"
    );
    Ok(())
}
