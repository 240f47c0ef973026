//! A plan of three masters: one of the others loses its power, or who leads it is killed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use testbed::{Cluster, Node, Workstation};

use crate::command::{begin, on};
use crate::objects::{all_written, write};
use crate::proof::{cluster_id, healthy, whole};
use crate::step_faults::{first, plans, program, strike_after};
use crate::with;

const SNAPSHOT: &str = "/var/tmp/interrupted.db";

const RESTORE: [&str; 5] = ["restore", SNAPSHOT, "--ssh", "--yes", "--accept-data-loss"];

/// How long anything may take until it is interrupted, or ends.
const LIMIT: Duration = Duration::from_secs(180);

/// Saves the snapshot, whatever a test before has left.
fn save(m1: &Node) -> Result<()> {
    let description = format!("{SNAPSHOT}.json");
    m1.run(["rm", "-f", SNAPSHOT, &description])?.success()?;
    on(m1, &["snapshot", "save", SNAPSHOT, "--via", "local"])?
        .code(0)
        .map(drop)
}

/// Restores over ssh from m1, strikes after a line in the journal of a node, does something, and waits for the command's
/// end. Tells whether it ended well.
fn interrupted(
    cluster: &Cluster,
    watched: &Node,
    line: usize,
    struck: impl Fn() -> Option<Pid>,
    then: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    let (me, m1) = (Workstation::of(cluster)?, cluster.node("m1")?);
    let known = plans(watched);
    let mut running = begin(&me, m1, &RESTORE)?;
    let mut begun = None;
    running.until("a plan", LIMIT, || {
        begun = plans(watched).difference(&known).next().cloned();
        Ok(begun.is_some())
    })?;
    let plan = begun.context("no plan has begun")?;
    strike_after(line, &plan, &[struck().context("nothing to strike")?])?;
    then()?;
    let ended = running.wait(LIMIT)?;
    eprintln!("{ended}");
    Ok(ended.output.code == 0)
}

#[test]
fn a_restore_is_gone_on_with_after_another_master_was_without_power_and_taken_back_from_another() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        write(cluster, m1, "kept", 30)?;
        save(m1)?;
        write(cluster, m1, "lost", 30)?;

        // Its data is being swapped, or was. Who leads may have waited for it.
        let back = || m3.power_off().and_then(|()| m3.power_on());
        if !interrupted(cluster, m3, 9, || first(m3), back)? {
            on(m1, &["plan", "resume", "--yes"])?.code(0)?;
        }
        let restored = whole(cluster)?;
        all_written(cluster, "kept", 30)?;
        all_written(cluster, "lost", 0)?;

        // The others know the plan as well.
        write(cluster, m1, "after", 30)?;
        let killed = !interrupted(cluster, m1, 11, || program(m1), || Ok(()))?;
        ensure!(killed, "it was not interrupted");
        on(m2, &["plan", "undo", "--yes", "--accept-data-loss"])?.code(0)?;
        ensure!(whole(cluster)? == restored, "the cluster id is another one");
        ensure!(
            cluster_id(cluster, m3)? == restored,
            "m3 is of another cluster"
        );
        all_written(cluster, "kept", 30)?;
        all_written(cluster, "after", 30)
    });
}

#[test]
fn a_restore_is_taken_back_without_a_master_that_is_lost_and_there_when_it_is_found() {
    with(3, |cluster| {
        let (m1, m2, m3) = (
            cluster.node("m1")?,
            cluster.node("m2")?,
            cluster.node("m3")?,
        );
        write(cluster, m1, "before-loss", 30)?;
        let old = whole(cluster)?;
        save(m1)?;
        let killed = !interrupted(cluster, m1, 9, || program(m1), || m3.power_off())?;
        ensure!(killed, "it was not interrupted");

        let undo = ["plan", "undo", "--yes", "--accept-data-loss"];
        on(m1, &undo)?.code(6)?.says(&["m3", "--without NODE"])?;
        on(m1, &[&undo[..], &["--without", "m3"]].concat())?
            .code(3)?
            .says(&["m3 took no part"])?;
        healthy(cluster, &[m1, m2])?;
        ensure!(cluster_id(cluster, m2)? == old, "m2 is of another cluster");
        write(cluster, m1, "without-lost", 30)?;

        m3.power_on()?;
        on(m3, &undo)?.code(0)?;
        ensure!(whole(cluster)? == old, "the cluster id is another one");
        all_written(cluster, "before-loss", 30)?;
        all_written(cluster, "without-lost", 30)
    });
}
