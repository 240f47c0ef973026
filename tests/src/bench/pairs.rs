//! Ours and a peer's, run in turns, so that whatever else the machine does hits both.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::Times;

/// Two ways to the same end: each closure does it once.
pub(super) struct Pair<'a> {
    pub(super) ours: (&'a str, &'a mut dyn FnMut() -> Result<()>),
    pub(super) theirs: (&'a str, &'a mut dyn FnMut() -> Result<()>),
    /// The ratio of ours to theirs that is aimed at.
    pub(super) bar: f64,
}

impl Pair<'_> {
    /// Runs both in turns and prints the medians and their ratio.
    pub(super) fn measure(self, title: &str, runs: usize, out: &mut dyn Write) -> Result<()> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            for (times, work) in [
                (&mut ours, &mut *self.ours.1),
                (&mut theirs, &mut *self.theirs.1),
            ] {
                let start = Instant::now();
                work()?;
                times.push(start.elapsed());
            }
        }
        let (ours, theirs) = (Times::new(ours), Times::new(theirs));
        let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64();
        let word = if ratio <= self.bar { "met" } else { "MISSED" };
        writeln!(out, "{title}")?;
        writeln!(out, "  {:<44} {ours}", self.ours.0)?;
        writeln!(out, "  {:<44} {theirs}", self.theirs.0)?;
        Ok(writeln!(
            out,
            "  ratio {ratio:.2}, aimed at {:.2}: {word}",
            self.bar
        )?)
    }
}

/// Runs a command that has to succeed and forgets what it prints.
pub(super) fn quiet(command: &mut Command) -> Result<()> {
    let done = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !done.status.success() {
        let signal = done
            .status
            .signal()
            .map(|s| format!(", signal {s}"))
            .unwrap_or_default();
        bail!(
            "{command:?}: {}{signal}\n{}",
            done.status,
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}
