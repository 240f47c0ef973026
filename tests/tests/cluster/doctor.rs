//! `kubectl etcd doctor`: the accident is made, and it is told which, what was seen of it, and what to run.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::fault::DATABASE;
use testbed::{Answer, Component, Node, wait};

use crate::quorum_lost::on;
use crate::schema::checked;
use crate::three;

/// How long a look may take: the limits of its parts, and a node's CPU that it shares.
const LIMIT: Duration = Duration::from_secs(30);

/// What `doctor` says on a node.
fn told(node: &Node, code: i32) -> Result<(Answer, Value)> {
    let answer = on(node, &["doctor", "-o", "json"])?
        .code(code)?
        .within(LIMIT)?;
    eprintln!(
        "doctor on {}: {:.1} s",
        node.name(),
        answer.took.as_secs_f64()
    );
    let told = checked(&answer)?;
    ensure!(
        told["lookedAt"] == serde_json::json!([node.name()]),
        "{answer}"
    );
    ensure!(told["unseen"] == serde_json::json!([]), "{answer}");
    Ok((answer, told))
}

fn kinds(told: &Value) -> Vec<&str> {
    let situations = told["situations"].as_array().map(Vec::as_slice);
    let situations = situations.unwrap_or_default().iter();
    situations.filter_map(|one| one["kind"].as_str()).collect()
}

fn situation<'a>(told: &'a Value, kind: &str) -> Result<&'a Value> {
    let situations = told["situations"].as_array().context("no situations")?;
    let mut found = situations.iter().filter(|one| one["kind"] == kind);
    found.next().with_context(|| format!("no {kind} in {told}"))
}

#[test]
fn a_healthy_master_is_called_healthy_and_a_stray_copy_is_named_and_mended_by_its_command() {
    three(|cluster, me| {
        let m2 = cluster.node("m2")?;
        m2.install(me.plugin(), "kubectl-etcd")?;
        told_when_healthy(m2)?;
        let (answer, healthy) = told(m2, 0)?;
        ensure!(kinds(&healthy).is_empty(), "{answer}");
        ensure!(
            healthy["notLookedAt"] == serde_json::json!(["m1", "m3"]),
            "{answer}"
        );
        on(m2, &["doctor"])?.code(0)?.says(&[
            "healthy: nothing is wrong",
            "all 3 members answer",
            "kube-apiserver answers",
            "kubelet runs",
            "kube-scheduler runs",
        ])?;
        // Elsewhere it is said what was not looked at. A busy node may not take its Job in time at first.
        wait::until("nothing wrong by the API", Duration::from_secs(90), || {
            let told = me.etcd(["doctor"]).map_err(|error| format!("{error:#}"))?;
            let unseen = "not looked at: the hosts of m1, m2 and m3";
            match told.output.code == 0 && told.text().contains(unseen) {
                true => Ok(()),
                false => Err(told.to_string()),
            }
        })?;

        let manifest = m2.manifest(Component::Etcd);
        let copy = manifest.with_extension("yaml.bak");
        let first: Vec<u32> = etcds(m2);
        fs::copy(&manifest, &copy)?;
        let (answer, stray) = told_when(m2, "stray-manifest", 3)?;
        let stray = situation(&stray, "stray-manifest")?;
        ensure!(stray["node"] == "m2", "{answer}");
        let command = stray["next"]["command"].as_str().unwrap_or_default();
        // Nobody is so fast as to be there while kubelet still replaces the one by the other.
        wait::until_true("the first etcd gone", Duration::from_secs(60), || {
            etcds(m2).iter().all(|pid| !first.contains(pid))
        })?;
        script(m2, command)?;
        ensure!(!copy.exists(), "{command} left {}", copy.display());
        cluster.wait_ready()?;
        told_when_healthy(m2)
    });
}

