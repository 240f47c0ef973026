//! Three control-plane nodes without ssh between them: the plan of one says what to run on the others, and that is run as it says.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Answer, Cluster, wait};

use crate::command::{on, seconds, stages};
use crate::objects::{all_written, converged, deploy, no_containers, write};
use crate::proof::{kept_is_there, revision, tear, whole};
use crate::with;

const SNAPSHOT: &str = "/var/tmp/by-hand.db";

/// The commands that a plan has for other hosts, each with its node, in their order.
fn commands(plan: &Answer, when: &str) -> Result<Vec<(String, String)>> {
    let told = plan.json()?;
    let hosts = told["otherHosts"].as_array().context("no other hosts")?;
    let mut found = Vec::new();
    for host in hosts {
        let node = host["node"].as_str().context("a host without a node")?;
        let commands = host[when].as_array().context("no commands")?;
        let texts = commands.iter().filter_map(Value::as_str);
        found.extend(texts.map(|text| (node.to_owned(), text.to_owned())));
    }
    Ok(found)
}

/// Runs commands as they are printed, each on its node and to its end; the question that each asks is answered.
fn run(cluster: &Cluster, commands: &[(String, String)]) -> Result<Vec<Answer>> {
    let all = commands.iter().map(|(node, command)| {
        let own = command
            .strip_prefix("kubectl etcd ")
            .with_context(|| format!("another program: {command}"))?;
        let words: Vec<&str> = own.split(' ').chain(["--yes", "-o", "json"]).collect();
        on(cluster.node(node)?, &words)?.code(0)
    });
    all.collect()
}

/// The nodes of commands, each once.
fn nodes(commands: &[(String, String)]) -> Vec<&str> {
    let mut nodes: Vec<&str> = commands.iter().map(|(node, _)| node.as_str()).collect();
    nodes.dedup();
    nodes
}

#[test]
fn two_torn_databases_are_recovered_by_hand_on_each_master() {
    with(3, |cluster| {
        let (m1, m3) = (cluster.node("m1")?, cluster.node("m3")?);
        deploy(cluster, m3, "steady", 3)?;
        write(cluster, m1, "by-hand", 50)?;
        let id = whole(cluster)?;
        cluster.power_off_all()?;
        for node in ["m1", "m2"] {
            tear(cluster.node(node)?)?;
        }
        cluster.power_on_all()?;
        // Nothing is said of the others: what lifts that is told, and what to run on them.
        wait::until("a refusal", Duration::from_secs(60), || {
            let asked = on(m3, &["recover"]).map_err(|error| format!("{error:#}"))?;
            let told = ["--ssh", "--this-node-only", "manifest stop etcd"];
            let all = told.iter().all(|part| asked.text().contains(part));
            match asked.output.code == 5 && all {
                true => Ok(()),
                false => Err(asked.to_string()),
            }
        })?;

        let begun = Instant::now();
        let alone = ["recover", "--this-node-only", "-o", "json"];
        let with = |more: &[&'static str]| [&alone[..], more].concat();
        // Whether the others are alive at this moment or not, the plan is shown.
        let plan = on(m3, &with(&["--dry-run"]))?;
        let (before, after) = (commands(&plan, "before")?, commands(&plan, "after")?);
        ensure!(nodes(&before) == ["m1", "m2"], "{plan}");
        ensure!(nodes(&after) == ["m1", "m2"], "{plan}");
        run(cluster, &before)?;
        on(m3, &with(&["--dry-run"]))?.code(0)?;
        on(m3, &with(&["--yes"]))?
            .code(5)?
            .says(&["--accept-data-loss"])?;
        let done = on(m3, &with(&["--yes", "--accept-data-loss"]))?.code(0)?;
        stages(&done)?;
        ensure!(commands(&done, "before")?.is_empty(), "{done}");
        ensure!(commands(&done, "after")? == after, "{done}");
        let joined = run(cluster, &after)?;
        for answer in &joined {
            stages(answer)?;
        }

        ensure!(whole(cluster)? != id, "the cluster id is the old one");
        converged(cluster, m3, "steady", 3)?;
        eprintln!(
            "two torn databases, by hand: everything runs after {:.1} s",
            seconds(begun.elapsed())
        );
        all_written(cluster, "by-hand", 50)?;
        kept_is_there(cluster, &done, &["m3"])?;
        for (answer, node) in joined.iter().zip(["m1", "m2"]) {
            kept_is_there(cluster, answer, &[node])?;
        }
        cluster
            .kubectl(["delete", "deployment", "--all", "--wait=false"])?
            .success()?;
        no_containers(cluster, "steady")
    });
}

#[test]
fn a_snapshot_is_restored_on_one_master_and_the_others_join_by_hand() {
    with(3, |cluster| {
        let m1 = cluster.node("m1")?;
        write(cluster, m1, "hand-past", 30)?;
        on(m1, &["snapshot", "save", SNAPSHOT, "--via", "local"])?.code(0)?;
        write(cluster, m1, "hand-since", 30)?;
        let (id, before) = (whole(cluster)?, revision(cluster, m1)?);

        let alone = ["restore", SNAPSHOT, "--this-node-only", "-o", "json"];
        let with = |more: &[&'static str]| [&alone[..], more].concat();
        // The others are alive.
        let plan = on(m1, &with(&["--dry-run"]))?
            .code(5)?
            .says(&["answers at"])?;
        on(m1, &with(&["--yes", "--accept-data-loss"]))?
            .code(5)?
            .says(&["answers at", "manifest stop etcd"])?;
        run(cluster, &commands(&plan, "before")?)?;
        let done = on(m1, &with(&["--yes", "--accept-data-loss"]))?.code(0)?;
        stages(&done)?;
        run(cluster, &commands(&done, "after")?)?;

        ensure!(whole(cluster)? != id, "the cluster id is the old one");
        ensure!(revision(cluster, m1)? > before, "the revision went back");
        all_written(cluster, "hand-past", 30)?;
        all_written(cluster, "hand-since", 0)
    });
}
