//! Every command on a healthy cluster. How its answer is shown in each format is tested where the views are.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use testbed::{Cluster, Workstation, demo, process};

use crate::schema::checked;
use crate::{column, row, three};

const NODES: [&str; 3] = ["m1", "m2", "m3"];

#[test]
fn status_tells_of_every_member() {
    three(|cluster, me| {
        let answer = me
            .etcd(["status", "-o", "json"])?
            .code(0)?
            .says_none_of(&["via pod", "via exec"])?;
        let status = checked(&answer)?;
        ensure!(
            status["verdict"] == "healthy" && status["quorum"]["mayFail"] == 1,
            "{answer}"
        );
        ensure!(
            column(&status, "rows", "node") == NODES
                && column(&status, "rows", "via") == ["exec"; 3],
            "{answer}"
        );
        let mut roles = column(&status, "rows", "role");
        roles.sort_unstable();
        ensure!(roles == ["follower", "follower", "leader"], "{answer}");
        let version = cluster.state().etcd.version().trim_start_matches('v');
        for node in NODES {
            let row = row(&status, "rows", node)?;
            let number = |field: &str| {
                row[field]
                    .as_u64()
                    .with_context(|| format!("{node} has no {field}: {answer}"))
            };
            ensure!(
                row["member"] == node
                    && row["version"] == version
                    && row["storageVersion"] == "3.6.0",
                "{answer}"
            );
            ensure!(
                number("dbSizeBytes")? >= number("dbInUseBytes")? && number("dbInUseBytes")? > 0,
                "{answer}"
            );
            ensure!(
                number("quotaBytes")? == 2 << 30 && row["quotaSource"] == "told",
                "{answer}"
            );
            ensure!(
                number("raftTerm")? > 0 && number("raftAppliedIndex")? > 0 && number("lag")? < 100,
                "{answer}"
            );
        }

        let table = me.etcd(["status"])?.code(0)?;
        let lines: Vec<&str> = table.output.stdout.lines().collect();
        ensure!(
            lines.len() >= 5 && lines[0].starts_with("NODE") && lines[1].starts_with("m1"),
            "{table}"
        );
        table.says(&["healthy: 3 of 3 members healthy, quorum holds, one may fail"])?;
        Ok(())
    });
}

#[test]
fn members_health_alarms_usage_and_versions_are_told() {
    three(|cluster, me| {
        let members = me.etcd(["members", "-o", "json"])?.code(0)?;
        let list = checked(&members)?;
        ensure!(
            list["whose"] == "quorum"
                && column(&list, "members", "node") == column(&list, "members", "name"),
            "{members}"
        );
        let theirs = cluster
            .etcdctl(cluster.node("m1")?, ["member", "list"])?
            .success()?;
        for id in column(&list, "members", "id") {
            ensure!(theirs.contains(id), "{id} is none of:\n{theirs}");
        }
        let mut names: Vec<_> = me
            .etcd(["members", "-o", "name"])?
            .code(0)?
            .output
            .stdout
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        ensure!(names == NODES, "{names:?}");

        let health = me.etcd(["health", "-o", "json"])?.code(0)?;
        let rows = checked(&health)?;
        ensure!(column(&rows, "members", "node") == NODES, "{health}");
        for node in NODES {
            let row = row(&rows, "members", node)?;
            ensure!(
                row["healthy"] == true && row["readUs"].as_u64().is_some_and(|us| us > 0),
                "{health}"
            );
        }
        me.etcd(["health", "--wait", "30s"])?
            .code(0)?
            .says(&["healthy: 3 of 3 members"])?;

        let alarms = me.etcd(["alarm", "list", "-o", "json"])?.code(0)?;
        ensure!(
            checked(&alarms)?["alarms"]
                .as_array()
                .is_some_and(Vec::is_empty),
            "{alarms}"
        );
        let disarmed = me
            .etcd(["alarm", "disarm", "--yes", "-o", "json"])?
            .code(0)?;
        ensure!(
            checked(&disarmed)?["alarms"]
                .as_array()
                .is_some_and(Vec::is_empty),
            "{disarmed}"
        );

        let usage = me.etcd(["usage", "-o", "json"])?.code(0)?;
        let told = checked(&usage)?;
        ensure!(
            told["total"]["objects"]
                .as_u64()
                .is_some_and(|objects| objects > 20),
            "{usage}"
        );
        me.etcd(["usage", "--by", "namespace"])?
            .code(0)?
            .says(&["kube-system"])?;

        let version = me.etcd(["version", "-o", "json"])?.code(0)?;
        let told = checked(&version)?;
        ensure!(
            column(&told, "etcd", "version")
                == [cluster.state().etcd.version().trim_start_matches('v'); 3],
            "{version}"
        );
        ensure!(
            told["job"]["sha256"]
                .as_str()
                .is_some_and(|digest| digest.len() == 64),
            "{version}"
        );
        Ok(())
    });
}

