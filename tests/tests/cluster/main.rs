//! The plugin on real clusters, most of them of three control-plane nodes, which these tests share one after another; and the test bed itself.
//!
//! A test that fails takes its cluster with it (journals are kept, see `Cluster`); the next one gets another. After each
//! test nothing of the plugin's may be left in the cluster but the program it brought in.

#![expect(clippy::print_stderr, reason = "measured times are shown")]

mod another_kind;
mod bed;
#[path = "../shared/bundle.rs"]
mod bundle;
mod bundles;
mod bundles_rebuild;
mod carried;
mod commands;
mod doctor;
mod hostile_jobs;
mod interrupted;
mod kept_in_trouble;
mod masters_off;
mod members;
mod obstacles;
mod on_node;
mod people;
mod posing;
mod quorum_lost;
mod rights;
mod runners;
mod schedule;
mod schema;
#[path = "../shared/mod.rs"]
mod shared;
mod snapshots;
mod ssh;
mod stopped;
mod stored;
mod together;
mod transfer;
mod without_apiservers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use shared::{agrees_with_etcdutl, column};
use testbed::{Cluster, Component, Spec, Workstation, parts, wait};

/// How long what a run made may take to be gone once it has ended: the API removes Pods a moment after their Jobs.
const GONE: Duration = Duration::from_secs(15);

/// Does a test with the shared cluster, whole, and its administrator.
fn three(test: impl FnOnce(&Cluster, &Workstation) -> Result<()>) {
    if let Err(error) = parts::plugin() {
        // Before anybody waits for the cluster.
        panic!("{error:#}");
    }
    Cluster::with_shared(Spec::masters(3), |cluster| {
        let administrator = whole(cluster)?;
        test(cluster, &administrator)?;
        cluster.wait_nothing_left(GONE)
    });
}

/// The administrator of a cluster that is ready, once its controllers are at work, too.
fn whole(cluster: &Cluster) -> Result<Workstation> {
    cluster
        .wait_controllers(Duration::from_secs(60))
        .context("the test before did not leave the cluster whole")?;
    // Its commands leave something on a workstation: this one is not that of the test.
    if apiservers_are_others(cluster) {
        takes_pods(&Workstation::of(cluster)?)?;
    }
    Workstation::of(cluster)
}

/// Whether the test before left other processes of apiservers than it found: kubelets have lost the old ones.
fn apiservers_are_others(cluster: &Cluster) -> bool {
    static KNOWN: Mutex<BTreeMap<String, BTreeSet<u32>>> = Mutex::new(BTreeMap::new());
    let nodes = cluster.nodes().iter();
    let pids = nodes.flat_map(|node| node.component(Component::Apiserver));
    let pids: BTreeSet<u32> = pids.map(|process| process.pid).collect();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = known.insert(cluster.name().to_owned(), pids.clone());
    before.is_some_and(|before| before != pids)
}

/// Waits until every kubelet takes pods again: one whose apiserver was gone asks that again up to half a minute later.
fn takes_pods(me: &Workstation) -> Result<()> {
    wait::until("kubelets that take pods", Duration::from_secs(90), || {
        let status = me.etcd(["status", "--via", "job"]);
        let status = status.map_err(|error| format!("{error:#}"))?;
        match status.output.code {
            0 => Ok(()),
            _ => Err(status.to_string()),
        }
    })
}

/// The row of a node.
fn row<'a>(answer: &'a Value, list: &str, node: &str) -> Result<&'a Value> {
    let rows = answer[list]
        .as_array()
        .with_context(|| format!("no {list} in {answer}"))?;
    rows.iter()
        .find(|row| row["node"] == node)
        .with_context(|| format!("no row of {node} in {answer}"))
}
