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
    /// What is to be done after each of theirs and is not measured.
    pub(super) after: &'a mut dyn FnMut() -> Result<()>,
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
            (self.after)()?;
        }
        Self::print(
            title,
            (self.ours.0, &Times::new(ours)),
            (self.theirs.0, &Times::new(theirs)),
            self.bar,
            out,
        )
    }

    /// Prints what was measured, and the ratio.
    pub(super) fn print(
        title: &str,
        (our_name, ours): (&str, &Times),
        (their_name, theirs): (&str, &Times),
        bar: f64,
        out: &mut dyn Write,
    ) -> Result<()> {
        let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64();
        let word = if ratio <= bar { "met" } else { "MISSED" };
        writeln!(out, "{title}")?;
        writeln!(out, "  {our_name:<44} {ours}")?;
        writeln!(out, "  {their_name:<44} {theirs}")?;
        Ok(writeln!(
            out,
            "  ratio {ratio:.3}, aimed at {bar:.3}: {word}"
        )?)
    }
}

/// For pairs that leave nothing to do.
pub(super) fn nothing() -> Result<()> {
    Ok(())
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

/// The most memory a process has had, by what the kernel says of it now, in KiB; 0 when it is gone.
pub(super) fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
