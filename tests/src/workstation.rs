//! A person at a workstation: the plugin, a kubeconfig and a folder of their own.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Output;
use crate::{Cluster, parts, wait};

/// No command of the plugin that a test waits for may take longer.
const LIMIT: Duration = Duration::from_secs(180);

/// A person with the plugin, a kubeconfig and a folder to work in, which goes with the last clone.
#[derive(Debug, Clone)]
pub struct Workstation {
    plugin: PathBuf,
    kubeconfig: PathBuf,
    folder: Rc<TempDir>,
    always: Vec<OsString>,
}

impl Workstation {
    /// The cluster's administrator. Builds the plugin when that has not been done (see [`parts::plugin`]).
    ///
    /// # Errors
    /// When the plugin does not build.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        Self::with_kubeconfig(&cluster.kubeconfig())
    }

    /// Somebody with this kubeconfig, which need not exist.
    ///
    /// # Errors
    /// When the plugin does not build.
    pub fn with_kubeconfig(kubeconfig: &Path) -> Result<Self> {
        Ok(Self {
            plugin: parts::plugin()?,
            kubeconfig: kubeconfig.to_owned(),
            folder: Rc::new(tempfile::Builder::new().prefix("workstation-").tempdir()?),
            always: Vec::new(),
        })
    }

    /// The same person, who types these flags with every command.
    #[must_use]
    pub fn always<S: AsRef<OsStr>>(&self, flags: impl IntoIterator<Item = S>) -> Self {
        let mut other = self.clone();
        other
            .always
            .extend(flags.into_iter().map(|flag| flag.as_ref().to_owned()));
        other
    }

    /// The folder where commands run and files are saved.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The names of the files in the folder, sorted, without what the person's programs keep for themselves.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut names = fs::read_dir(self.folder())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .filter(|name: &Result<String>| {
                !name
                    .as_ref()
                    .is_ok_and(|name| name.starts_with(".run-") || name == ".cache")
            })
            .collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// The plugin.
    #[must_use]
    pub fn plugin(&self) -> &Path {
        &self.plugin
    }

    /// The command line, to be changed before it is run.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.plugin);
        command.args(args).args(&self.always);
        self.prepare(&mut command);
        command
    }

    /// A shell script with the plugin as `$0`, in mounts of its own: it may mount what it likes.
    #[must_use]
    pub fn script_in_own_mounts(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script])
            .arg(&self.plugin);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.folder())
            .env_remove("KUBECTL_ETCD_IMAGE")
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.folder())
            .env("USER", "tester")
            .stdin(Stdio::null());
    }

    /// Runs `kubectl etcd ARGS` to its end.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than 3 minutes; a failing exit code is no error here.
    pub fn etcd<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Answer> {
        self.run(&mut self.command(args))
    }

    /// Starts `kubectl etcd ARGS`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Running> {
        self.spawn(&mut self.command(args))
    }

    /// The command line of another program, for this person.
    #[must_use]
    pub fn other<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        command.args(args);
        self.prepare(&mut command);
        command
    }

    /// Starts a prepared command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin(&self, command: &mut Command) -> Result<Running> {
        self.spawn(command)
    }

    /// Runs a prepared command to its end.
    ///
    /// # Errors
    /// As [`Workstation::etcd`].
    pub fn run(&self, command: &mut Command) -> Result<Answer> {
        self.spawn(command)?.wait(LIMIT)
    }

    fn spawn(&self, command: &mut Command) -> Result<Running> {
        // Into files: nothing waits for a reader, and what was said so far can be read.
        let said = tempfile::Builder::new()
            .prefix(".run-")
            .tempdir_in(self.folder())?;
        let (stdout, stderr) = (said.path().join("stdout"), said.path().join("stderr"));
        let line = words(command);
        let child = command
            .stdout(File::create(stdout)?)
            .stderr(File::create(stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {line}"))?;
        Ok(Running {
            line,
            child,
            said,
            begun: Instant::now(),
        })
    }
}

fn words(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    format!("{} {}", command.get_program().display(), words.join(" "))
}

/// A command of the plugin under way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    said: TempDir,
    begun: Instant,
}

