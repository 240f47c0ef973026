//! The ways to the nodes, and which nodes.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{Workstation, job_image};

use crate::schema::checked;
use crate::three;

/// What a status says that does not change between two questions, and does not depend on how it is asked.
fn lasting(status: &Value) -> Value {
    let fields = [
        "node",
        "member",
        "memberId",
        "clusterId",
        "version",
        "storageVersion",
        "quotaBytes",
        "clientUrls",
        "peerUrls",
        "alarms",
        "problem",
    ];
    let rows = status["rows"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            fields
                .iter()
                .map(|field| ((*field).to_owned(), row[field].clone()))
                .collect()
        })
        .collect();
    json!({ "verdict": status["verdict"], "quorum": status["quorum"], "rows": rows })
}

fn status_with(me: &Workstation, flags: &[&str]) -> Result<Value> {
    let answer = me.always(flags).etcd(["status", "-o", "json"])?.code(0)?;
    let status = checked(&answer)?;
    let via = flags
        .iter()
        .skip_while(|flag| **flag != "--via")
        .nth(1)
        .unwrap_or(&"job");
    ensure!(
        crate::column(&status, "rows", "via") == [*via; 3],
        "{answer}"
    );
    Ok(lasting(&status))
}

#[test]
fn every_runner_tells_the_same() {
    three(|cluster, me| {
        let image = job_image()?;
        for node in cluster.nodes() {
            node.load_image(&image.archive)?;
        }
        let image = image.reference.as_str();
        let job = status_with(me, &["--via", "job"])?;
        for flags in [
            vec!["--via", "pod"],
            vec!["--via", "exec"],
            vec!["--image", image],
            vec!["--image", image, "--via", "pod"],
        ] {
            let other = status_with(me, &flags)?;
            ensure!(other == job, "{flags:?}:\n{other}\nthrough a Job:\n{job}");
        }
        // Through exec and Jobs all of these are done with other lines of etcd, on one control-plane node.
        let by_pods = me.always(["--via", "pod"]);
        by_pods.etcd(["members"])?.code(0)?;
        by_pods.etcd(["health"])?.code(0)?;
        by_pods.etcd(["alarm", "list"])?.code(0)?;
        by_pods
            .etcd(["defrag", "--all", "--yes", "--node", "m2"])?
            .code(0)?;
        let by_exec = me.always(["--via", "exec"]);
        by_exec.etcd(["members"])?.code(0)?;
        by_exec
            .etcd(["defrag", "--all", "--yes", "--node", "m2,m3"])?
            .code(0)?;
        let saved = me
            .etcd(["snapshot", "save", "image.db", "--image", image])?
            .code(0)?;
        ensure!(me.files()? == ["image.db", "image.db.json"], "{saved}");
        me.etcd(["snapshot", "save", "no.db", "--via", "exec"])?
            .code(1)?
            .says(&["--via"])?;
        Ok(())
    });
}

#[test]
fn nodes_are_chosen_by_name_and_an_unknown_one_is_a_usage_error() {
    three(|_, me| {
        let one = me.etcd(["status", "--node", "m2", "-o", "name"])?.code(0)?;
        ensure!(one.output.stdout == "m2\n", "{one}");
        let two = me
            .etcd(["health", "--node", "m3,m1", "-o", "json"])?
            .code(0)?;
        ensure!(
            crate::column(&checked(&two)?, "members", "node") == ["m1", "m3"],
            "{two}"
        );
        me.etcd(["status", "--node", "m7"])?
            .code(2)?
            .says(&["m7", "m1, m2, m3"])?;
        Ok(())
    });
}

#[test]
fn an_image_that_is_nowhere_is_named_and_etcdctl_takes_over() {
    three(|_, me| {
        let image = "registry.invalid/nothing:1";
        // The pull has to fail, and it is not waited for longer than that takes.
        let forced = me.etcd(["status", "--image", image, "--via", "job"])?;
        let forced = forced.says(&[image])?.says_none_of(&["panicked"])?;
        ensure!(
            forced.took.as_secs() <= 20 && forced.output.code != 0,
            "{forced}"
        );
        let status = me
            .etcd(["status", "--image", image])?
            .code(0)?
            .says(&["via exec", image])?;
        ensure!(status.took.as_secs() <= 30, "{status}");
        // etcdctl cannot do this one.
        me.etcd(["snapshot", "save", "x.db", "--image", image])?
            .code(1)?
            .says(&[image, "--image"])?;
        ensure!(me.files()?.is_empty(), "{:?}", me.files()?);
        Ok(())
    });
}
