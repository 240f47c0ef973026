//! Control-plane nodes worked on over ssh from a workstation: who gets in, what is brought there, and connections that break.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::{Answer, Cluster, Node, Running, Workstation, parts, wait};

use crate::three;

const HELLO: &str = r#"{"version":1,"request":{"request":"hello"}}"#;
const PROGRAMS: &str = "/var/lib/kubectl-etcd/bin";
/// How long anything here may take: a connection that is cut silently is given up after 12 s.
const LIMIT: Duration = Duration::from_secs(120);

/// What people have configured for their ssh.
pub(crate) fn config(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("ssh_config")
}

/// Asks over ssh, as the plugin's commands do.
fn asked(cluster: &Cluster, me: &Workstation, words: &[&str]) -> Result<Answer> {
    let mut command = me.other(&parts::plugin_example("over_ssh")?, words);
    command.arg("--ssh-config").arg(config(cluster));
    me.run(&mut command)?.code(0)
}

/// The lines of the nodes, by name.
fn lines(answer: &Answer) -> Result<Vec<Value>> {
    let lines = answer.output.stdout.lines().map(serde_json::from_str);
    let mut lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    lines.sort_by_key(|line| line["host"].to_string());
    ensure!(!lines.is_empty(), "{answer}");
    Ok(lines)
}

/// The one line of one node.
fn line(answer: &Answer) -> Result<Value> {
    lines(answer)?.pop().context("no line")
}

fn programs(node: &Node) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(node.path(PROGRAMS))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[test]
fn over_ssh_every_master_answers_as_root_and_gets_the_program_once() {
    three(|cluster, me| {
        // From then on the plugin knows where the control-plane nodes are.
        me.etcd(["status"])?.code(0)?;
        let hello = asked(cluster, me, &["--ssh", "--ask", HELLO])?.says(&[
            "as they were when the cluster last answered",
            "m2: bringing the program",
        ])?;
        for (line, node) in lines(&hello)?.iter().zip(cluster.nodes()) {
            let told = &line["told"];
            ensure!(
                told["node"] == node.name() && told["uid"] == 0 && told["etcd"] == true,
                "{hello}"
            );
        }
        ensure!(lines(&hello)?.len() == 3, "{hello}");
        for node in cluster.nodes() {
            let there = programs(node)?;
            ensure!(there.len() == 1, "{there:?}");
            let sum = node.run(["sha256sum", &on_node(&there[0])])?.success()?;
            let sum = sum.split(' ').next().unwrap_or_default();
            ensure!(
                there[0].ends_with(format!("etcd-job-{sum}")),
                "{there:?} {sum}"
            );
            for path in [&node.path(PROGRAMS), &there[0]] {
                let mode = fs::metadata(path)?.permissions().mode() & 0o777;
                ensure!(mode == 0o700, "{} has mode {mode:o}", path.display());
            }
        }
        let again = asked(cluster, me, &["--ssh", "--ask", HELLO])?;
        again.says_none_of(&["bringing"])?;
        // One that is not what it was is not run.
        let m2 = cluster.node("m2")?;
        fs::write(&programs(m2)?[0], "#!/bin/sh\necho evil\n")?;
        let third = asked(cluster, me, &["--ssh", "--ask", HELLO])?
            .says(&["m2: bringing the program"])?
            .says_none_of(&["m1: bringing"])?;
        ensure!(
            lines(&third)?.iter().all(|line| line["told"]["uid"] == 0),
            "{third}"
        );
        Ok(())
    });
}

fn on_node(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{PROGRAMS}/{name}")
}

/// A user of the node with the cluster's key, who may use sudo or not.
fn add_user(node: &Node, user: &str, sudo: bool) -> Result<()> {
    let home = format!("/var/{user}");
    // A password that is none; `!` would keep even a key out.
    node.run([
        "useradd", "-m", "-d", &home, "-s", "/bin/sh", "-p", "*", user,
    ])?
    .success()?;
    let rule = if sudo { "NOPASSWD: ALL" } else { "ALL" };
    let rules = node.path("/etc/sudoers");
    fs::write(
        &rules,
        format!("Defaults use_pty\nroot ALL=(ALL) ALL\n{user} ALL=(ALL) {rule}\n"),
    )?;
    Ok(fs::set_permissions(
        &rules,
        fs::Permissions::from_mode(0o440),
    )?)
}

