//! Three control-plane nodes that are well: a flag is set, a snapshot is restored, and both are rolled back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testbed::Cluster;

use crate::command::{on, seconds, stages};
use crate::objects::{all_written, containers, converged, deploy, no_containers, remove, write};
use crate::proof::{changed, cluster_id, kept_is_there, manifest, revision, runs_with, whole};
use crate::with;

const SNAPSHOT: &str = "/var/tmp/past.db";

#[test]
fn a_flag_of_a_members_etcd_is_set_in_seconds_and_taken_back() {
    with(3, |cluster| {
        let m2 = cluster.node("m2")?;
        let before = manifest(m2)?;
        write(cluster, m2, "quota", 10)?;
        let set = [
            "manifest",
            "set-flag",
            "etcd",
            "quota-backend-bytes=4294967296",
            "--yes",
        ];
        on(m2, &set)?.code(0)?;
        let argument = "--quota-backend-bytes=4294967296";
        ensure!(
            runs_with(m2, argument),
            "etcd of m2 runs without {argument}"
        );
        let id = whole(cluster)?;
        let after = String::from_utf8(manifest(m2)?)?;
        let without: String = after
            .split_inclusive('\n')
            .filter(|line| !line.contains(argument))
            .collect();
        ensure!(
            without.as_bytes() == before,
            "more than a line is another one:\n{after}"
        );
        on(m2, &set)?.code(0)?.says(&["nothing changed"])?;

        // Later the others may not hold the quorum.
        let m3 = cluster.node("m3")?;
        on(m3, &["manifest", "stop", "etcd", "--yes"])?.code(0)?;
        on(m2, &["plan", "undo", "--yes"])?
            .code(5)?
            .says(&["would lose its quorum", "--accept-outage"])?;
        on(m3, &["plan", "undo", "--yes"])?.code(0)?;

        on(m2, &["plan", "undo", "--yes"])?.code(0)?;
        ensure!(manifest(m2)? == before, "the manifest is another one");
        ensure!(whole(cluster)? == id, "the cluster id is another one");
        ensure!(
            !runs_with(m2, argument),
            "etcd of m2 still runs with {argument}"
        );
        all_written(cluster, "quota", 10)
    });
}

#[test]
fn a_snapshot_is_restored_on_all_masters_and_the_restore_taken_back() {
    with(3, |cluster| {
        let m1 = cluster.node("m1")?;
        write(cluster, m1, "past", 50)?;
        write(cluster, m1, "doomed", 3)?;
        deploy(cluster, m1, "steady", 3)?;
        on(m1, &["snapshot", "save", SNAPSHOT, "--via", "local"])?.code(0)?;
        write(cluster, m1, "since", 50)?;
        remove(cluster, m1, "doomed", 3)?;
        deploy(cluster, m1, "late", 3)?;
        let (id, before) = (cluster_id(cluster, m1)?, revision(cluster, m1)?);

        let restore = ["restore", SNAPSHOT, "--ssh", "-o", "json"];
        let with = |more: &[&'static str]| [&restore[..], more].concat();
        let plan = on(m1, &with(&["--dry-run"]))?.code(0)?.json()?;
        ensure!(changed(&plan, "configmaps") == (50, 3), "{plan}");
        ensure!(changed(&plan, "deployments").0 >= 1, "{plan}");
        let snapshot = &plan["snapshot"];
        ensure!(
            snapshot["cluster"] == "same" && snapshot["takenBy"] == "description",
            "{plan}"
        );
        ensure!(plan["changes"]["deletedComplete"] == true, "{plan}");
        on(m1, &["restore", SNAPSHOT, "--ssh", "--dry-run"])?
            .code(0)?
            .says(&["configmaps 53 (3 deleted)", "is of this cluster"])?;
        on(m1, &with(&["--yes"]))?
            .code(5)?
            .says(&["--accept-data-loss"])?;
        // Alone, while the others are alive.
        on(
            m1,
            &["restore", SNAPSHOT, "--without", "m2,m3", "--dry-run"],
        )?
        .code(5)?
        .says(&["m2", "answers at"])?;
        all_written(cluster, "since", 50)?;
        ensure!(containers(cluster, "late") == 3, "something was done");

        stages(&on(m1, &with(&["--yes", "--accept-data-loss"]))?.code(0)?)?;
        for node in cluster.nodes() {
            // The command has waited for them already.
            cluster.wait_apiserver(node, Duration::from_secs(5))?;
        }
        let ended = Instant::now();
        ensure!(whole(cluster)? != id, "the cluster id is the old one");
        ensure!(revision(cluster, m1)? > before, "the revision went back");
        all_written(cluster, "past", 50)?;
        all_written(cluster, "since", 0)?;
        all_written(cluster, "doomed", 3)?;
        no_containers(cluster, "late")?;
        converged(cluster, m1, "steady", 3)?;
        eprintln!(
            "everything as in the snapshot {:.1} s later",
            seconds(ended.elapsed())
        );

        let ended = Instant::now();
        on(m1, &["plan", "undo", "--yes"])?
            .code(5)?
            .says(&["--accept-data-loss"])?;
        let undone = on(
            m1,
            &["plan", "undo", "--yes", "--accept-data-loss", "-o", "json"],
        )?
        .code(0)?
        // The lock is of the state that is left: it was given back before.
        .says_none_of(&["was taken away"])?;
        ensure!(
            whole(cluster)? == id,
            "the cluster id is another one: {undone}"
        );
        all_written(cluster, "past", 50)?;
        all_written(cluster, "since", 50)?;
        all_written(cluster, "doomed", 0)?;
        for name in ["late", "steady"] {
            converged(cluster, m1, name, 3)?;
        }
        eprintln!(
            "everything as before after {:.1} s",
            seconds(ended.elapsed())
        );
        // What the restored cluster wrote.
        kept_is_there(cluster, &undone, &[])?;
        gone(cluster)
    });
}

/// Takes the Deployments away.
fn gone(cluster: &Cluster) -> Result<()> {
    cluster
        .kubectl(["delete", "deployment", "--all", "--wait=false"])?
        .success()?;
    no_containers(cluster, "late")?;
    no_containers(cluster, "steady")
}