#[test]
fn a_damaged_database_is_told_from_its_data_and_its_words_with_the_others_holding_the_quorum() {
    three(|cluster, me| {
        let m3 = cluster.node("m3")?;
        m3.install(me.plugin(), "kubectl-etcd")?;
        m3.stop(Component::Apiserver)?;
        m3.stop(Component::Etcd)?;
        script(m3, "cp -a /var/lib/etcd/member /var/tmp/member")?;
        let pages = fs::metadata(m3.path(DATABASE))?.len() / 4096;
        let damaged = usize::try_from((pages - 4).min(80))? * 4096;
        m3.zero(DATABASE, 4 * 4096, damaged)?;
        // It ends so soon that nobody may see it run.
        m3.bring_back(Component::Etcd)?;
        wait::until(
            "etcd of m3 ended by its database",
            Duration::from_secs(60),
            || {
                let told =
                    on(m3, &["doctor", "-o", "json"]).map_err(|error| format!("{error:#}"))?;
                match told.text().contains("exit code") {
                    true => Ok(()),
                    false => Err(told.to_string()),
                }
            },
        )?;
        let (answer, damaged) = told_when(m3, "database-damaged", 4)?;
        ensure!(damaged["verdict"] == "damaged", "{answer}");
        let one = situation(&damaged, "database-damaged")?;
        ensure!(
            one["next"]["command"] == "kubectl etcd member replace m3",
            "{answer}"
        );
        answer.says(&["the others hold the quorum", "/var/lib/etcd"])?;

        // As it was: what the others wrote meanwhile it gets from them.
        m3.stop(Component::Etcd)?;
        let back = "rm -r /var/lib/etcd/member && mv /var/tmp/member /var/lib/etcd/";
        script(m3, back)?;
        // It has seen etcd end again and again, and would wait longer and longer.
        script(m3, "systemctl restart kubelet")?;
        m3.start(Component::Etcd)?;
        m3.start(Component::Apiserver)?;
        cluster.wait_ready()?;
        told_when_healthy(m3)
    });
}

/// On the one of three masters that is on: who runs is told, and who does not.
pub(crate) fn told_without_quorum(m1: &Node) -> Result<()> {
    let (answer, lost) = told_when(m1, "quorum-lost", 4)?;
    ensure!(lost["verdict"] == "quorum-lost", "{answer}");
    let one = situation(&lost, "quorum-lost")?;
    ensure!(
        one["next"]["command"] == "kubectl etcd recover --ssh",
        "{answer}"
    );
    answer.says(&[
        "1 of 3 members run",
        "m1 runs",
        "m2 does not answer",
        "m3 does not answer",
    ])?;
    Ok(())
}

/// One that has seen no leader since its start serves no clients, and is known all the same.
pub(crate) fn told_since_its_start(m1: &Node) -> Result<()> {
    m1.kill(Component::Etcd)?;
    let waits = "answers its peers and no clients";
    wait::until("etcd of m1 started again", Duration::from_secs(60), || {
        let told = on(m1, &["doctor"]).map_err(|error| format!("{error:#}"))?;
        match told.text().contains(waits) {
            true => Ok(()),
            false => Err(told.to_string()),
        }
    })?;
    let (answer, _) = told(m1, 4)?;
    answer.says(&["1 of 3 members run", waits]).map(drop)
}

/// What it says once it says this: kubelet, or the members' elections, take a moment.
fn told_when(node: &Node, kind: &str, code: i32) -> Result<(Answer, Value)> {
    wait::until(kind, Duration::from_secs(60), || {
        let answer = on(node, &["doctor", "-o", "json"]).map_err(|error| format!("{error:#}"))?;
        let told = answer.json().map_err(|error| format!("{error:#}"))?;
        match kinds(&told).first() == Some(&kind) {
            true => Ok(()),
            false => Err(answer.to_string()),
        }
    })?;
    told(node, code)
}

fn told_when_healthy(node: &Node) -> Result<()> {
    wait::until("nothing wrong any more", Duration::from_secs(60), || {
        let answer = on(node, &["doctor"]).map_err(|error| format!("{error:#}"))?;
        match answer.output.code {
            0 => Ok(()),
            _ => Err(answer.to_string()),
        }
    })
}

/// Runs a script on a node.
fn script(node: &Node, script: &str) -> Result<()> {
    let done = node.run(["sh", "-ec", script])?;
    ensure!(done.code == 0, "{script}: {done}");
    Ok(())
}

fn etcds(node: &Node) -> Vec<u32> {
    let all = node.component(Component::Etcd);
    all.iter().map(|one| one.pid).collect()
}
