//! A recovery of three control-plane nodes that has ended, rolled back on all of them.

use std::time::Duration;

use anyhow::ensure;
use testbed::{Component, wait};

use crate::command::on;
use crate::objects::{all_written, write};
use crate::proof::whole;
use crate::with;

/// How long a member may take to notice that the others are gone.
const NOTICED: Duration = Duration::from_secs(60);

#[test]
fn a_recovery_that_has_ended_is_taken_back_on_all_masters() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        write(cluster, m1, "back-early", 20)?;
        let old = whole(cluster)?;
        for node in [m2, m3] {
            for component in ["kube-apiserver", "etcd"] {
                let stop = ["manifest", "stop", component, "--yes", "--accept-outage"];
                on(node, &stop)?.code(0)?;
            }
        }
        wait::until("a lost quorum", NOTICED, || {
            let plan = on(m1, &["recover", "--ssh", "--dry-run"]);
            let plan = plan.and_then(|plan| plan.code(0));
            plan.map(drop).map_err(|error| format!("{error:#}"))
        })?;
        let recover = ["recover", "--ssh", "--yes", "--accept-data-loss"];
        on(m1, &recover)?.code(0)?;
        ensure!(whole(cluster)? != old, "the cluster id is the old one");
        write(cluster, m3, "back-late", 20)?;

        // All members' data goes back, also that of those that have joined since.
        let undone = on(
            m3,
            &["plan", "undo", "--ssh", "--yes", "--accept-data-loss"],
        )?;
        let undone = undone.code(0)?;
        for node in [m2, m3] {
            let runs = !node.component(Component::Etcd).is_empty();
            ensure!(!runs, "etcd of {} runs: {undone}", node.name());
        }
        for node in [m2, m3] {
            on(node, &["manifest", "start", "etcd", "--yes"])?.code(0)?;
        }
        for node in [m2, m3] {
            on(node, &["manifest", "start", "kube-apiserver", "--yes"])?.code(0)?;
        }
        ensure!(whole(cluster)? == old, "another cluster: {undone}");
        all_written(cluster, "back-early", 20)?;
        all_written(cluster, "back-late", 0)
    });
}
