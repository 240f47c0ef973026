//! A plan, interrupted right after a line of its journal; then resumed, or rolled back. m1 leads it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, setpriority_process};
use testbed::node::Process;
use testbed::{Cluster, Component, Node, Workstation, wait};

use crate::command::{begin, quietly, seconds};
use crate::objects::{all_written, write};
use crate::proof::{cluster_id, healthy, manifest, runs_with, serves};

/// How long a plan may take to come to a line.
const LIMIT: Duration = Duration::from_secs(120);

/// How long one may wait for a control-plane node without power, and then take to its end.
const PATIENCE: Duration = Duration::from_secs(300);

const PLANS: &str = "/var/lib/kubectl-etcd/plans";

const SNAPSHOT: &str = "/var/tmp/steps.db";

/// Objects that are in the snapshot.
const PRECIOUS: &str = "precious";

/// A command that makes a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    SetFlag,
    Restore,
    Recover,
    /// Of all control-plane nodes, over ssh.
    RestoreAll,
    /// Of m1, which is well.
    Replace,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The program is killed.
    Kill,
    /// Its control-plane node loses its power.
    Power,
    /// m2 loses its power.
    PowerOfOther,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Then {
    Resume,
    Undo,
}

/// One interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trial {
    pub(crate) command: Command,
    pub(crate) fault: Fault,
    /// After how many lines of the journal. With 0 the plan has begun, and none of its steps.
    pub(crate) line: usize,
    pub(crate) then: Then,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = match self.command {
            Command::SetFlag => "manifest set-flag",
            Command::Restore => "restore",
            Command::Recover => "recover",
            Command::RestoreAll => "restore --ssh",
            Command::Replace => "member replace",
        };
        let fault = match self.fault {
            Fault::Kill => "SIGKILL",
            Fault::Power => "power loss",
            Fault::PowerOfOther => "of another",
        };
        let then = match self.then {
            Then::Resume => "resumed",
            Then::Undo => "undone",
        };
        write!(f, "{command:<18} {fault:<11} {:>4}  {then:<8}", self.line)
    }
}

/// The head of the table of trials.
pub(crate) const HEAD: &str = "PLAN               FAULT       LINE  THEN     SECONDS  ";

impl Command {
    /// The command line; the flag is for one that sets one.
    fn line(self, flag: &str) -> Vec<&str> {
        match self {
            Self::SetFlag => {
                vec![
                    "manifest",
                    "set-flag",
                    "etcd",
                    flag,
                    "--yes",
                    "--accept-outage",
                ]
            }
            Self::Restore => vec!["restore", SNAPSHOT, "--yes", "--accept-data-loss"],
            Self::RestoreAll => {
                vec!["restore", SNAPSHOT, "--ssh", "--yes", "--accept-data-loss"]
            }
            Self::Replace => vec!["member", "replace", "m1", "--even-if-healthy", "--yes"],
            Self::Recover => vec!["recover", "--this-node-only", "--yes", "--accept-data-loss"],
        }
    }

    /// What the command is there for.
    fn accident(self, cluster: &Cluster, node: &Node) -> Result<()> {
        match self {
            Self::SetFlag | Self::Restore | Self::RestoreAll | Self::Replace => Ok(()),
            Self::Recover => lose_quorum(cluster, node),
        }
    }

    fn restores(self) -> bool {
        matches!(self, Self::Restore | Self::RestoreAll)
    }

    /// How many lines its plan's journal has on m1 in the end: two of each step.
    fn lines(self, cluster: &Cluster) -> Result<usize> {
        let (m1, flag) = (cluster.node("m1")?, "quota-backend-bytes=2147483647");
        self.accident(cluster, m1)?;
        let line = [&self.line(flag)[..], &["--dry-run", "-o", "json"]].concat();
        let plan = quietly(m1, &line)?.code(0)?.json()?;
        if self == Self::Recover {
            quietly(m1, &self.line(flag))?.code(0)?;
            serves(cluster)?;
        }
        let stages = plan["stages"].as_array().context("no stages")?.iter();
        Ok(2 * stages
            .filter_map(|stage| stage["steps"].as_array())
            .flatten()
            .filter(|step| step["node"] == "m1")
            .count())
    }

    /// Every interruption of it. Of several control-plane nodes, which take longer, each fault at each line is resumed or taken
    /// back in turn.
    fn trials(self, lines: usize) -> Vec<Trial> {
        let several = matches!(self, Self::RestoreAll | Self::Replace);
        let faults: &[Fault] = match several {
            true => &[Fault::Kill, Fault::Power, Fault::PowerOfOther],
            false => &[Fault::Kill, Fault::Power],
        };
        let mut trials = Vec::new();
        for line in 0..=lines {
            for (at, fault) in faults.iter().enumerate() {
                for (other, then) in [Then::Resume, Then::Undo].into_iter().enumerate() {
                    if several && (line + at) % 2 != other {
                        continue;
                    }
                    trials.push(Trial {
                        command: self,
                        fault: *fault,
                        line,
                        then,
                    });
                }
            }
        }
        trials
    }
}

