//! Five masters.

use anyhow::{Result, ensure};
use testbed::{Cluster, Spec, Workstation, wait};

use crate::{agrees_with_etcdutl, column};

const SOON: std::time::Duration = std::time::Duration::from_secs(120);

#[test]
fn five_masters_are_told_and_saved() -> Result<()> {
    let cluster = Cluster::start(Spec::masters(5))?;
    cluster.wait_controllers(std::time::Duration::from_secs(60))?;
    let me = Workstation::of(&cluster)?;
    // Five kubelets that have just started share this machine.
    me.etcd(["health", "--wait", "3m"])?.code(0)?;
    let answer = wait::until("all five to answer themselves", SOON, || {
        let answer = me.etcd(["status", "-o", "json"]);
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        answer.code(0).map_err(|error| format!("{error:#}"))
    })?;
    let status = answer.json()?;
    ensure!(
        column(&status, "rows", "node") == ["m1", "m2", "m3", "m4", "m5"],
        "{answer}"
    );
    ensure!(
        status["quorum"]["needed"] == 3 && status["quorum"]["mayFail"] == 2,
        "{answer}"
    );
    me.etcd(["health"])?.code(0)?.says(&["5 of 5"])?;
    me.etcd(["snapshot", "save", "five.db"])?.code(0)?;
    agrees_with_etcdutl(&cluster, &me.folder().join("five.db"))?;
    cluster.wait_nothing_left(std::time::Duration::from_secs(15))
}
