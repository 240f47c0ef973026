//! How far the builds are that run now, side by side: one line for all of them.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::process::say;

static BOARD: Mutex<Board> = Mutex::new(Board {
    builds: Vec::new(),
    shown: None,
    next: 0,
});

struct Board {
    builds: Vec<Entry>,
    /// When the line was last shown.
    shown: Option<Instant>,
    next: u32,
}

struct Entry {
    number: u32,
    name: String,
    /// What is counted, in the plural.
    unit: &'static str,
    count: u32,
    begun: Instant,
}

/// A build under way. It leaves the line when this is dropped.
pub(super) struct Build(u32);

impl Build {
    /// Adds a build to the line.
    pub(super) fn begin(name: &str, unit: &'static str) -> Self {
        let mut board = board();
        let number = board.next;
        board.next += 1;
        board.shown.get_or_insert_with(Instant::now);
        board.builds.push(Entry {
            number,
            name: name.to_owned(),
            unit,
            count: 0,
            begun: Instant::now(),
        });
        Self(number)
    }

    /// Counts one more, and shows the line when it was not shown for a while.
    pub(super) fn count(&self) {
        let mut board = board();
        for entry in board.builds.iter_mut().filter(|e| e.number == self.0) {
            entry.count += 1;
        }
        let terminal = std::io::stderr().is_terminal();
        let pause = Duration::from_millis(if terminal { 200 } else { 30_000 });
        if board.shown.is_none_or(|shown| shown.elapsed() >= pause) {
            board.shown = Some(Instant::now());
            show(&line(&board.builds), terminal);
        }
    }

    /// Takes the build from the line and says how long it took.
    pub(super) fn done(self) {
        let told = board()
            .builds
            .iter()
            .find(|e| e.number == self.0)
            .map(|e| format!("  {}: done in {} s", e.name, e.begun.elapsed().as_secs()));
        drop(self);
        if let Some(told) = told {
            say(&told);
        }
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        board().builds.retain(|entry| entry.number != self.0);
    }
}

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(builds: &[Entry]) -> String {
    let longest = builds.iter().map(|e| e.begun.elapsed().as_secs()).max();
    let seconds = longest.unwrap_or_default();
    let each = builds
        .iter()
        .map(|e| format!("{}: {} {}", e.name, e.count, e.unit));
    format!(
        "  {}:{:02}  {}",
        seconds / 60,
        seconds % 60,
        each.collect::<Vec<_>>().join("; ")
    )
}

fn show(line: &str, terminal: bool) {
    if !terminal {
        return say(line);
    }
    let mut stderr = std::io::stderr();
    drop(write!(stderr, "\r{line}\x1b[K"));
    drop(stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_side_by_side_are_in_one_line() {
        let entry = |name: &str, unit, count| Entry {
            number: 0,
            name: name.to_owned(),
            unit,
            count,
            begun: Instant::now(),
        };
        assert_eq!(
            line(&[entry("etcd", "packages", 12), entry("plugin", "crates", 3)]),
            "  0:00  etcd: 12 packages; plugin: 3 crates"
        );
    }
}