/// The only member gets another one beside it, which never comes: there is no leader then.
fn lose_quorum(cluster: &Cluster, node: &Node) -> Result<()> {
    let add = [
        "member",
        "add",
        "never",
        "--peer-urls=https://10.255.255.1:2380",
    ];
    cluster.etcdctl(node, add)?.success()?;
    wait::until("no leader", Duration::from_secs(60), || {
        let status = cluster
            .etcd_status(node)
            .map_err(|error| format!("{error:#}"))?;
        match status["leader"].as_u64() {
            None | Some(0) => Ok(()),
            Some(_) => Err(status.to_string()),
        }
    })
}

/// Gets a cluster ready for trials: there is a snapshot.
pub(crate) fn prepare(cluster: &Cluster) -> Result<()> {
    let m1 = cluster.node("m1")?;
    if m1.path(SNAPSHOT).exists() {
        return Ok(());
    }
    write(cluster, m1, PRECIOUS, 20)?;
    quietly(m1, &["snapshot", "save", SNAPSHOT, "--via", "local"])?
        .code(0)
        .map(drop)
}

/// What a cluster was like before.
struct Before {
    cluster_id: u64,
    manifest: Vec<u8>,
    /// Objects that are not in the snapshot.
    since: String,
}

/// What came of a fault.
struct Interrupted {
    /// After which line it came: the program may have been faster.
    line: usize,
    /// Whether the command waited until the other control-plane node was back, and did the rest.
    ended_well: bool,
}

impl Trial {
    /// Does it, and looks at what came of it. Gives back after which line it was interrupted, and how long going on or taking
    /// back took.
    pub(crate) fn run(self, cluster: &Cluster) -> Result<(usize, Duration)> {
        let m1 = cluster.node("m1")?;
        let before = Before {
            cluster_id: cluster_id(cluster, m1)?,
            manifest: manifest(m1)?,
            since: format!("since-{}", jiff::Timestamp::now().as_millisecond()),
        };
        write(cluster, m1, &before.since, 10)?;
        let flag = self.flag(&before);
        self.command.accident(cluster, m1)?;
        let Interrupted { line, ended_well } = self.interrupt(cluster, m1, &flag)?;
        let several = cluster.nodes().len() > 1;
        if (self.command, self.fault) == (Command::Replace, Fault::PowerOfOther) {
            // Meanwhile there was no quorum, and members are changed by one.
            healthy(cluster, &[cluster.node("m2")?, cluster.node("m3")?])?;
        }
        let words: &[&str] = match self.then {
            // The snapshot is not there before the first step is done; on others it may be done later.
            Then::Resume if self.command.restores() && (line < 2 || several && line < 4) => {
                &["plan", "resume", "--yes", "--file", SNAPSHOT]
            }
            Then::Resume if ended_well => &["plan", "list"],
            Then::Resume => &["plan", "resume", "--yes"],
            Then::Undo => &["plan", "undo", "--yes", "--accept-data-loss"],
        };
        let mended = quietly(m1, words)?;
        let took = mended.took;
        // A member that was removed cannot be rolled back, which is said.
        let code = match (self.command, self.then) {
            (Command::Replace, Then::Undo) if mended.output.code == 3 => 3,
            _ => 0,
        };
        let looked = mended.code(code).and_then(|mended| {
            let looked = self.look(cluster, m1, &before, &flag);
            looked.with_context(|| mended.to_string())
        });
        looked.with_context(|| journal(m1))?;
        for node in cluster.nodes() {
            tidy(node)?;
        }
        Ok((line, took))
    }

    /// A flag's value that etcd has not got now.
    fn flag(self, before: &Before) -> String {
        let text = String::from_utf8_lossy(&before.manifest).into_owned();
        let values = ["3221225472", "4294967296"];
        let fresh = values.iter().find(|value| !text.contains(*value));
        format!("quota-backend-bytes={}", fresh.unwrap_or(&values[0]))
    }