fn remove_user(node: &Node, user: &str) -> Result<()> {
    node.run(["userdel", "-r", user])?.success().map(drop)
}

#[test]
fn over_ssh_a_user_needs_sudo_without_a_password() {
    three(|cluster, me| {
        let m1 = cluster.node("m1")?;
        let master = m1.ip().to_string();
        let as_user = |user: &str| {
            asked(
                cluster,
                me,
                &["--master", &master, "--ssh-user", user, "--ask", HELLO],
            )
        };
        add_user(m1, "jane", true)?;
        let jane = as_user("jane")?.says(&["from --master"])?;
        ensure!(
            line(&jane)?["told"]["uid"] == 0 && line(&jane)?["told"]["node"] == "m1",
            "{jane}"
        );
        remove_user(m1, "jane")?;
        add_user(m1, "bob", false)?;
        let bob = line(&as_user("bob")?)?;
        ensure!(bob["kind"] == "NeedsRoot" && bob["exitCode"] == 1, "{bob}");
        ensure!(
            bob["error"]
                .to_string()
                .contains("the work needs root, or passwordless sudo for bob"),
            "{bob}"
        );
        remove_user(m1, "bob")?;
        let nobody = line(&as_user("carol")?)?;
        ensure!(
            nobody["kind"] == "NotAllowed" && nobody["hint"].to_string().contains("--ssh-user"),
            "{nobody}"
        );
        Ok(())
    });
}

#[test]
fn over_ssh_an_unknown_host_key_or_a_silent_host_is_told_with_what_to_do() {
    three(|cluster, me| {
        let m1 = cluster.node("m1")?.ip().to_string();
        let text = fs::read_to_string(config(cluster))?;
        let strange = me.folder().join("ssh_config");
        for checking in ["yes", "ask"] {
            let known = cluster.folder().join("known_hosts").display().to_string();
            let text = text.replace(&known, "/dev/null").replace(
                "StrictHostKeyChecking yes",
                &format!("StrictHostKeyChecking {checking}"),
            );
            fs::write(&strange, text)?;
            let words = ["--master", &m1, "--ask", HELLO, "--ssh-config"];
            let mut command = me.other(&parts::plugin_example("over_ssh")?, words);
            let told = line(&me.run(command.arg(&strange))?)?;
            ensure!(
                told["kind"] == "HostKey"
                    && told["hint"].to_string().contains(&format!("ssh {m1}")),
                "{told}"
            );
        }
        // No master: the wire ends there.
        let silent = asked(cluster, me, &["--master", "192.0.2.1", "--ask", HELLO])?
            .within(Duration::from_secs(30))?;
        let told = line(&silent)?;
        ensure!(
            told["kind"] == "Unreachable" && told["exitCode"] == 6,
            "{told}"
        );
        Ok(())
    });
}

