//! Five masters, three of which are lost.

use std::time::Duration;

use anyhow::ensure;
use testbed::{Node, wait};

use crate::command::on;
use crate::objects::{all_written, write};
use crate::proof::{agree, whole};
use crate::with;

/// How long members may take to notice, and a kubelet to begin.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn two_of_five_go_on_and_the_others_join_them() {
    with(5, |cluster| {
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

        // One after another: the three together would have the old quorum.
        for node in lost {
            node.power_on()?;
            wait::until("it is a member again", SOON, || {
                let joined = on(node, &["member", "replace", node.name(), "--yes"]);
                let joined = joined.and_then(|joined| joined.code(0));
                joined.map(drop).map_err(|error| format!("{error:#}"))
            })?;
        }
        ensure!(whole(cluster)? == new, "another cluster");
        all_written(cluster, "of-five", 20)?;
        all_written(cluster, "of-two", 20)
    });
}
