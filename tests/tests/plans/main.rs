//! Plans on real clusters: the accident is made, one command mends it, and what came of it is looked at from outside.
//!
//! Nothing that a plan says of itself is taken for proof: objects are read from the API, members are asked by etcdctl,
//! processes and files are looked at on the nodes.
//!
//! Tests run in the order of their names: those of three masters come last, so that their clusters are made once.

#![expect(
    clippy::print_stderr,
    reason = "measured times and the table are shown"
)]

mod command;
mod figures;
mod five_masters;
mod full_disk;
mod images;
mod objects;
mod one_master;
mod proof;
mod removed_twice;
#[path = "../shared/mod.rs"]
mod shared;
mod step_faults;
mod steps;
mod three_masters;
mod three_masters_accidents;
mod three_masters_by_hand;
mod three_masters_gone;
mod three_masters_interrupted;
mod three_masters_lost;
mod three_masters_refused;
mod three_masters_taken_back;
mod three_masters_two_clusters;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use testbed::{Cluster, Spec, Workstation, parts};

/// Does a test with a whole cluster of this many masters, each of which has the plugin.
fn with(masters: u8, test: impl FnOnce(&Cluster) -> Result<()>) {
    if let Err(error) = parts::plugin() {
        // Before anybody waits for the cluster.
        panic!("{error:#}");
    }
    Cluster::with_shared(Spec::masters(masters), |cluster| {
        ready(cluster)?;
        test(cluster)
    });
}

/// Waits until the cluster is whole, and gives each master the plugin if it has not got it.
fn ready(cluster: &Cluster) -> Result<()> {
    static INSTALLED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    cluster.wait_controllers(Duration::from_secs(60))?;
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if installed.insert(cluster.name().to_owned()) {
        let me = Workstation::of(cluster)?;
        for node in cluster.nodes() {
            node.install(me.plugin(), "kubectl-etcd")?;
        }
    }
    Ok(())
}
