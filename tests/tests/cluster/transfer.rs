//! The way of a larger snapshot to the workstation, cut in several places.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testbed::node::Process;
use testbed::workstation::Running;
use testbed::{Cluster, Component, Node, Workstation};

use crate::agrees_with_etcdutl;
use crate::three;

const LIMIT: Duration = Duration::from_secs(170);
/// The database for these tests: so large that a transfer can be caught in the middle.
const DATABASE_MIB: u64 = 110;

/// Makes the database so large, once for a cluster.
pub(crate) fn large_database(cluster: &Cluster) -> Result<()> {
    let m1 = cluster.node("m1")?;
    let size = cluster.etcd_status(m1)?["dbSizeInUse"]
        .as_u64()
        .context("no size")?
        >> 20;
    let value: Vec<u8> = (0..1_u32 << 18)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for number in size..DATABASE_MIB {
        cluster.put(m1, &format!("testbed/large/{number}"), &value)?;
    }
    Ok(())
}

/// Waits until so much of a file has arrived.
pub(crate) fn arrived(
    running: &mut Running,
    me: &Workstation,
    file: &str,
    bytes: u64,
) -> Result<()> {
    let part = me.folder().join(format!("{file}.part"));
    let limit = Duration::from_secs(60);
    running.until("part of the file", limit, || {
        Ok(fs::metadata(&part).is_ok_and(|part| part.len() >= bytes))
    })
}

/// Does something in the middle of a transfer. The plugin is stopped meanwhile, so that it cannot be done before.
fn in_the_middle(
    me: &Workstation,
    file: &str,
    from: &str,
    mib: u64,
    fault: impl FnOnce() -> Result<()>,
) -> Result<Running> {
    let mut running = me.start(["snapshot", "save", file, "--node", from])?;
    meanwhile(&mut running, me, file, mib, fault)?;
    Ok(running)
}

fn meanwhile(
    running: &mut Running,
    me: &Workstation,
    file: &str,
    mib: u64,
    fault: impl FnOnce() -> Result<()>,
) -> Result<()> {
    arrived(running, me, file, mib << 20)?;
    running.signal(Signal::STOP)?;
    let done = fault();
    running.signal(Signal::CONT)?;
    done
}

/// Kills the program on a node that reads the file to us, once so much of it has arrived.
fn cut(running: &mut Running, me: &Workstation, file: &str, mib: u64, node: &Node) -> Result<()> {
    arrived(running, me, file, mib << 20)?;
    // What one that was killed before has sent may still be arriving, and the next one not there.
    running.until("program that reads the file", LIMIT, || {
        Ok(!readers(node).is_empty())
    })?;
    meanwhile(running, me, file, mib, || {
        let readers = readers(node);
        ensure!(
            !readers.is_empty(),
            "nobody reads the file on {}",
            node.name()
        );
        for reader in readers {
            let pid = i32::try_from(reader.pid)
                .ok()
                .and_then(Pid::from_raw)
                .context("no process number")?;
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(())
    })
}

fn readers(node: &Node) -> Vec<Process> {
    let mut all = node.processes();
    all.retain(|process| process.args.iter().any(|arg| arg == "--offset"));
    all
}

#[test]
fn a_stream_cut_at_several_places_goes_on_and_the_file_is_whole() {
    three(|cluster, me| {
        large_database(cluster)?;
        let m2 = cluster.node("m2")?;
        let mut running = me.start(["snapshot", "save", "cut.db", "--node", "m2"])?;
        for mib in [1, 30, 60] {
            cut(&mut running, me, "cut.db", mib, m2)?;
        }
        running.wait(LIMIT)?.code(0)?;
        agrees_with_etcdutl(cluster, &me.folder().join("cut.db"))?;
        ensure!(
            me.files()? == ["cut.db", "cut.db.json"],
            "{:?}",
            me.files()?
        );

        // The node's cable is out for a moment.
        let running = in_the_middle(me, "cable.db", "m2", 20, || {
            m2.unplug()?;
            std::thread::sleep(Duration::from_secs(4));
            m2.plug_in()
        })?;
        running.wait(LIMIT)?.code(0)?;
        agrees_with_etcdutl(cluster, &me.folder().join("cable.db"))?;
        cluster.wait_ready()
    });
}

#[test]
fn an_apiserver_that_dies_in_the_middle_is_waited_for_and_the_file_is_whole() {
    three(|cluster, me| {
        large_database(cluster)?;
        let m1 = cluster.node("m1")?;
        let running = in_the_middle(me, "api.db", "m2", 20, || m1.kill(Component::Apiserver))?;
        let answer = running.wait(LIMIT)?.code(0)?;
        agrees_with_etcdutl(cluster, &me.folder().join("api.db"))
            .with_context(|| answer.to_string())?;
        cluster.wait_ready()
    });
}

#[test]
fn an_etcd_that_dies_in_the_middle_leaves_nothing_that_looks_like_a_snapshot() {
    three(|cluster, me| {
        large_database(cluster)?;
        let m3 = cluster.node("m3")?;
        let answer =
            in_the_middle(me, "half.db", "m3", 2, || m3.kill(Component::Etcd))?.wait(LIMIT)?;
        if answer.output.code == 0 {
            // All of it had left etcd before.
            agrees_with_etcdutl(cluster, &me.folder().join("half.db"))?;
        } else {
            ensure!(
                me.files()?.is_empty(),
                "{:?} is left: {answer}",
                me.files()?
            );
            answer.says(&["m3"])?;
        }
        cluster.wait_ready()
    });
}
