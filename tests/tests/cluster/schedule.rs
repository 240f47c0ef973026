//! Snapshots on a schedule, on real control-plane nodes: they come by themselves, when asked, and with a control-plane node off.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Cluster, Workstation, wait};

use crate::schema::checked;
use crate::{bundles, stored, three};

/// The usual folder: it is the one `status` looks into.
const FOLDER: &str = "/var/lib/etcd-snapshots";
/// Every minute; over before the next one is due.
const EVERY_MINUTE: [&str; 4] = ["--cron", "* * * * *", "--timeout", "50s"];

/// With an empty folder on each control-plane node and no schedule, as it is afterwards.
fn scheduled(test: impl FnOnce(&Cluster, &Workstation) -> Result<()>) {
    three(|cluster, me| {
        let empty = || -> Result<()> {
            me.etcd(schedule(&["remove", "--yes"]))?.code(0)?;
            stored::remove(cluster, FOLDER)
        };
        empty()?;
        test(cluster, me)?;
        empty()
    });
}

fn schedule<'a>(action: &[&'a str]) -> Vec<&'a str> {
    [&["snapshot", "schedule"], action].concat()
}

fn every_minute<'a>(more: &[&'a str]) -> Vec<&'a str> {
    schedule(&[&["set"], &EVERY_MINUTE[..], more].concat())
}

fn show(me: &Workstation, code: i32) -> Result<Value> {
    checked(&me.etcd(schedule(&["show", "-o", "json"]))?.code(code)?)
}

/// The snapshots on the control-plane nodes that can be asked, by `snapshot list`.
fn listed(me: &Workstation) -> Result<Vec<Value>> {
    let all = me.etcd(["snapshot", "list", "-o", "json"])?.json()?;
    Ok(all["snapshots"].as_array().cloned().unwrap_or_default())
}

/// Waits for a snapshot on one of these control-plane nodes that was taken after this time.
fn wait_for_one_after(me: &Workstation, time: &str, nodes: &[&str], limit: u64) -> Result<Value> {
    let time: jiff::Timestamp = time.parse()?;
    wait::until("a scheduled snapshot", Duration::from_secs(limit), || {
        let all = listed(me).map_err(|error| format!("{error:#}"))?;
        let newer = all.iter().find(|one| {
            let taken = one["takenAt"]
                .as_str()
                .and_then(|at| at.parse::<jiff::Timestamp>().ok());
            let there = one["node"]
                .as_str()
                .is_some_and(|node| nodes.contains(&node));
            there && one["state"] == "verified" && taken.is_some_and(|taken| taken > time)
        });
        newer.cloned().ok_or_else(|| format!("{all:?}"))
    })
}

/// The carried parts in the cluster.
fn parts(cluster: &Cluster) -> Result<String> {
    let labels = "app.kubernetes.io/name=kubectl-etcd,app.kubernetes.io/component=program";
    let get = [
        "get",
        "configmaps",
        "-n",
        "kubectl-etcd",
        "-l",
        labels,
        "-o",
        "name",
    ];
    cluster.kubectl(get)?.success()
}