    /// Begins the plan and strikes.
    fn interrupt(self, cluster: &Cluster, node: &Node, flag: &str) -> Result<Interrupted> {
        let line = self.command.line(flag);
        let known = plans(node);
        let without_power = match self.fault {
            Fault::Kill => None,
            Fault::Power => Some(node),
            Fault::PowerOfOther => Some(cluster.node("m2")?),
        };
        let me = Workstation::of(cluster)?;
        let mut running = begin(&me, node, &line)?;
        running.until("the program runs", LIMIT, || Ok(program(node).is_some()))?;
        let program = program(node).context("the program does not run")?;
        let mut struck = match self.fault {
            Fault::Kill | Fault::Power => vec![program],
            Fault::PowerOfOther => Vec::new(),
        };
        if let Some(node) = without_power {
            struck.push(first(node).context("no first process")?);
        }
        let mut begun = None;
        running.until("a plan", LIMIT, || {
            begun = plans(node).difference(&known).next().cloned();
            Ok(begun.is_some())
        })?;
        let plan = begun.context("no plan has begun")?;
        strike_after(self.line, &plan, &struck)
            .with_context(|| format!("{self}\n{}", running.so_far()))?;
        let struck_at = lines(&plan).unwrap_or_default();
        if let Some(node) = without_power {
            node.power_off()?;
            node.power_on()?;
        }
        let ended = running.wait(PATIENCE)?;
        let line = match self.fault {
            Fault::Kill | Fault::Power => lines(&plan).unwrap_or_default(),
            Fault::PowerOfOther => struck_at,
        };
        Ok(Interrupted {
            line,
            ended_well: ended.output.code == 0,
        })
    }

    fn look(self, cluster: &Cluster, node: &Node, before: &Before, flag: &str) -> Result<()> {
        let as_before = self.then == Then::Undo;
        if as_before && matches!(self.command, Command::Recover | Command::Replace) {
            // Back in the accident, or without the member that was removed: the same command leads out of it. An etcd that
            // was started without a quorum does not answer.
            ensure!(manifest(node)? == before.manifest, "another manifest");
            // One that was removed ends whenever it is started.
            if self.command == Command::Recover {
                wait::until_true("etcd runs", LIMIT, || {
                    !node.component(Component::Etcd).is_empty()
                })?;
            }
            // One that was cut off from the member that never came leads for a moment.
            wait::until("the way out", LIMIT, || {
                let done = quietly(node, &self.command.line(flag));
                let done = done.map_err(|error| format!("{error:#}"))?;
                match done.output.code {
                    0 => Ok(()),
                    _ => Err(done.to_string()),
                }
            })?;
            serves(cluster)?;
            all_written(cluster, PRECIOUS, 20)?;
            return all_written(cluster, &before.since, 10);
        }
        let id = serves(cluster)?;
        all_written(cluster, PRECIOUS, 20)?;
        let restored = !as_before && self.command.restores();
        all_written(cluster, &before.since, if restored { 0 } else { 10 })?;
        let keeps_id = as_before || matches!(self.command, Command::SetFlag | Command::Replace);
        ensure!(
            keeps_id == (id == before.cluster_id),
            "cluster id {id}, before {}",
            before.cluster_id
        );
        let flagged = !as_before && self.command == Command::SetFlag;
        let argument = format!("--{flag}");
        ensure!(
            flagged == runs_with(node, &argument),
            "runs with {argument}: {}",
            !flagged
        );
        let same = manifest(node)? == before.manifest;
        // One that joins is told so by its manifest.
        let may_change = flagged || self.command == Command::Replace;
        ensure!(same || may_change, "the manifest is another one");
        if !as_before && self.command != Command::SetFlag {
            ensure!(
                !crate::proof::aside(node)?.is_empty(),
                "the old data is not aside"
            );
        }
        Ok(())
    }
}

/// Kills processes as soon as a plan's journal has so many lines. The thread goes before all others and looks every 100
/// microseconds: a line is there to be seen while it is still being put on the disk.
pub(crate) fn strike_after(line: usize, plan: &Path, struck: &[Pid]) -> Result<()> {
    setpriority_process(None, -20)?;
    let begun = Instant::now();
    let mut size = None;
    let done = loop {
        let now = fs::metadata(plan.join("journal.jsonl"))
            .ok()
            .map(|found| found.len());
        // A journal that has not grown need not be read.
        if (now != size || now.is_none()) && lines(plan) >= Some(line) {
            for process in struck {
                // It may have come to its end.
                let _ = kill_process(*process, Signal::KILL);
            }
            break Ok(());
        }
        if begun.elapsed() > LIMIT {
            break Err(anyhow!("it never came to the line"));
        }
        size = now;
        thread::sleep(Duration::from_micros(100));
    };
    setpriority_process(None, 0)?;
    done
}

