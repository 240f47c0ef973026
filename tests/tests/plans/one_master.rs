//! One master: nobody else has what it had.

use std::fs;

use anyhow::{Context, Result, ensure};
use testbed::fault::DATABASE;
use testbed::{Cluster, Node};

use crate::command::on;
use crate::objects::{all_written, write};
use crate::proof::{cluster_id, kept_is_there, revision, serves};
use crate::with;

const SNAPSHOT: &str = "/var/tmp/past.db";

const BY_CA: &str = "/var/tmp/by-ca.db";

fn only(cluster: &Cluster) -> Result<&Node> {
    cluster.nodes().first().context("no node")
}

#[test]
fn a_single_master_is_restored_and_the_restore_taken_back() {
    with(1, |cluster| {
        let m1 = only(cluster)?;
        write(cluster, m1, "single-past", 20)?;
        on(m1, &["snapshot", "save", SNAPSHOT, "--via", "local"])?.code(0)?;
        write(cluster, m1, "single-since", 20)?;
        let (id, before) = (cluster_id(cluster, m1)?, revision(cluster, m1)?);
        let restore = ["restore", SNAPSHOT, "--yes", "-o", "json"];
        on(m1, &restore)?.code(5)?.says(&["--accept-data-loss"])?;
        all_written(cluster, "single-since", 20)?;

        on(m1, &[&restore[..], &["--accept-data-loss"]].concat())?.code(0)?;
        let restored = serves(cluster)?;
        ensure!(restored != id, "the cluster id is the old one");
        ensure!(revision(cluster, m1)? > before, "the revision went back");
        all_written(cluster, "single-past", 20)?;
        all_written(cluster, "single-since", 0)?;

        let undone = on(m1, &["plan", "undo", "--yes", "--accept-data-loss"])?.code(0)?;
        ensure!(
            serves(cluster)? == id,
            "the cluster id is another one: {undone}"
        );
        all_written(cluster, "single-past", 20)?;
        all_written(cluster, "single-since", 20)
    });
}

#[test]
fn a_single_master_without_its_database_knows_its_snapshot_by_the_ca() {
    with(1, |cluster| {
        let m1 = only(cluster)?;
        write(cluster, m1, "by-ca", 20)?;
        on(m1, &["snapshot", "save", BY_CA, "--via", "local"])?.code(0)?;
        m1.power_off()?;
        // Of a database that is merely torn the namespace may still be read.
        let bytes = usize::try_from(fs::metadata(m1.path(DATABASE))?.len())?;
        m1.zero(DATABASE, 0, bytes)?;
        m1.power_on()?;
        let restore = ["restore", BY_CA, "-o", "json"];
        let plan = [&restore[..], &["--dry-run"]].concat();
        let plan = on(m1, &plan)?.code(0)?.json()?;
        let snapshot = &plan["snapshot"];
        let evidence = snapshot["evidence"].as_str().unwrap_or_default();
        ensure!(
            snapshot["cluster"] == "same" && evidence.contains("its CA is the one"),
            "{plan}"
        );
        ensure!(plan["changes"]["revision"].is_null(), "{plan}");

        on(
            m1,
            &[&restore[..], &["--yes", "--accept-data-loss"]].concat(),
        )?
        .code(0)?;
        serves(cluster)?;
        all_written(cluster, "by-ca", 20)
    });
}

#[test]
fn a_single_master_with_a_cut_wal_is_recovered_from_its_database() {
    with(1, |cluster| {
        let m1 = only(cluster)?;
        write(cluster, m1, "cut-wal", 30)?;
        let id = cluster_id(cluster, m1)?;
        // What a snapshot is taken of is in the database.
        commit(cluster, m1)?;
        m1.power_off()?;
        let wal = m1.wal_files()?.pop().context("no WAL")?;
        m1.cut(&wal, 30_000)?;
        m1.power_on()?;

        let recover = ["recover", "--yes", "--accept-data-loss", "-o", "json"];
        let done = on(m1, &recover)?.code(0)?;
        ensure!(serves(cluster)? != id, "the cluster id is the old one");
        all_written(cluster, "cut-wal", 30)?;
        kept_is_there(cluster, &done, &["m1"])
    });
}

#[test]
fn a_single_master_with_a_whole_wal_is_recovered_with_all_that_is_in_it() {
    with(1, |cluster| {
        let m1 = only(cluster)?;
        let id = cluster_id(cluster, m1)?;
        write(cluster, m1, "whole-wal", 30)?;
        m1.power_off()?;
        m1.power_on()?;
        let done = on(m1, &["recover", "--yes", "-o", "json"])?.code(0)?;
        ensure!(serves(cluster)? != id, "the cluster id is the old one");
        all_written(cluster, "whole-wal", 30)?;

        on(m1, &["plan", "undo", "--yes", "--accept-data-loss"])?.code(0)?;
        ensure!(
            serves(cluster)? == id,
            "the cluster id is another one: {done}"
        );
        all_written(cluster, "whole-wal", 30)
    });
}

/// Has etcd write all it has to its database.
fn commit(cluster: &Cluster, node: &Node) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("snapshot.db");
    let args = ["snapshot".as_ref(), "save".as_ref(), file.as_os_str()];
    cluster.etcdctl(node, args)?.success().map(drop)
}
