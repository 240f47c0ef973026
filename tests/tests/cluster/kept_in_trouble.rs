//! Snapshots that are kept on a control-plane node, when something happens in the middle: power, disk, the workstation's end.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testbed::{Cluster, Node, Running, Workstation};

use crate::agrees_with_etcdutl;
use crate::stored::{FOLDER, kept, list, names, save, snapshot};
use crate::transfer::{arrived, large_database};

/// How long a saving may take to be seen in the middle.
const SEEN: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(170);

/// What lies in a node's folder, as the node sees it, that is larger than so many MiB.
fn lies_there(node: &Node, folder: &str, mib: u32) -> Result<Vec<String>> {
    let size = format!("+{mib}M");
    let all = ["find", folder, "-type", "f", "-printf", "%f\\n"];
    let larger = [
        "find", folder, "-type", "f", "-size", &size, "-printf", "%f\\n",
    ];
    let found = node
        .run(if mib > 0 { &larger[..] } else { &all[..] })?
        .success()?;
    let mut names: Vec<_> = found.lines().map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// Waits until a node's program has written some of a snapshot, and stops it there.
fn stop_in_the_middle(running: &mut Running, node: &Node, folder: &str) -> Result<Pid> {
    let mut found = None;
    running.until("part of a snapshot", SEEN, || {
        // The folder may not be there yet.
        let begun = lies_there(node, folder, 1).unwrap_or_default();
        if begun.iter().any(|name| name.ends_with(".part")) {
            found = writer(node);
        }
        Ok(found.is_some())
    })?;
    let pid = found.context("nobody writes the part")?;
    kill_process(pid, Signal::STOP)?;
    Ok(pid)
}

/// The program that writes a snapshot on a node.
fn writer(node: &Node) -> Option<Pid> {
    let processes = node.processes().into_iter();
    let job = processes
        .filter(|process| process.args.iter().any(|arg| arg == "run"))
        .find(|process| {
            process
                .args
                .first()
                .is_some_and(|arg| arg.ends_with("etcd-job"))
        })?;
    Pid::from_raw(i32::try_from(job.pid).ok()?)
}

#[test]
fn power_lost_in_the_middle_of_a_save_leaves_no_half_snapshot() {
    kept(|cluster, me| {
        large_database(cluster)?;
        let whole = save(me, "m3")?;
        let m3 = cluster.node("m3")?;
        let on_node = format!("--on-node={FOLDER}");
        let args = [
            "snapshot",
            "save",
            &on_node,
            "--node",
            "m3",
            "--timeout",
            "30s",
        ];
        let mut running = me.start(args)?;
        stop_in_the_middle(&mut running, m3, FOLDER)?;
        m3.power_off()?;
        let ended = running.wait(LIMIT)?;
        m3.power_on()?;
        ensure!(ended.output.code != 0, "{ended}");
        cluster.wait_ready()?;
        let all = list(me, 0)?;
        ensure!(names(&all, "m3") == [whole.as_str()], "{all}");
        me.etcd(snapshot(&["verify", &format!("m3/{whole}")]))?
            .code(0)?;
        save(me, "m3")?;
        me.etcd(["cleanup"])?.code(0)?;
        // The next test measures time.
        me.etcd(["health", "--wait", "60s"])?.code(0)?;
        Ok(())
    });
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_save_keeps_what_it_had() {
    kept(|cluster, me| {
        large_database(cluster)?;
        fill_up(cluster, me, &["--compress"])?;
        fill_up(cluster, me, &[])
    });
}

/// Fills the disk up in the middle of a save with these flags.
fn fill_up(cluster: &Cluster, me: &Workstation, flags: &[&str]) -> Result<()> {
    let m3 = cluster.node("m3")?;
    let size = cluster.etcd_status(m3)?["dbSize"]
        .as_u64()
        .context("no size")?;
    // Room for one that is packed, with some to spare, and for what is there already.
    let room = (size >> 20) * 3 / 2 + 40;
    let mount = format!(
        "mkdir -p {FOLDER} && mount -t tmpfs -o size={room}m,mode=700 tmpfs {FOLDER} && echo old > {FOLDER}/old.db"
    );
    m3.run(["sh", "-c", &mount])?.success()?;
    let outcome = (|| -> Result<_> {
        let on_node = format!("--on-node={FOLDER}");
        let mut save = vec!["snapshot", "save", &on_node, "--node", "m3"];
        save.extend(flags);
        let mut running = me.start(&save)?;
        let job = stop_in_the_middle(&mut running, m3, FOLDER)?;
        let fill = format!("cat /dev/zero > {FOLDER}/theirs; true");
        let fill = m3.run(["sh", "-c", &fill]);
        kill_process(job, Signal::CONT)?;
        fill?;
        let full = running.wait(LIMIT)?;
        let left = lies_there(m3, FOLDER, 0)?;
        // And what is seen before anything is written.
        let before = me.etcd(&save)?;
        Ok((full, left, before))
    })();
    m3.run(["umount", FOLDER])?.success()?;
    let (full, left, before) = outcome?;
    full.code(1)?
        .says(&["No space left", "hint: free at least "])?;
    ensure!(left == ["old.db", "theirs"], "{left:?}");
    before.code(1)?.says(&["bytes are free", "hint: free "])?;
    Ok(())
}

#[test]
fn a_fetch_that_was_killed_is_gone_on_with_by_the_next() {
    kept(|cluster, me| {
        large_database(cluster)?;
        let m2 = cluster.node("m2")?;
        let name = save(me, "m2")?;
        let one = format!("m2/{name}");
        let mut running = me.start(snapshot(&["get", &one]))?;
        arrived(&mut running, me, &name, 20 << 20)?;
        running.signal(Signal::KILL)?;
        running.wait(LIMIT)?;
        let part = me.folder().join(format!("{name}.part"));
        ensure!(
            fs::metadata(&part)?.len() >= 20 << 20,
            "what had arrived is gone"
        );

        let mut running = me.start(snapshot(&["get", &one]))?;
        // The killed run's reader may be there still: it began at 0.
        running.until("a reader that goes on", SEEN, || {
            let offset = |args: &[String]| -> Option<u64> {
                let at = args.iter().position(|arg| arg == "--offset")?;
                args.get(at + 1)?.parse().ok()
            };
            let processes = m2.processes();
            let mut offsets = processes.iter().filter_map(|process| offset(&process.args));
            Ok(offsets.any(|offset| offset >= 20 << 20))
        })?;
        running.wait(LIMIT)?.code(0)?.says(&["fetched"])?;
        let file = me.folder().join(&name);
        agrees_with_etcdutl(cluster, &file)?;
        ensure!(!part.exists());

        // What lies there and is not the beginning of it is not believed.
        fs::remove_file(me.folder().join(format!("{name}.json")))?;
        fs::rename(&file, &part)?;
        let text = fs::read(&part)?;
        fs::write(&part, [&text[..5 << 20], b"something else"].concat())?;
        me.etcd(snapshot(&["get", &one]))?.code(0)?;
        agrees_with_etcdutl(cluster, &file)?;
        me.etcd(["cleanup"])?.code(0)?;
        Ok(())
    });
}
