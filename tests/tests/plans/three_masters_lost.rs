//! Three control-plane nodes after a loss of power: one or two of them with a torn database, or one that was off meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testbed::fault::DATABASE;
use testbed::{Cluster, Component, Node, wait};

use crate::command::{on, seconds, stages};
use crate::objects::{all_written, converged, deploy, no_containers, write, written};
use crate::proof::{agree, aside, cluster_id, healthy, kept_is_there, runs_with, tear, whole};
use crate::with;

#[test]
fn a_torn_database_is_replaced_while_the_others_hold_the_quorum() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        deploy(cluster, m1, "steady", 3)?;
        write(cluster, m1, "torn-one", 50)?;
        let id = whole(cluster)?;
        cluster.power_off_all()?;
        tear(m1)?;
        cluster.power_on_all()?;
        healthy(cluster, &[m2, m3])?;
        // The others hold the quorum, so a new cluster is not what it needs.
        on(m2, &["recover", "--dry-run"])?
            .code(5)?
            .says(&["member replace"])?;

        let begun = Instant::now();
        let done = on(m1, &["member", "replace", "m1", "--yes", "-o", "json"])?.code(0)?;
        stages(&done)?;
        ensure!(
            whole(cluster)? == id,
            "the cluster id is another one: {done}"
        );
        converged(cluster, m1, "steady", 3)?;
        eprintln!(
            "one torn database: everything runs after {:.1} s",
            seconds(begun.elapsed())
        );
        all_written(cluster, "torn-one", 50)?;
        kept_is_there(cluster, &done, &["m1"])?;
        gone(cluster)
    });
}

#[test]
fn two_torn_databases_are_recovered_from_the_third() {
    with(3, |cluster| {
        let (m1, m3) = (cluster.node("m1")?, cluster.node("m3")?);
        deploy(cluster, m3, "steady", 3)?;
        write(cluster, m1, "torn-two", 50)?;
        let (id, kept) = (whole(cluster)?, aside(m3)?);
        cluster.power_off_all()?;
        for node in ["m1", "m2"] {
            tear(cluster.node(node)?)?;
        }
        cluster.power_on_all()?;
        // Alone, while apiservers of the others answer.
        wait::until("a refusal", Duration::from_secs(60), || {
            let alone = ["recover", "--this-node-only", "--dry-run"];
            let asked = on(m3, &alone).map_err(|error| format!("{error:#}"))?;
            match asked.output.code == 5 && asked.text().contains("answers at") {
                true => Ok(()),
                false => Err(asked.to_string()),
            }
        })?;
        ensure!(aside(m3)? == kept, "something was done");

        let begun = Instant::now();
        let recover = [
            "recover",
            "--ssh",
            "--yes",
            "--accept-data-loss",
            "-o",
            "json",
        ];
        let done = on(m3, &recover)?.code(0)?;
        stages(&done)?;
        ensure!(whole(cluster)? != id, "the cluster id is the old one");
        converged(cluster, m3, "steady", 3)?;
        eprintln!(
            "two torn databases: everything runs after {:.1} s",
            seconds(begun.elapsed())
        );
        all_written(cluster, "torn-two", 50)?;
        kept_is_there(cluster, &done, &["m1", "m2", "m3"])?;
        gone(cluster)
    });
}

#[test]
fn a_member_that_comes_back_with_old_data_does_no_harm_and_is_replaced() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        write(cluster, m1, "early", 30)?;
        let id = whole(cluster)?;
        m2.power_off()?;
        healthy(cluster, &[m1, m3])?;
        write(cluster, m1, "without-m2", 30)?;
        agree_of(cluster, &[m1, m3])?;
        m3.power_off()?;
        tear(m3)?;
        m3.power_on()?;
        // m1 leads on until its election timeout has passed.
        wait::until("the quorum lost", Duration::from_secs(30), || {
            let health = cluster.etcdctl(m1, ["endpoint", "health"]);
            match health.map_err(|error| format!("{error:#}"))?.ok() {
                true => Err("m1 still has a leader".to_owned()),
                false => Ok(()),
            }
        })?;

        let recover = [
            "recover",
            "--ssh",
            "--yes",
            "--accept-data-loss",
            "-o",
            "json",
        ];
        let done = on(m1, &recover)?.code(0)?.says(&["m2"])?;
        healthy(cluster, &[m1, m3])?;
        let new = agree(cluster, &[m1, m3])?;
        ensure!(new != id, "the cluster id is the old one: {done}");
        write(cluster, m1, "recovered", 30)?;

        m2.power_on()?;
        met(m1, m2, m3)?;
        write(cluster, m3, "beside-m2", 30)?;
        ensure!(
            agree(cluster, &[m1, m3])? == new,
            "the cluster is another one"
        );
        for prefix in ["early", "without-m2", "recovered", "beside-m2"] {
            for node in [m1, m3] {
                let found = written(cluster, node, prefix)?;
                ensure!(found == 30, "{}: {found} of {prefix}", node.name());
            }
        }
        ensure!(
            m2.path(DATABASE).exists(),
            "something happened to the data of m2"
        );

        let done = on(m2, &["member", "replace", "m2", "--yes", "-o", "json"])?.code(0)?;
        ensure!(
            whole(cluster)? == new,
            "the cluster id is another one: {done}"
        );
        ensure!(cluster_id(cluster, m2)? == new, "m2 is of another cluster");
        for prefix in ["early", "without-m2", "recovered", "beside-m2"] {
            all_written(cluster, prefix, 30)?;
        }
        kept_is_there(cluster, &done, &["m2"])
    });
}

/// Two members of three have the same data.
fn agree_of(cluster: &Cluster, nodes: &[&Node]) -> Result<()> {
    let revisions = || {
        nodes
            .iter()
            .map(|node| crate::proof::revision(cluster, node))
    };
    wait::until("the same revision", Duration::from_secs(20), || {
        let found: Result<Vec<u64>> = revisions().collect();
        match found {
            Ok(found) if found.windows(2).all(|pair| pair[0] == pair[1]) => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
}

/// Waits until the old member runs and has been turned away by the others, as it says itself.
fn met(m1: &Node, m2: &Node, m3: &Node) -> Result<()> {
    wait::until(
        "the old member is turned away",
        Duration::from_secs(60),
        || {
            let said = m2.run([
                "sh",
                "-c",
                "cat /var/log/pods/kube-system_etcd-m2_*/etcd/*.log",
            ]);
            let said = said.map_err(|error| format!("{error:#}"))?.stdout;
            let runs = !m2.component(Component::Etcd).is_empty();
            match runs && said.contains("cluster ID mismatch") {
                true => Ok(()),
                false => Err(format!(
                    "runs: {runs}; {}",
                    said.lines().last().unwrap_or_default()
                )),
            }
        },
    )?;
    for node in [m1, m3] {
        ensure!(
            !node.component(Component::Etcd).is_empty() && !runs_with(node, "--force-new-cluster"),
            "etcd of {} ended",
            node.name()
        );
    }
    Ok(())
}

fn gone(cluster: &Cluster) -> Result<()> {
    cluster
        .kubectl(["delete", "deployment", "--all", "--wait=false"])?
        .success()?;
    no_containers(cluster, "steady")
}
