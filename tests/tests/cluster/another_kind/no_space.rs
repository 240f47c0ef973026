//! etcd has reached its quota and refuses every write, a Job's creation as well.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Cluster, Spec, Workstation};

use crate::column;

#[test]
fn without_space_status_alarms_and_defrag_work_through_exec_and_lead_out_of_it() -> Result<()> {
    let small = |cluster: &Cluster| cluster.write_etcd_quota(48 << 20);
    let cluster = Cluster::start_changed(Spec::masters(3), small)?;
    cluster.wait_ready()?;
    cluster.wait_controllers(Duration::from_secs(60))?;
    let me = Workstation::of(&cluster)?;
    cluster.fill_etcd()?;

    let why = "database space exceeded";
    let answer = me
        .etcd(["status", "-o", "json"])?
        .code(3)?
        .says_none_of(&["via exec"])?;
    let status = answer.json()?;
    ensure!(
        column(&status, "rows", "via") == ["exec"; 3] && answer.output.stdout.contains("NOSPACE"),
        "{answer}"
    );
    me.etcd(["status"])?.code(3)?.says(&[
        "NOSPACE",
        "kubectl etcd defrag",
        "kubectl etcd alarm disarm",
    ])?;
    me.etcd(["health"])?.code(3)?.says(&["NOSPACE"])?;
    me.etcd(["members"])?.code(0)?;
    let alarms = me.etcd(["alarm", "list", "-o", "json"])?.code(3)?;
    ensure!(
        column(&alarms.json()?, "alarms", "alarm").contains(&"NOSPACE"),
        "{alarms}"
    );
    // Neither leaves a file.
    me.etcd(["snapshot", "save", "s.db"])?
        .code(1)?
        .says(&[why])?;
    ensure!(me.files()?.is_empty(), "{:?}", me.files()?);

    cluster.compact()?;
    let defrag = me
        .etcd(["defrag", "--all", "--yes", "-o", "json"])?
        .code(0)?
        .says(&["via exec", why])?;
    ensure!(
        column(&defrag.json()?, "members", "state") == ["done"; 3],
        "{defrag}"
    );
    me.etcd(["alarm", "disarm", "--yes"])?
        .code(0)?
        .says(&["NOSPACE"])?;

    me.etcd(["health", "--wait", "60s"])?.code(0)?;
    cluster.wait_controllers(Duration::from_secs(60))?;
    let after = me.etcd(["status", "--via", "job", "-o", "json"])?;
    ensure!(
        column(&after.json()?, "rows", "via") == ["job"; 3],
        "{after}"
    );
    cluster.wait_nothing_left(Duration::from_secs(15))
}
