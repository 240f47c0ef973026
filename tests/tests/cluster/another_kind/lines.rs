//! One control-plane node, with each line of etcd but the one that all other tests run, 3.6.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Cluster, Etcd, Spec, Workstation};

use crate::{agrees_with_etcdutl, column};

fn one_master_with(etcd: Etcd) -> Result<()> {
    let cluster = Cluster::start(Spec::masters(1).etcd(etcd))?;
    cluster.wait_controllers(Duration::from_secs(60))?;
    let me = Workstation::of(&cluster)?;
    let version = etcd.version().trim_start_matches('v');
    for via in ["job", "exec"] {
        let answer = me.etcd(["status", "-o", "json", "--via", via])?.code(0)?;
        let status = answer.json()?;
        ensure!(
            column(&status, "rows", "version") == [version]
                && column(&status, "rows", "role") == ["leader"],
            "{answer}"
        );
        ensure!(
            column(&status, "rows", "via") == [via] && status["quorum"]["mayFail"] == 0,
            "{answer}"
        );
        let row = &status["rows"][0];
        ensure!(
            row["dbInUseBytes"].as_u64().is_some_and(|bytes| bytes > 0)
                && row["quotaBytes"].is_u64(),
            "{answer}"
        );
        // Told from 3.6 on.
        ensure!(
            row["storageVersion"].is_string() == (etcd != Etcd::V3_5),
            "{answer}"
        );
        let me = me.always(["--via", via]);
        me.etcd(["members"])?.code(0)?.says(&["m1", "voter"])?;
        me.etcd(["health"])?.code(0)?.says(&["1 of 1 member"])?;
        me.etcd(["alarm", "list"])?.code(0)?;
        me.etcd(["defrag", "--all", "--yes"])?.code(0)?;
    }
    me.etcd(["snapshot", "save", "one.db"])?.code(0)?;
    agrees_with_etcdutl(&cluster, &me.folder().join("one.db"))?;
    me.etcd(["usage"])?.code(0)?.says(&["leases"])?;
    cluster.wait_nothing_left(Duration::from_secs(15))
}

#[test]
fn one_master_with_etcd_3_5() -> Result<()> {
    one_master_with(Etcd::V3_5)
}

#[test]
fn one_master_with_etcd_3_7() -> Result<()> {
    one_master_with(Etcd::V3_7)
}
