//! The test bed keeps what it promises: clusters come up, each fault does what it says, nothing is left behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::cluster::{state, sweep};
use testbed::fault::DATABASE;
use testbed::{Cluster, Component, Node, Spec, wait};

const SOON: Duration = Duration::from_secs(60);

fn three(test: impl FnOnce(&Cluster) -> Result<()>) {
    Cluster::with_shared(Spec::masters(3), test);
}

/// Whether `from` reaches the etcd port of `to`, within a second.
fn reaches(from: &Node, to: &Node) -> Result<bool> {
    let target = format!("exec 3<>/dev/tcp/{}/2379", to.ip());
    Ok(from.run(["timeout", "1", "bash", "-c", &target])?.ok())
}

/// Whether the member of a node answers within two seconds.
fn answers(cluster: &Cluster, node: &Node) -> Result<bool> {
    Ok(cluster
        .etcdctl(
            node,
            [
                "endpoint",
                "status",
                "--command-timeout=2s",
                "--dial-timeout=1s",
            ],
        )?
        .ok())
}

/// Everything that the containers of a node's etcd said.
fn etcd_log(node: &Node) -> Result<String> {
    Ok(node
        .run([
            "sh",
            "-c",
            "cat /var/log/pods/kube-system_etcd-*/etcd/*.log",
        ])?
        .stdout)
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_cluster_has_three_masters_of_etcd_and_of_kubernetes() {
    three(|cluster| {
        let nodes = cluster.kubectl(["get", "nodes", "-o", "name"])?.success()?;
        assert_eq!(
            nodes.lines().collect::<Vec<_>>(),
            ["node/m1", "node/m2", "node/m3"]
        );
        let members = cluster
            .etcdctl(cluster.node("m2")?, ["member", "list"])?
            .success()?;
        assert_eq!(
            members.lines().filter(|l| l.contains("started")).count(),
            3,
            "{members}"
        );
        Ok(())
    });
}

#[test]
fn ssh_leads_from_this_machine_to_a_node_and_from_there_to_another() {
    three(|cluster| {
        let config = cluster.folder().join("ssh_config");
        let told = Command::new("ssh")
            .arg("-F")
            .arg(config)
            .args(["m1", "ssh m2 hostname"])
            .output()?;
        assert_eq!(
            String::from_utf8_lossy(&told.stdout),
            "m2\n",
            "{}",
            String::from_utf8_lossy(&told.stderr)
        );
        Ok(())
    });
}

#[test]
fn a_node_cannot_write_to_this_machines_files() {
    three(|cluster| {
        let m1 = cluster.node("m1")?;
        for file in ["/usr/testbed-was-here", "/testbed-was-here"] {
            assert!(!m1.run(["touch", file])?.ok(), "{file} could be written");
        }
        m1.run(["touch", "/etc/testbed-was-here"])?.success()?;
        assert!(!Path::new("/etc/testbed-was-here").exists());
        assert!(m1.path("/etc/testbed-was-here").exists());
        Ok(())
    });
}

#[test]
fn after_a_power_loss_the_others_go_on_and_the_journal_is_still_there() {
    three(|cluster| {
        let (m1, m3) = (cluster.node("m1")?, cluster.node("m3")?);
        m3.power_off()?;
        assert!(!m3.is_on() && m3.processes().is_empty() && !reaches(m1, m3)?);
        // If m3 led, a write waits for an election, and one that was on its way is not answered.
        wait::until("the others take a write", SOON, || {
            let written = cluster.kubectl(["create", "configmap", "without-m3"]);
            let written = written.map_err(|e| format!("{e:#}"))?;
            if written.ok() || written.stderr.contains("already exists") {
                Ok(())
            } else {
                Err(written.to_string())
            }
        })?;
        m3.power_on()?;
        cluster.wait_ready()?;
        let boots = m3
            .run(["journalctl", "--list-boots", "--no-pager", "-q"])?
            .success()?;
        assert!(boots.lines().count() >= 2, "{boots}");
        cluster
            .kubectl_by(m3, ["delete", "configmap", "without-m3"])?
            .success()?;
        Ok(())
    });
}

#[test]
fn a_frozen_node_takes_connections_and_answers_none() {
    three(|cluster| {
        let (m1, m2) = (cluster.node("m1")?, cluster.node("m2")?);
        m2.freeze()?;
        assert!(reaches(m1, m2)? && !answers(cluster, m2)? && answers(cluster, m1)?);
        m2.thaw()?;
        wait::until_true("m2 answers again", SOON, || {
            answers(cluster, m2).unwrap_or(false)
        })
    });
}

#[test]
fn a_pulled_cable_cuts_a_node_from_all_and_its_etcd_still_runs() {
    three(|cluster| {
        let (m1, m3) = (cluster.node("m1")?, cluster.node("m3")?);
        m3.unplug()?;
        assert!(!reaches(m1, m3)? && !reaches(m3, m1)? && answers(cluster, m3)?);
        m3.plug_in()?;
        wait::until_true("m3 is reached again", SOON, || {
            reaches(m1, m3).unwrap_or(false)
        })
    });
}

#[test]
fn two_nodes_cut_from_each_other_are_both_reached_by_the_third() {
    three(|cluster| {
        let [m1, m2, m3] = ["m1", "m2", "m3"].map(|n| cluster.node(n));
        let (m1, m2, m3) = (m1?, m2?, m3?);
        m1.cut_from(m2)?;
        assert!(!reaches(m1, m2)? && !reaches(m2, m1)?);
        assert!(reaches(m3, m1)? && reaches(m3, m2)?);
        m1.mend_to(m2)?;
        wait::until_true("m1 and m2 reach each other again", SOON, || {
            reaches(m1, m2).unwrap_or(false) && reaches(m2, m1).unwrap_or(false)
        })
    });
}

#[test]
fn an_apiserver_is_stopped_while_its_etcd_runs_and_comes_back_byte_for_byte() {
    three(|cluster| {
        let m3 = cluster.node("m3")?;
        let before = std::fs::read(m3.manifest(Component::Apiserver))?;
        m3.stop(Component::Apiserver)?;
        assert!(m3.component(Component::Apiserver).is_empty() && answers(cluster, m3)?);
        assert!(
            !cluster
                .kubectl_by(m3, ["get", "--raw=/readyz", "--request-timeout=2s"])?
                .ok()
        );
        m3.start(Component::Apiserver)?;
        assert_eq!(std::fs::read(m3.manifest(Component::Apiserver))?, before);
        cluster.wait_apiserver(m3, SOON)
    });
}

#[test]
fn a_killed_component_is_another_process_afterwards() {
    three(|cluster| {
        let m2 = cluster.node("m2")?;
        let before = m2.component(Component::Scheduler);
        assert_eq!(before.len(), 1, "{before:?}");
        m2.kill(Component::Scheduler)?;
        wait::until("another scheduler", SOON, || {
            let now = m2.component(Component::Scheduler);
            if now.iter().any(|p| p.pid != before[0].pid) {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
    });
}

#[test]
fn quota_disk_and_damage_hit_etcd_as_they_say() -> Result<()> {
    // The disk first: what fills it goes with it.
    let small = |cluster: &Cluster| cluster.node("m1")?.limit_etcd_disk(Some(160 << 20));
    let cluster = Cluster::start_changed(Spec::masters(1).side_by_side(), small)?;
    cluster.wait_ready()?;
    let m1 = cluster.node("m1")?;
    cluster.etcdctl(m1, ["put", "before", "full"])?.success()?;
    ensure!(m1.fill_etcd_disk()? > 0, "etcd's disk was full already");
    // 128 MB of WAL and the first 16 MB of the database are there already: those still take writes.
    let refusal = cluster.write_until_refused()?;
    assert!(
        !refusal.contains("database space exceeded"),
        "that is the quota, not the disk: {refusal}"
    );
    wait::until("etcd's log tells why", SOON, || {
        let log = etcd_log(m1).map_err(|e| format!("{e:#}"))?;
        if log.contains("no space left on device") {
            Ok(())
        } else {
            Err(last_line(&log))
        }
    })?;
    m1.free_etcd_disk()?;
    m1.power_off()?;
    m1.limit_etcd_disk(None)?;

    // What the small disk held is on the ordinary one; the writes until it was full count for the quota.
    cluster.set_etcd_quota(64 << 20)?;
    let kept = cluster
        .etcdctl(m1, ["get", "before", "--print-value-only"])?
        .success()?;
    assert_eq!(kept.trim(), "full");

    cluster.fill_etcd()?;
    let alarms = cluster.etcdctl(m1, ["alarm", "list"])?.success()?;
    assert!(alarms.contains("NOSPACE"), "{alarms}");
    assert!(!cluster.kubectl(["create", "configmap", "too-much"])?.ok());

    m1.power_off()?;
    m1.zero(DATABASE, 0, 3 * 4096)?;
    m1.power_on()?;
    wait::until("etcd refuses its damaged database", SOON, || {
        let log = etcd_log(m1).map_err(|e| format!("{e:#}"))?;
        if log.contains("invalid database") {
            Ok(())
        } else {
            Err(last_line(&log))
        }
    })?;
    assert!(!answers(&cluster, m1)?);

    m1.power_off()?;
    let wal = m1.wal_files()?.pop().context("no WAL file")?;
    m1.cut(&wal, 100)?;
    assert_eq!(std::fs::metadata(m1.path(&wal))?.len(), 100);
    Ok(())
}

/// A program that holds a cluster, and its name.
struct Holder {
    child: Child,
    cluster: String,
}

impl Holder {
    fn start() -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_testbed"))
            .arg("hold")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut cluster = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut cluster)?;
        let cluster = cluster.trim().to_owned();
        ensure!(
            !cluster.is_empty(),
            "no cluster came up: {:?}",
            child.wait()?
        );
        Ok(Self { child, cluster })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_a_killed_owner_left_is_removed_and_a_cluster_beside_it_is_not_touched() -> Result<()> {
    let own = Cluster::start(Spec::masters(1).side_by_side())?;
    let mut holder = Holder::start()?;
    let theirs = Cluster::open(&holder.cluster)?;
    assert_ne!(own.node("m1")?.ip(), theirs.node("m1")?.ip());
    for cluster in [&own, &theirs] {
        cluster.kubectl(["get", "nodes"])?.success()?;
    }

    holder.child.kill()?;
    holder.child.wait()?;
    let m1 = theirs.node("m1")?;
    assert!(
        m1.is_on() && !m1.processes().is_empty(),
        "a killed owner takes nothing with it"
    );
    let processes = m1.processes();
    let networks = [m1.network(), theirs.state().prefix()];
    let removed = sweep::sweep()?;
    // Another test program may have been quicker.
    assert!(removed.iter().all(|name| name != own.name()));

    assert!(state::load(&holder.cluster).is_err() && !theirs.folder().exists());
    assert!(m1.processes().is_empty());
    for process in processes {
        let cmdline = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        let now = String::from_utf8_lossy(&cmdline).into_owned();
        assert_ne!(
            now.split_terminator('\0').collect::<Vec<_>>(),
            process.args,
            "it still runs"
        );
    }
    for network in networks {
        assert!(
            !Path::new("/run/netns").join(&network).exists(),
            "{network}"
        );
    }
    assert!(
        !Path::new("/sys/class/net")
            .join(theirs.state().slot.link())
            .exists()
    );
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    assert!(!mounts.contains(&theirs.state().prefix()), "{mounts}");

    own.wait_ready()
}
