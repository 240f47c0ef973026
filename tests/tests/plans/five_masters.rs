//! Five masters: what is told and saved of them, and what is left when three are lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Cluster, Node, Spec, Workstation, parts, wait};

use crate::command::on;
use crate::objects::{write, written};
use crate::proof::{agree, whole};
use crate::ready;
use crate::shared::{agrees_with_etcdutl, column};

/// How long members may take to notice, and a kubelet to begin.
const SOON: Duration = Duration::from_secs(120);

/// A cluster of five takes long to start, so one test has all that needs one.
#[test]
fn five_masters_are_told_and_saved_and_two_of_them_go_on_and_another_joins_them() -> Result<()> {
    parts::plugin()?;
    let cluster = Cluster::start(Spec::masters(5))?;
    ready(&cluster)?;
    told_saved_and_recovered(&cluster)
}

fn told_saved_and_recovered(cluster: &Cluster) -> Result<()> {
    told_and_saved(cluster)?;
    let nodes: Vec<&Node> = cluster.nodes().iter().collect();
    let (left, lost) = nodes.split_at(2);
    write(cluster, left[0], "of-five", 20)?;
    let old = whole(cluster)?;
    for node in lost {
        node.power_off()?;
    }
    let recover = ["recover", "--ssh", "--yes", "--accept-data-loss"];
    wait::until("two go on", SOON, || {
        let done = on(left[1], &recover).map_err(|error| format!("{error:#}"))?;
        match done.output.code {
            0 => Ok(()),
            _ => Err(done.to_string()),
        }
    })?;
    let new = agree(cluster, left)?;
    ensure!(new != old, "the cluster id is the old one");
    write(cluster, left[1], "of-two", 20)?;

    // The others would do the same, one after another: the three together would have the old quorum.
    let joins = lost[0];
    joins.power_on()?;
    wait::until("it is a member again", SOON, || {
        let joined = on(joins, &["member", "replace", joins.name(), "--yes"]);
        let joined = joined.and_then(|joined| joined.code(0));
        joined.map(drop).map_err(|error| format!("{error:#}"))
    })?;
    cluster.wait_apiserver(joins, SOON)?;
    let now: Vec<&Node> = nodes[..3].to_vec();
    ensure!(agree(cluster, &now)? == new, "another cluster");
    for node in now {
        for prefix in ["of-five", "of-two"] {
            let found = written(cluster, node, prefix)?;
            ensure!(found == 20, "{}: {found} of {prefix}", node.name());
        }
    }
    Ok(())
}

fn told_and_saved(cluster: &Cluster) -> Result<()> {
    let me = Workstation::of(cluster)?;
    // Five kubelets that have just started share this machine.
    me.etcd(["health", "--wait", "3m"])?.code(0)?;
    let answer = wait::until("all five to answer themselves", SOON, || {
        let answer = me.etcd(["status", "--via", "job", "-o", "json"]);
        let answer = answer.and_then(|answer| answer.code(0));
        answer.map_err(|error| format!("{error:#}"))
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
    agrees_with_etcdutl(cluster, &me.folder().join("five.db"))?;
    cluster.wait_nothing_left(Duration::from_secs(15))
}