#[test]
fn defrag_shows_its_plan_asks_and_takes_the_leader_last() {
    three(|cluster, me| {
        let planned = me
            .etcd(["defrag", "--all", "--dry-run", "-o", "json"])?
            .code(0)?;
        let plan = checked(&planned)?;
        ensure!(
            plan["dryRun"] == true && column(&plan, "members", "state") == ["planned"; 3],
            "{planned}"
        );
        ensure!(
            column(&plan, "members", "role").last() == Some(&"leader"),
            "{planned}"
        );

        me.etcd(["defrag", "--all"])?.code(5)?.says(&["--yes"])?;

        // Something to give back.
        let m1 = cluster.node("m1")?;
        for _ in 0..8 {
            cluster.put(m1, "testbed/rubbish", &vec![b'r'; 1 << 20])?;
        }
        cluster.etcdctl(m1, ["del", "testbed/rubbish"])?.success()?;
        cluster.compact()?;

        let done = me
            .etcd(["defrag", "--all", "--yes", "-o", "json"])?
            .code(0)?;
        let told = checked(&done)?;
        ensure!(column(&told, "members", "state") == ["done"; 3], "{done}");
        ensure!(
            column(&told, "members", "role").last() == Some(&"leader"),
            "{done}"
        );
        for member in told["members"].as_array().context("no members")? {
            let (before, after) = (
                member["beforeBytes"].as_u64(),
                member["afterBytes"].as_u64(),
            );
            ensure!(
                before
                    .zip(after)
                    .is_some_and(|(before, after)| after + (6 << 20) < before),
                "{done}"
            );
        }
        me.etcd(["defrag", "--all", "--yes", "--node", "m2"])?
            .code(0)?
            .says_none_of(&["m3"])?;
        Ok(())
    });
}

#[test]
fn history_is_compacted_to_a_proved_age_and_to_now_only_when_that_is_said() {
    three(|_, me| {
        me.etcd(["compact", "--revision", "999999999"])?.code(2)?;
        me.etcd(["compact", "--all-history"])?
            .code(5)?
            .says(&["--yes"])?;
        let done = me
            .etcd(["compact", "--all-history", "--yes", "-o", "json"])?
            .code(0)?;
        let told = checked(&done)?;
        let revision = told["revision"].as_i64().context("no revision")?;
        ensure!(
            told["state"] == "done" && told["currentRevision"] == revision,
            "{done}"
        );
        // All that is left is younger.
        let kept = me
            .etcd(["compact", "--older-than", "1h", "--yes", "-o", "json"])?
            .code(0)?;
        let told = checked(&kept)?;
        // Although the apiserver may still read from its cache what is gone from etcd.
        ensure!(
            told["state"] == "not-needed" && told["oldestRevision"].as_i64() >= Some(revision),
            "{kept}"
        );
        Ok(())
    });
}

#[test]
fn the_control_planes_logs_are_read_on_all_nodes_at_once() {
    three(|_, me| {
        let all = ["logs", "--all", "--tail", "3", "-o", "json"];
        let logs = me.etcd(all)?.code(0)?;
        let told = checked(&logs)?;
        for component in ["etcd", "kube-apiserver"] {
            let lines = told["lines"].as_array().context("no lines")?;
            let mut nodes: Vec<_> = lines
                .iter()
                .filter(|line| line["component"] == component)
                .filter_map(|line| line["node"].as_str())
                .collect();
            nodes.sort_unstable();
            nodes.dedup();
            ensure!(nodes == NODES, "{component}: {logs}");
        }
        let one = me
            .etcd(["logs", "m2", "--all", "--tail", "1", "-o", "json"])?
            .code(0)?;
        ensure!(
            column(&checked(&one)?, "lines", "node")
                .iter()
                .all(|node| *node == "m2"),
            "{one}"
        );
        Ok(())
    });
}

#[test]
fn kubectl_completes_commands_and_node_names() {
    three(|cluster, me| {
        let programs = demo::link_programs(cluster, me.plugin())?;
        let complete = |words: &[&str]| complete(cluster, me, &programs, words);
        let nodes = complete(&["status", "--node", ""])?;
        ensure!(NODES.iter().all(|node| nodes.contains(node)), "{nodes}");
        let namespaces = complete(&["status", "-n", "kube-s"])?;
        ensure!(namespaces.contains("kube-system"), "{namespaces}");
        let commands = complete(&["sna"])?;
        ensure!(commands.contains("snapshot"), "{commands}");
        let run = Command::new(programs.join("kubectl"))
            .args(["etcd", "status", "-o", "name"])
            .env("PATH", &programs)
            .env("KUBECONFIG", cluster.kubeconfig())
            .output()?;
        ensure!(run.stdout == b"m1\nm2\nm3\n", "{run:?}");
        Ok(())
    });
}

/// What kubectl itself offers behind `kubectl etcd WORDS`: the last line is a directive for the shell.
fn complete(
    cluster: &Cluster,
    me: &Workstation,
    programs: &std::path::Path,
    words: &[&str],
) -> Result<String> {
    process::success(
        Command::new(programs.join("kubectl"))
            .args(["__complete", "etcd"])
            .args(words)
            .current_dir(me.folder())
            .env("PATH", programs)
            .env("KUBECONFIG", cluster.kubeconfig()),
    )
}