impl Running {
    /// Its process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended before the signal: {status}\n{}", self.so_far());
        }
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it has printed until now.
    #[must_use]
    pub fn so_far(&self) -> String {
        let read = |name: &str| fs::read(self.said.path().join(name)).unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        text(&read("stdout")) + &text(&read("stderr"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within the limit: with what it has printed.
    pub fn wait(mut self, limit: Duration) -> Result<Answer> {
        let end = self.begun + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() >= end {
                bail!(
                    "{} has not ended after {} s:\n{}",
                    self.line,
                    limit.as_secs(),
                    self.so_far()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let read = |name: &str| -> Result<String> {
            Ok(String::from_utf8_lossy(&fs::read(self.said.path().join(name))?).into_owned())
        };
        Ok(Answer {
            line: self.line.clone(),
            took: self.begun.elapsed(),
            output: Output {
                code: status
                    .code()
                    .or_else(|| status.signal().map(|signal| 128 + signal))
                    .unwrap_or(-1),
                stdout: read("stdout")?,
                stderr: read("stderr")?,
            },
        })
    }

    /// Waits until something holds while it is under way.
    ///
    /// # Errors
    /// When it ends before, or within the limit nothing comes of it.
    pub fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let begun = Instant::now();
        while !holds()? {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended ({status}) before {what}:\n{}",
                    self.line,
                    self.so_far()
                );
            }
            ensure!(
                begun.elapsed() < limit,
                "{}: no {what} after {} s:\n{}",
                self.line,
                limit.as_secs(),
                self.so_far()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a command of the plugin ended.
#[derive(Debug, Clone)]
pub struct Answer {
    line: String,
    /// What it printed, and its exit code.
    pub output: Output,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\nafter {:.2} s: {}",
            self.line,
            self.took.as_secs_f64(),
            self.output
        )
    }
}

impl Answer {
    /// What a command printed that was run by other means, on a node for instance.
    #[must_use]
    pub fn of(line: &str, output: Output, took: Duration) -> Self {
        Self {
            line: line.to_owned(),
            output,
            took,
        }
    }

    /// Itself, if it ended with this exit code.
    ///
    /// # Errors
    /// Otherwise, with all it printed.
    pub fn code(self, code: i32) -> Result<Self> {
        ensure!(
            self.output.code == code,
            "exit code {code} expected: {self}"
        );
        Ok(self)
    }

    /// Itself, if it took no longer.
    ///
    /// # Errors
    /// Otherwise, with all it printed.
    pub fn within(self, limit: Duration) -> Result<Self> {
        ensure!(
            self.took <= limit,
            "it took longer than {} s: {self}",
            limit.as_secs_f64()
        );
        Ok(self)
    }

    /// Itself, if all of this is in what it printed.
    ///
    /// # Errors
    /// Otherwise, with all it printed.
    pub fn says(self, parts: &[&str]) -> Result<Self> {
        for part in parts {
            ensure!(
                self.text().contains(part),
                "it does not say `{part}`: {self}"
            );
        }
        Ok(self)
    }

    /// Itself, if none of this is in what it printed, whatever the case.
    ///
    /// # Errors
    /// Otherwise, with all it printed.
    pub fn says_none_of(self, parts: &[&str]) -> Result<Self> {
        let text = self.text().to_lowercase();
        for part in parts {
            ensure!(
                !text.contains(&part.to_lowercase()),
                "it says `{part}`: {self}"
            );
        }
        Ok(self)
    }

    /// All it printed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.output.stdout, self.output.stderr)
    }

    /// Its standard output as JSON.
    ///
    /// # Errors
    /// When it is none, with all it printed.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.output.stdout).with_context(|| format!("no JSON: {self}"))
    }
}

impl Cluster {
    /// What kubectl-etcd has left in the cluster beside the program it brings in: Jobs, Pods, Leases.
    ///
    /// # Errors
    /// When the apiserver cannot be asked.
    pub fn leftovers(&self) -> Result<Vec<String>> {
        let args = [
            "get",
            "jobs,pods,leases",
            "-A",
            "-l",
            "app.kubernetes.io/name=kubectl-etcd",
            "-o",
            "name",
        ];
        Ok(self
            .kubectl(args)?
            .success()?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// Waits until nothing of kubectl-etcd's runs is left in the cluster.
    ///
    /// # Errors
    /// When something still is after the limit.
    pub fn wait_nothing_left(&self, limit: Duration) -> Result<()> {
        wait::until("nothing left in the cluster", limit, || {
            let left = self.leftovers().map_err(|error| format!("{error:#}"))?;
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            }
        })
    }
}
