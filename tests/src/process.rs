//! Running other programs, and telling processes of this boot from others with the same number.

use std::ffi::OsStr;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// What a program printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Standard output if it ended with 0.
    ///
    /// # Errors
    /// Otherwise, with everything it printed.
    pub fn success(self) -> Result<String> {
        if self.ok() {
            return Ok(self.stdout);
        }
        bail!("{self}")
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.trim().is_empty() {
                write!(f, "\n{name}: {}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Runs a prepared command to its end, standard input empty, and gives back what it printed.
///
/// # Errors
/// When it cannot be started; a failing exit code is no error here.
pub fn output(command: &mut Command) -> Result<Output> {
    use std::os::unix::process::ExitStatusExt;
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let status = done.status;
    Ok(Output {
        code: status
            .code()
            .or_else(|| status.signal().map(|s| 128 + s))
            .unwrap_or(-1),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// Runs a program that has to succeed; gives back its standard output.
///
/// # Errors
/// When it cannot be started or fails, with its arguments and what it printed.
pub fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    success(&mut command)
}

/// Runs a prepared command that has to succeed; gives back its standard output.
///
/// # Errors
/// When it cannot be started or fails, with its arguments and what it printed.
pub fn success(command: &mut Command) -> Result<String> {
    let line = describe(command);
    output(command)?
        .success()
        .with_context(|| format!("{line} failed"))
}

fn describe(command: &Command) -> String {
    let mut line = command.get_program().display().to_string();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// Tells the person at the terminal what is going on, on standard error.
pub fn say(message: &str) {
    let mut stderr = std::io::stderr();
    // How far builds are stands on the last line of a terminal.
    let clear = if stderr.is_terminal() { "\r\x1b[K" } else { "" };
    // A closed terminal is no reason to stop.
    drop(writeln!(stderr, "{clear}{message}"));
}

/// Set when one of several builds side by side has failed.
static CANCELLED: AtomicBool = AtomicBool::new(false);

/// The error of a build that was ended because another one failed.
#[derive(Debug)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ended because another build failed")
    }
}

impl std::error::Error for Cancelled {}

/// Kills the child when [`both`] has seen one side fail.
///
/// # Errors
/// [`Cancelled`], when it was killed.
pub fn end_when_cancelled(child: &mut Child) -> Result<()> {
    if !CANCELLED.load(Ordering::Relaxed) {
        return Ok(());
    }
    drop(child.kill());
    drop(child.wait());
    bail!(Cancelled)
}

/// Does two things side by side. When one of them fails, builds of the other are ended.
///
/// # Errors
/// The error of the one that failed.
pub fn both<A, B: Send>(
    one: impl FnOnce() -> Result<A>,
    other: impl FnOnce() -> Result<B> + Send,
) -> Result<(A, B)> {
    fn watched<T>(result: Result<T>) -> Result<T> {
        result.inspect_err(|_| CANCELLED.store(true, Ordering::Relaxed))
    }
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| watched(other()));
        let one = watched(one());
        let panicked = |_| Err(anyhow::anyhow!("a thread panicked"));
        (one, other.join().unwrap_or_else(panicked))
    });
    CANCELLED.store(false, Ordering::Relaxed);
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        // Which failed by itself?
        (Err(error), Err(other)) if error.is::<Cancelled>() => Err(other),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_ticks: u64,
    /// The boot it belongs to.
    pub boot_id: String,
}

impl ProcessId {
    /// The process with this number as it is now; `None` when there is none or it is a zombie.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may itself hold spaces and parentheses.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self {
            pid,
            start_ticks: fields.get(19)?.parse().ok()?,
            boot_id: boot_id.trim().to_owned(),
        })
    }

    /// The process that asks.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn own() -> Result<Self> {
        Self::of(std::process::id()).context("cannot read this process's own entry in /proc")
    }

    /// Whether exactly this process still runs.
    #[must_use]
    pub fn alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_is_alive_and_a_later_one_with_its_number_is_not_it() {
        let own = ProcessId::own().unwrap();
        assert!(own.alive());
        let earlier = ProcessId {
            start_ticks: own.start_ticks - 1,
            ..own.clone()
        };
        assert!(!earlier.alive());
        let other_boot = ProcessId {
            boot_id: "0".to_owned(),
            ..own
        };
        assert!(!other_boot.alive());
    }

    #[test]
    fn of_two_builds_side_by_side_the_failure_ends_the_other_and_is_told() {
        let begun = std::time::Instant::now();
        let slow = || {
            let mut child = Command::new("sleep").arg("60").spawn()?;
            loop {
                end_when_cancelled(&mut child)?;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        };
        let error = both::<(), ()>(slow, || bail!("it does not build")).unwrap_err();
        assert_eq!(error.to_string(), "it does not build");
        assert!(begun.elapsed().as_secs() < 30);
    }

    #[test]
    fn a_failure_shows_command_code_and_both_outputs() {
        let error = format!(
            "{:#}",
            run("sh", ["-c", "echo out; echo err >&2; exit 3"]).unwrap_err()
        );
        for part in ["sh -c", "exit code 3", "stdout: out", "stderr: err"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
