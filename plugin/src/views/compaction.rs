//! How a compaction is shown: planned, done, or not needed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::advice::worded;
use crate::views::grid::Paint;
use crate::views::{API_VERSION, View};
use etcd_operations::advice;
use etcd_operations::advice::Task;
use etcd_operations::report::CompactReport;
use kubectl_etcd_core::format::{age, bytes, revision, took};

/// What is to be or was compacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compaction {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Compaction`.
    pub kind: &'static str,
    /// How far it is.
    pub state: State,
    /// The oldest revision that can be read before; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_revision: Option<i64>,
    /// The newest revision.
    pub current_revision: i64,
    /// The oldest revision that can be read afterwards; absent: nothing is compacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// When that revision was written; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_at: Option<String>,
    /// How long ago that is, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// The node whose member was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What was in use of that member's database before, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use_before_bytes: Option<u64>,
    /// What is in use of it now, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use_after_bytes: Option<u64>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// How far a compaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing is old enough.
    NotNeeded,
    /// Only the plan is shown.
    DryRun,
    /// It has not begun.
    Planned,
    /// It is done.
    Done,
}

impl Compaction {
    /// One of a history that ends at this revision.
    pub fn new(state: State, current_revision: i64) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Compaction",
            state,
            oldest_revision: None,
            current_revision,
            revision: None,
            written_at: None,
            age_seconds: None,
            node: None,
            in_use_before_bytes: None,
            in_use_after_bytes: None,
            took_ms: None,
        }
    }

    /// The same, done.
    #[must_use]
    pub fn done(self, node: String, report: &CompactReport) -> Self {
        Self {
            state: State::Done,
            node: Some(node),
            in_use_before_bytes: report.in_use_before_bytes,
            in_use_after_bytes: report.in_use_after_bytes,
            took_ms: Some(report.took_ms),
            ..self
        }
    }

    /// The history as it is, where nothing of it is removed.
    fn kept(&self) -> String {
        let current = revision(self.current_revision);
        match self.oldest_revision {
            Some(oldest) => format!(
                "nothing to compact: the history is the revisions {} to {current}, and none is known to be older than asked for\n",
                revision(oldest)
            ),
            None => format!("nothing to compact: the newest revision is {current}\n"),
        }
    }

    fn removed(&self, to: i64) -> String {
        match self.oldest_revision {
            Some(oldest) => format!(
                "revisions {} to {} ({} revisions), of objects that changed or went since",
                revision(oldest),
                revision(to),
                revision(to - oldest)
            ),
            None => format!(
                "all before revision {}, of objects that changed or went since",
                revision(to)
            ),
        }
    }

    fn written(&self) -> Option<String> {
        let (at, seconds) = (self.written_at.as_ref()?, self.age_seconds?);
        let ago = age(Duration::from_secs(seconds));
        Some(format!("{at}, {ago} ago"))
    }
}

impl View for Compaction {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        let Some(to) = self.revision else {
            return self.kept();
        };
        let mut lines = vec![
            ("Removed", self.removed(to)),
            ("Written", self.written().unwrap_or_default()),
        ];
        match self.state {
            State::Done => {
                let sizes = self.in_use_before_bytes.zip(self.in_use_after_bytes);
                let in_use = |(before, after)| format!("{}, was {}", bytes(after), bytes(before));
                lines.push(("In use", sizes.map(in_use).unwrap_or_default()));
                let done = self.took_ms.map(Duration::from_millis).map(took);
                lines.push(("Took", done.unwrap_or_default()));
            }
            State::NotNeeded | State::DryRun | State::Planned => {
                let kept = self.current_revision - to;
                lines.push((
                    "Kept",
                    format!(
                        "{} newer revisions, and every object as it is",
                        revision(kept)
                    ),
                ));
                lines.push((
                    "Noticed",
                    "watches and paged lists that began at an older revision begin anew".to_owned(),
                ));
            }
        }
        lines.push((
            "Next",
            worded(&advice![
                Task::Defragment,
                ", which alone makes the database files smaller"
            ]),
        ));
        let told = lines.iter().filter(|(_, text)| !text.is_empty());
        told.map(|(name, text)| format!("{name:<9}{text}\n"))
            .collect()
    }

    fn is_dry_run(&self) -> bool {
        self.state == State::DryRun
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::views::table;

    pub(crate) fn samples() -> [Compaction; 3] {
        let planned = Compaction {
            oldest_revision: Some(9_000_000),
            revision: Some(9_118_204),
            written_at: Some("2026-11-21T19:00:12Z".to_owned()),
            age_seconds: Some(1_830),
            ..Compaction::new(State::DryRun, 9_120_000)
        };
        let report = CompactReport {
            member_id: kubectl_etcd_core::assess::fixtures::id(1),
            revision: 9_118_204,
            in_use_before_bytes: Some(400 << 20),
            in_use_after_bytes: Some(61 << 20),
            took_ms: 1_300,
        };
        let done = planned.clone().done("cp-1".to_owned(), &report);
        let kept = Compaction {
            oldest_revision: Some(9_118_204),
            ..Compaction::new(State::NotNeeded, 9_120_000)
        };
        [planned, done, kept]
    }

    #[test]
    fn a_plan_says_what_goes_and_what_follows_within_100_columns() {
        let [planned, done, kept] = samples().map(|view| table(&view, false, Paint::PLAIN));
        assert!(
            planned.starts_with(
                "Removed  revisions 9,000,000 to 9,118,204 (118,204 revisions), of objects"
            ),
            "{planned}"
        );
        assert!(
            planned.contains("Written  2026-11-21T19:00:12Z, 30m ago\n"),
            "{planned}"
        );
        assert!(
            planned.ends_with("dry run: nothing was done\n"),
            "{planned}"
        );
        assert!(done.contains("In use   61 MiB, was 400 MiB\n"), "{done}");
        assert!(kept.starts_with("nothing to compact"), "{kept}");
        for line in planned.lines().chain(done.lines()) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