/// The folders of a node's plans.
pub(crate) fn plans(node: &Node) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(node.path(PLANS))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// How many lines a plan's journal has; none: it has not begun.
fn lines(plan: &Path) -> Option<usize> {
    let begun = plan.parent()?.join("current").exists() || plan.join("journal.jsonl").exists();
    let journal = fs::read(plan.join("journal.jsonl")).unwrap_or_default();
    begun.then(|| journal.iter().filter(|byte| **byte == b'\n').count())
}

pub(crate) fn program(node: &Node) -> Option<Pid> {
    process(node, |one| one.program() == "kubectl-etcd")
}

fn process(node: &Node, is: impl Fn(&Process) -> bool) -> Option<Pid> {
    let all = node.processes();
    let found = all.iter().find(|one| is(one))?;
    i32::try_from(found.pid).ok().and_then(Pid::from_raw)
}

/// A node's first process: with it dies everything on the node.
pub(crate) fn first(node: &Node) -> Option<Pid> {
    process(node, |one| is_first(one.pid))
}

fn is_first(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| {
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        numbers.len() == 2 && numbers.last() == Some(&"1")
    })
}

/// The newest journal, for whoever looks into a failure.
fn journal(node: &Node) -> String {
    let newest = plans(node)
        .into_iter()
        .max_by_key(|plan| fs::metadata(plan).and_then(|found| found.modified()).ok());
    let text =
        newest.map(|plan| fs::read_to_string(plan.join("journal.jsonl")).unwrap_or_default());
    let lines: Vec<String> = text
        .unwrap_or_default()
        .lines()
        .map(|line| line.chars().take(300).collect())
        .collect();
    format!("journal:\n{}", lines.join("\n"))
}

/// Removes what plans have kept and left, so that the disk does not fill: what is told of it was looked at.
fn tidy(node: &Node) -> Result<()> {
    let script = "rm -rf /var/lib/etcd-manifest-* /var/lib/etcd-restore-* /var/lib/etcd-recover-*";
    node.run(["sh", "-ec", script])?.success().map(drop)
}

/// Does trials one after another, shows them as a table, and fails at the end when one failed. One that fails gets the next
/// ones another cluster. A line that the program went past is tried again, and told of when it was never met.
pub(crate) fn table(command: Command, start: impl Fn() -> Result<Cluster>) -> Result<()> {
    let (mut failed, mut met, mut done) = (Vec::new(), BTreeSet::new(), 0_usize);
    let mut cluster = start()?;
    prepare(&cluster)?;
    let trials = command.trials(command.lines(&cluster)?);
    eprintln!("{HEAD}");
    for trial in &trials {
        let trial = *trial;
        for _ in 0..TRIES {
            prepare(&cluster)?;
            done += 1;
            match shown(trial, &cluster) {
                Ok(line) => met.insert(Trial { line, ..trial }),
                Err(error) => {
                    failed.push(format!("{trial}\n{error:#}"));
                    // Its nodes' disks are what it can be looked into with.
                    drop(keep(&cluster, failed.len()));
                    drop(cluster);
                    cluster = start()?;
                    break;
                }
            };
            if met.contains(&trial) {
                break;
            }
        }
    }
    let found = trials.iter().filter(|trial| met.contains(trial)).count();
    eprintln!(
        "{done} trials, {} failed; {found} of {} interruptions met",
        failed.len(),
        trials.len()
    );
    match failed.as_slice() {
        [] => Ok(()),
        _ => bail!("{}", failed.join("\n\n")),
    }
}

/// How often a line is tried that the program goes past.
const TRIES: usize = 3;

/// Keeps what a failed trial left on its node.
fn keep(cluster: &Cluster, number: usize) -> Result<()> {
    let to = testbed::paths::root()?
        .join("failed")
        .join(format!("{}-{number}", cluster.name()));
    fs::create_dir_all(&to)?;
    for node in cluster.nodes() {
        for path in [
            "/var/lib/kubectl-etcd",
            "/etc/kubernetes/manifests",
            "/var/log/pods",
            "/var/log/journal",
        ] {
            let name = path.trim_start_matches('/').replace('/', "-");
            let (from, to) = (node.path(path), to.join(format!("{}-{name}", node.name())));
            testbed::process::run("cp", ["-a".as_ref(), from.as_os_str(), to.as_os_str()])?;
        }
    }
    eprintln!("what it left: {}", to.display());
    Ok(())
}

/// Does a trial and shows its row. Gives back after which line it was interrupted.
pub(crate) fn shown(trial: Trial, cluster: &Cluster) -> Result<usize> {
    let done = trial.run(cluster);
    match done {
        Ok((line, took)) => {
            eprintln!("{} {:>7.1}  ok", Trial { line, ..trial }, seconds(took));
            Ok(line)
        }
        Err(error) => {
            eprintln!("{trial}       -  failed: {error:#}");
            Err(error)
        }
    }
}