#[test]
fn snapshots_come_by_themselves_and_when_asked_and_older_ones_go() {
    scheduled(|cluster, me| {
        me.etcd(schedule(&["set", "--cron", "61 * * * *"]))?
            .code(2)?
            .says(&["61"])?;
        me.etcd(schedule(&["show"]))?
            .code(0)?
            .says(&["no schedule"])?;
        let set = || me.etcd(every_minute(&["--keep-last", "1"]));
        set()?.code(0)?.says(&["cronjob/etcd-snapshot created"])?;
        set()?.code(0)?.says(&["unchanged"])?;
        let mut last = Value::Null;
        // On three control-plane nodes, two of these are on the same one.
        for _ in 0..4 {
            let ran = me.etcd(schedule(&["run-now", "-o", "json"]))?.code(0)?;
            last = checked(&ran)?["runs"][0].clone();
        }
        ensure!(last["kept"] == 1, "{last}");
        let taken_at = last["takenAt"].as_str().context("no time")?;
        let own = wait_for_one_after(me, taken_at, &["m1", "m2", "m3"], 100)?;
        let all = listed(me)?;
        for node in ["m1", "m2", "m3"] {
            let there = all.iter().filter(|one| one["node"] == node).count();
            ensure!(there <= 1, "{there} on {node}: {all:?}");
        }
        wait::until("the run that is shown", Duration::from_secs(20), || {
            let shown = show(me, 0).map_err(|error| format!("{error:#}"))?;
            let run = &shown["cronJobs"][0];
            let whole = run["lastRun"]["result"] == "done" && run["snapshot"].is_string();
            if whole {
                Ok(())
            } else {
                Err(shown.to_string())
            }
        })?;
        let node = own["node"].as_str().context("no node")?;
        me.etcd(["status"])?
            .code(0)?
            .says(&["last verified snapshot: ", "by the schedule"])?;
        me.etcd(["status", "--via", "job"])?
            .code(0)?
            .says(&["last verified snapshot: ", "revision"])?;
        ensure!(["m1", "m2", "m3"].contains(&node), "{own}");

        // An older plugin made it: this one takes it over.
        let annotate = [
            "annotate",
            "cronjob",
            "etcd-snapshot",
            "-n",
            "kubectl-etcd",
            "--overwrite",
        ];
        cluster
            .kubectl(annotate.into_iter().chain(["kubectl-etcd/version=0.0.1"]))?
            .success()?;
        me.etcd(schedule(&["show"]))?
            .code(0)?
            .says(&["schedule etcd-snapshot moved to version"])?;

        // Its program stays as long as it does.
        me.etcd(["cleanup"])?.code(0)?;
        ensure!(
            !parts(cluster)?.is_empty(),
            "the program of the schedule is gone"
        );
        me.etcd(schedule(&["remove"]))?.code(5)?.says(&["--yes"])?;
        me.etcd(schedule(&["remove", "--yes"]))?
            .code(0)?
            .says(&["removed", "the snapshots stay"])?;
        ensure!(!listed(me)?.is_empty(), "a snapshot went with the schedule");
        cluster.wait_nothing_left(Duration::from_secs(15))?;
        me.etcd(["cleanup"])?.code(0)?;
        ensure!(parts(cluster)?.is_empty(), "the program is still there");
        Ok(())
    });
}

/// Until the schedule's next run there is time to look at all else that is told of snapshots then.
#[test]
fn a_master_that_is_off_keeps_no_other_from_its_turn_and_its_files_are_said_to_be_unknown() {
    scheduled(|cluster, me| {
        stored::remove(cluster, stored::FOLDER)?;
        stored::save(me, "m3")?;
        me.etcd(every_minute(&["--keep-last", "2"]))?.code(0)?;
        let node = cluster.node("m3")?;
        node.power_off()?;
        let off = jiff::Timestamp::now().to_string();
        stored::those_of_m3_are_unknown(me)?;
        bundles::m3_is_said_to_be_missing(me)?;
        // Until Kubernetes sees that m3 is off, a run may go there in vain.
        wait_for_one_after(me, &off, &["m1", "m2"], 240)?;
        node.power_on()?;
        cluster.wait_ready()?;
        let all = stored::list(me, 0)?;
        ensure!(
            stored::names(&all, "m3").len() == 1,
            "it is not there any more: {all}"
        );
        stored::remove(cluster, stored::FOLDER)?;
        me.etcd(schedule(&["remove", "--yes"]))?.code(0)?;
        // A run that went to m3 in vain is ended there now.
        cluster.wait_nothing_left(Duration::from_secs(60))
    });
}

#[test]
fn all_masters_have_their_own_and_a_run_that_fails_is_seen() {
    scheduled(|_, me| {
        let all = [
            "set",
            "--cron",
            "0 3 1 1 *",
            "--on",
            "all",
            "--keep-last",
            "1",
        ];
        me.etcd(schedule(&all))?
            .code(0)?
            .says(&["etcd-snapshot-m3 created"])?;
        let ran = checked(&me.etcd(schedule(&["run-now", "-o", "json"]))?.code(0)?)?;
        ensure!(
            ran["runs"].as_array().is_some_and(|runs| runs.len() == 3),
            "{ran}"
        );
        me.etcd(schedule(&["run-now", "etcd-snapshot-m9"]))?
            .code(2)?
            .says(&["etcd-snapshot-m1"])?;

        let one = ["set", "--cron", "0 3 1 1 *", "--folder", "/etc/hostname"];
        me.etcd(schedule(&one))?
            .code(0)?
            .says(&["etcd-snapshot created", "etcd-snapshot-m3 removed"])?;
        // A file is there and no folder.
        me.etcd(schedule(&["run-now"]))?
            .code(1)?
            .says(&["/etc/hostname"])?;
        wait::until("the failure that is shown", Duration::from_secs(30), || {
            show(me, 3).map(drop).map_err(|error| format!("{error:#}"))
        })?;
        Ok(())
    });
}
