//! Two of three control-plane nodes are lost for good, and new machines take their places.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Cluster, Node, Workstation, wait};

use crate::command::on;
use crate::objects::{all_written, write, written};
use crate::proof::{agree, healthy, whole};
use crate::with;

/// How long members may take to notice that the others are gone.
const NOTICED: Duration = Duration::from_secs(60);

#[test]
fn two_masters_are_lost_for_good_and_new_machines_take_their_places() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        write(cluster, m1, "gone-three", 20)?;
        let old = whole(cluster)?;
        cluster.lose_disk(m2)?;
        cluster.lose_disk(m3)?;
        // One of three is left.
        recovered_alone(m1, &["m2", "m3"])?;
        let alone = agree(cluster, &[m1])?;
        ensure!(alone != old, "the cluster id is the old one");
        write(cluster, m1, "gone-one", 20)?;

        become_master(cluster, m2, m1)?;
        healthy(cluster, &[m1, m2])?;
        ensure!(agree(cluster, &[m1, m2])? == alone, "another cluster");
        write(cluster, m2, "gone-two", 20)?;
        // One of two is left.
        m2.power_off()?;
        recovered_alone(m1, &["m2"])?;
        let again = agree(cluster, &[m1])?;
        ensure!(again != alone, "the cluster id is the old one");
        write(cluster, m1, "gone-again", 20)?;
        m2.power_on()?;
        wait::until("m2 is a member again", NOTICED, || {
            let joined = on(m2, &["member", "replace", "m2", "--yes"]);
            let joined = joined.and_then(|joined| joined.code(0));
            joined.map_err(|error| format!("{error:#}"))
        })?;
        ensure!(agree(cluster, &[m1, m2])? == again, "another cluster");

        become_master(cluster, m3, m1)?;
        ensure!(whole(cluster)? == again, "another cluster");
        for prefix in ["gone-three", "gone-one", "gone-two", "gone-again"] {
            all_written(cluster, prefix, 20)?;
        }
        Ok(())
    });
}

/// `recover` on the control-plane node that is left: the others cannot be reached.
fn recovered_alone(left: &Node, lost: &[&str]) -> Result<()> {
    wait::until("a lost quorum", NOTICED, || {
        let plan = on(left, &["recover", "--ssh", "--dry-run"]);
        let plan = plan.and_then(|plan| plan.code(0));
        plan.map(drop).map_err(|error| format!("{error:#}"))
    })?;
    let recover = ["recover", "--ssh", "--yes", "--accept-data-loss"];
    on(left, &recover)?.code(0)?.says(lost).map(drop)
}

/// A new machine under an old name: what helps is said, and does.
fn become_master(cluster: &Cluster, node: &Node, by: &Node) -> Result<()> {
    node.power_on()?;
    let me = Workstation::of(cluster)?;
    node.install(me.plugin(), "kubectl-etcd")?;
    let name = node.name();
    let before = written(cluster, by, "gone-three")?;
    on(node, &["member", "replace", name, "--yes"])?
        .code(5)?
        .says(&[
            "kubeadm join",
            &format!("kubectl etcd member remove {name}"),
        ])?;
    ensure!(
        written(cluster, by, "gone-three")? == before,
        "something was done"
    );
    cluster
        .kubectl_by(by, ["delete", "node", name])?
        .success()?;
    cluster.join_again(node, by)
}
