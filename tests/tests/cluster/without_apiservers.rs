//! `status`, `health`, `members` and `doctor` from a workstation over ssh: with apiservers and without, with a dead etcd and
//! without a quorum. The workstation has never asked the cluster before, and its kubeconfig names one control-plane node.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{Answer, Cluster, Component, Workstation, wait};

use crate::schema::checked;
use crate::ssh::config;
use crate::{column, row, three};

/// A host that is off is given up after 10 s, and those that are on are looked at before and after.
const LIMIT: Duration = Duration::from_secs(90);

/// `kubectl etcd WORDS --ssh`, with the configuration that people have.
fn over_ssh(cluster: &Cluster, me: &Workstation, words: &[&str]) -> Result<Answer> {
    over(cluster, me, &[words, &["--ssh"]].concat())
}

fn over(cluster: &Cluster, me: &Workstation, words: &[&str]) -> Result<Answer> {
    let mut command = me.command(words);
    let answer = me.run(command.arg("--ssh-config").arg(config(cluster)))?;
    let took = answer.took.as_secs_f64();
    eprintln!("{}: {took:.1} s", words.join(" "));
    answer.within(LIMIT)
}

/// Nobody said where the control-plane nodes are: one is in the kubeconfig, and that one knows the others.
fn found_by_the_first(cluster: &Cluster, answer: Answer) -> Result<Answer> {
    let ip = |name: &str| anyhow::Ok(cluster.node(name)?.ip());
    answer.says(&[
        &format!(
            "control-plane nodes, the kubeconfig's server: {}",
            ip("m1")?
        ),
        &format!(
            "control-plane nodes, as m1 knows them: m2 ({}), m3 ({})",
            ip("m2")?,
            ip("m3")?
        ),
    ])
}

/// What a row says of who was asked, and how.
fn is(status: &Value, node: &str, role: &[&str], via: &Value) -> Result<()> {
    let its = row(status, "rows", node)?;
    let fits = role.contains(&its["role"].as_str().unwrap_or_default()) && its["via"] == *via;
    ensure!(fits, "{node} is not {role:?} via {via}: {status}");
    Ok(())
}

#[test]
fn over_ssh_all_masters_are_found_from_one_and_tell_what_their_jobs_tell() {
    three(|cluster, me| {
        let answer = over_ssh(cluster, me, &["status", "-o", "json"])?.code(0)?;
        let answer = found_by_the_first(cluster, answer)?;
        let status = checked(&answer)?;
        for node in ["m1", "m2", "m3"] {
            is(&status, node, &["leader", "follower"], &json!("ssh"))?;
        }
        ensure!(status["verdict"] == "healthy", "{answer}");
        // Its rows are those of the Jobs, but for what changes from one moment to the next.
        let by_jobs = me.etcd(["status", "--via", "job", "-o", "json"])?.code(0)?;
        let by_jobs = checked(&by_jobs)?;
        for field in ["member", "memberId", "version", "quotaBytes", "peerUrls"] {
            let of = |status: &Value| -> Vec<Value> {
                let rows = status["rows"].as_array().into_iter().flatten();
                rows.map(|row| row[field].clone()).collect()
            };
            ensure!(of(&status) == of(&by_jobs), "{field}: {answer}");
        }
        // From then on it is known where they are.
        over_ssh(cluster, me, &["status"])?.code(0)?.says(&[
            "as they were when the cluster last answered",
            "m2",
            "m3",
        ])?;
        let health = over_ssh(cluster, me, &["health", "-o", "json"])?.code(0)?;
        ensure!(checked(&health)?["verdict"] == "healthy", "{health}");
        let members = over_ssh(cluster, me, &["members", "-o", "json"])?.code(0)?;
        let listed = checked(&members)?;
        ensure!(
            column(&listed, "members", "node") == ["m1", "m2", "m3"],
            "{members}"
        );

        // Who names control-plane nodes means these; the others are shown as these see them.
        let m1 = cluster.node("m1")?.ip().to_string();
        let one = over(cluster, me, &["status", "-o", "json", "--master", &m1])?.code(0)?;
        let status = checked(&one.says(&["from --master"])?)?;
        is(&status, "m1", &["leader", "follower"], &json!("ssh"))?;
        let seen_from = column(&status, "rows", "seenFrom");
        ensure!(seen_from == ["", "m1", "m1"], "{status}");

        // No master: the wire ends there.
        let nowhere = ["status", "--server", "https://192.0.2.1:6443"];
        over_ssh(cluster, me, &nowhere)?.code(6)?.says(&[
            "192.0.2.1",
            "load balancer",
            "--master HOST",
        ])?;
        me.etcd(["status", "--ssh", "--via", "job"])?
            .code(2)?
            .says(&["two ways"])
            .map(drop)
    });
}