#[test]
fn over_ssh_work_goes_on_when_the_connection_breaks_and_is_followed_again() {
    three(|cluster, me| {
        let m1 = cluster.node("m1")?;
        let ip = m1.ip().to_string();
        let long = m1.path("/var/tmp/long");
        // It takes long to read, and no room.
        fs::File::create(&long)?.set_len(8 << 30)?;
        for (break_it, number) in [(cut_off as Break, 1), (|node, _| kill_sessions(node), 2)] {
            let folder = format!("/var/tmp/work-{number}");
            let ask = json!({
                "version": 1, "request": {"request": "digest", "path": "/var/tmp/long"},
                "detached": {"folder": folder, "attempt": 1},
            })
            .to_string();
            let words = ["--master", &ip, "--ask", &ask, "--ssh-config"];
            let mut command = me.other(&parts::plugin_example("over_ssh")?, words);
            command.arg(config(cluster));
            let mut running = me.begin(&mut command)?;
            wait_for(&mut running, "progress")?;
            break_it(m1, &mut running)?;
            let answer = running
                .wait(LIMIT)?
                .code(0)?
                .says(&["the ssh connection was lost; connecting again"])?;
            let file = &line(&answer)?["told"]["file"];
            ensure!(file["sizeBytes"] == 8_u64 << 30, "{answer}");
            let progress: Vec<u64> = answer
                .output
                .stderr
                .lines()
                .filter_map(|line| line.strip_prefix("progress "))
                .map(|line| {
                    serde_json::from_str::<Value>(line)?["doneBytes"]
                        .as_u64()
                        .context("bytes")
                })
                .collect::<Result<_>>()?;
            ensure!(progress.is_sorted(), "told twice: {progress:?}");
            // One attempt, one worker.
            let record = fs::read_to_string(m1.path(&format!("{folder}/1.events.jsonl")))?;
            ensure!(record.matches(r#""type":"done""#).count() == 1, "{record}");
        }
        Ok(fs::remove_file(long)?)
    });
}

/// Waits until it has said something while it is under way.
fn wait_for(running: &mut Running, said: &str) -> Result<()> {
    wait::until(said, LIMIT, || match running.ended() {
        Ok(false) if running.so_far().contains(said) => Ok(()),
        ended => Err(format!("{ended:?}: {}", running.so_far())),
    })
}

/// How a connection to a node is broken while a command is under way.
type Break = fn(&Node, &mut Running) -> Result<()>;

/// The cable is out until the connection is given up.
fn cut_off(node: &Node, running: &mut Running) -> Result<()> {
    node.unplug()?;
    let noticed = wait_for(running, "the ssh connection was lost");
    node.plug_in()?;
    noticed
}

/// Every login of the node ends.
fn kill_sessions(node: &Node) -> Result<()> {
    node.run(["pkill", "-KILL", "-f", "sshd: root"])?
        .success()
        .map(drop)
}

#[test]
fn over_ssh_a_file_arrives_whole_or_not_at_all() {
    three(|cluster, me| {
        let m1 = cluster.node("m1")?;
        let ip = m1.ip().to_string();
        let file = me.folder().join("file");
        let bytes: Vec<u8> = (0..200_000_000_u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect();
        fs::write(&file, &bytes)?;
        let there = "/var/tmp/folder/file";
        let put = |words: &[&str]| {
            let all = ["--master", &ip, "--path", there];
            asked(cluster, me, &[&all[..], words].concat())
        };
        let local = file.display().to_string();
        // Every login of the node ends while it is under way.
        let words = [
            "--master",
            &ip,
            "--path",
            there,
            "--put",
            &local,
            "--ssh-config",
        ];
        let mut command = me.other(&parts::plugin_example("over_ssh")?, words);
        let mut running = me.begin(command.arg(config(cluster)))?;
        wait_for(&mut running, "bytes have gone")?;
        kill_sessions(m1)?;
        let answer = running.wait(LIMIT)?.code(0)?.says(&["connecting again"])?;
        ensure!(
            line(&answer)?["told"]["sizeBytes"] == 200_000_000,
            "{answer}"
        );
        let arrived = m1.path(there);
        ensure!(fs::read(&arrived)? == bytes, "other bytes arrived");
        ensure!(
            fs::metadata(&arrived)?.permissions().mode() & 0o777 == 0o600,
            "mode"
        );
        // The same again is no trouble; another is not put in its place.
        ensure!(
            line(&put(&["--put", &local])?)?["told"]["sizeBytes"] == 200_000_000,
            "again"
        );
        fs::write(&file, "other")?;
        let other = line(&put(&["--put", &local])?)?;
        ensure!(
            other["kind"] == "Failed(Refused)" && other["exitCode"] == 5,
            "{other}"
        );
        let back = me.folder().join("back");
        put(&["--get", &back.display().to_string()])?;
        ensure!(fs::read(back)? == bytes, "other bytes came back");
        let none = asked(
            cluster,
            me,
            &["--master", &ip, "--path", "/none", "--get", "x"],
        )?;
        ensure!(line(&none)?["kind"] == "Failed(Missing)", "{none}");
        let left = fs::read_dir(m1.path("/var/tmp/folder"))?.count();
        ensure!(left == 1, "{left} files are left");
        Ok(fs::remove_dir_all(m1.path("/var/tmp/folder"))?)
    });
}
