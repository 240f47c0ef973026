//! Benchmarks on real clusters: `testbed bench NAME`.
//!
//! A benchmark is a function in a module of its own here, and one entry in [`ALL`]. It prints to the writer it is
//! given: a table of medians, and against what they are measured.

mod files;
mod noise;
mod pairs;
mod plugin;
mod start;
mod stored;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// One benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// What is typed.
    pub name: &'static str,
    /// What it measures, in one line.
    pub about: &'static str,
    /// Runs it; the arguments are those after the name.
    pub run: fn(&[String], &mut dyn Write) -> Result<()>,
}

/// Every benchmark there is.
pub const ALL: &[Bench] = &[
    Bench {
        name: "start",
        about: "what the start of a test cluster costs, from a checkpoint, and its removal; arguments: how many control-plane nodes, runs",
        run: start::run,
    },
    Bench {
        name: "status",
        about: "status of three control-plane nodes through Jobs and through exec, against a Job and an exec by hand; argument: runs",
        run: plugin::status,
    },
    Bench {
        name: "version",
        about: "the plugin's start, against kubectl's; argument: runs",
        run: plugin::start,
    },
    Bench {
        name: "snapshot",
        about: "a snapshot of 500 MiB to the workstation, against etcdctl and kubectl exec; arguments: runs, noise (that does not compress)",
        run: plugin::snapshot,
    },
    Bench {
        name: "kept",
        about: "a compressed snapshot of 2 GiB kept on the control-plane node, and fetched, against etcdctl and kubectl exec; arguments: MiB, runs",
        run: stored::run,
    },
    Bench {
        name: "files",
        about: "verify, restore and usage of a 2 GiB snapshot, cold, warm and in 256 MiB of memory, against etcdutl; arguments: MiB, runs",
        run: files::run,
    },
];

/// Finds a benchmark by name.
///
/// # Errors
/// When there is none of this name.
pub fn find(name: &str) -> Result<&'static Bench> {
    match ALL.iter().find(|b| b.name == name) {
        Some(found) => Ok(found),
        None => bail!("no benchmark is called {name}: `testbed bench` lists them"),
    }
}

/// What a measurement gave, over several runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Measures something several times, one after another.
    ///
    /// # Errors
    /// The first error of what is measured.
    pub fn of(runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut times = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            work()?;
            times.push(start.elapsed());
        }
        Ok(Self::new(times))
    }

    /// Measurements taken elsewhere.
    #[must_use]
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The middle one (the later of two); zero when nothing was measured.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// The shortest and the longest.
    #[must_use]
    pub fn range(&self) -> (Duration, Duration) {
        (
            self.0.first().copied().unwrap_or_default(),
            self.0.last().copied().unwrap_or_default(),
        )
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = self.range();
        let (median, low, high) = (
            self.median().as_secs_f64(),
            low.as_secs_f64(),
            high.as_secs_f64(),
        );
        write!(
            f,
            "{median:.3} s ({low:.3} to {high:.3}, {} runs)",
            self.0.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        let times = Times::new([9, 1, 4].map(Duration::from_secs).to_vec());
        assert_eq!(times.median(), Duration::from_secs(4));
        assert_eq!(
            times.range(),
            (Duration::from_secs(1), Duration::from_secs(9))
        );
    }
}