#[test]
fn over_ssh_doctor_looks_at_every_host_from_one_that_is_known() {
    three(|cluster, _| {
        // A controller that has lost its lease on a busy machine is started again by kubelet, some time later; doctor rightly
        // names it until then.
        let answer = wait::until("nothing wrong", Duration::from_secs(120), || {
            let answer = Workstation::of(cluster)
                .and_then(|me| over_ssh(cluster, &me, &["doctor", "-o", "json"]));
            let answer = answer.and_then(|answer| answer.code(0));
            answer.map_err(|error| format!("{error:#}"))
        })?;
        let answer = found_by_the_first(cluster, answer)?;
        let told = checked(&answer)?;
        ensure!(
            told["lookedAt"] == json!(["m1", "m2", "m3"])
                && told["notLookedAt"] == json!([])
                && told["unseen"] == json!([]),
            "{answer}"
        );
        Ok(())
    });
}

#[test]
fn over_ssh_without_an_apiserver_it_is_told_what_every_master_knows() {
    three(|cluster, me| {
        let (m2, m3) = (cluster.node("m2")?, cluster.node("m3")?);
        cluster.at_once(|node| node.stop(Component::Apiserver))?;
        m3.stop(Component::Etcd)?;

        me.etcd(["status"])?
            .code(6)?
            .says(&["kubectl etcd status --ssh"])?;
        let answer = over_ssh(cluster, me, &["status", "-o", "json"])?.code(3)?;
        let answer = found_by_the_first(cluster, answer)?;
        let status = checked(&answer)?;
        ensure!(
            status["verdict"] == "degraded" && status["quorum"]["healthyVoters"] == 2,
            "{answer}"
        );
        for node in ["m1", "m2"] {
            is(&status, node, &["leader", "follower"], &json!("ssh"))?;
        }
        is(&status, "m3", &["down"], &Value::Null)?;
        ensure!(
            row(&status, "rows", "m3")?["problem"]["short"] == "no etcd here",
            "{answer}"
        );
        over_ssh(cluster, me, &["health"])?.code(3)?.says(&["m3"])?;
        over_ssh(cluster, me, &["members"])?
            .code(0)?
            .says(&["m3"])?;
        let doctor = over_ssh(cluster, me, &["doctor", "-o", "json"])?;
        let told = checked(&doctor)?;
        // A host whose etcd has no manifest any more is looked at like the others.
        ensure!(
            told["lookedAt"] == json!(["m1", "m2", "m3"])
                && told["situations"]
                    .as_array()
                    .is_some_and(|all| !all.is_empty())
                && matches!(doctor.output.code, 3 | 4),
            "{doctor}"
        );

        // And without a quorum, one host off.
        m2.power_off()?;
        // The leader notices after an election timeout or two.
        wait::until("m1 without a leader", Duration::from_secs(60), || {
            let asked = over_ssh(cluster, me, &["status", "-o", "json"]);
            let asked = asked.map_err(|error| format!("{error:#}"))?;
            match asked.text().contains("\"no-leader\"") {
                true => Ok(()),
                false => Err(asked.to_string()),
            }
        })?;
        let answer = over_ssh(cluster, me, &["status", "-o", "json"])?.code(4)?;
        let status = checked(&answer.says(&["what each knows itself"])?)?;
        ensure!(status["verdict"] == "quorum-lost", "{status}");
        is(&status, "m1", &["no-leader"], &json!("ssh"))?;
        is(&status, "m2", &["down"], &Value::Null)?;
        let its = &row(&status, "rows", "m2")?["problem"];
        ensure!(
            its["short"] == "not reached" && its["detail"].to_string().contains("over ssh"),
            "{status}"
        );
        let doctor = over_ssh(cluster, me, &["doctor", "-o", "json"])?.code(4)?;
        let told = checked(&doctor)?;
        ensure!(
            told["lookedAt"] == json!(["m1", "m3"])
                && column(&told, "unseen", "node").contains(&"m2"),
            "{doctor}"
        );

        m2.start(Component::Apiserver)?;
        m2.power_on()?;
        m3.start(Component::Etcd)?;
        for name in ["m1", "m3"] {
            cluster.node(name)?.start(Component::Apiserver)?;
        }
        cluster.wait_ready()
    });
}
