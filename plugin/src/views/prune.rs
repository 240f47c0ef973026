//! How the removal of stored snapshots is shown.

use etcd_operations::report::{Fate, PruneReport, PrunedSnapshot, Reason};
use etcd_operations::snapshot_name::SnapshotName;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, Tone, field, maybe, one_line};
use crate::views::stored::{Unreached, age_at};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::{bytes, counted};

/// What was removed on request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `SnapshotDeletion`.
    pub kind: &'static str,
    /// What was removed, as `NODE/NAME`.
    pub removed: Vec<String>,
}

impl Deleted {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            api_version: API_VERSION,
            kind: "SnapshotDeletion",
            removed: Vec::new(),
        }
    }

    /// What a node removed.
    pub fn add(&mut self, node: &str, names: &[SnapshotName]) {
        let names = names.iter().map(|name| format!("{node}/{name}"));
        self.removed.extend(names);
    }
}

impl View for Deleted {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        self.removed
            .iter()
            .map(|name| format!("{} removed\n", one_line(name)))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        self.removed.clone()
    }
}

/// What rules say of stored snapshots, and what was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `SnapshotPrune`.
    pub kind: &'static str,
    /// Whether it was only asked what would be done.
    pub dry_run: bool,
    /// The snapshots: those that are not judged, then the newest first.
    pub snapshots: Vec<Judged>,
    /// The nodes that could not be asked.
    pub unreached: Vec<Unreached>,
    #[serde(skip)]
    #[schemars(skip)]
    now: Timestamp,
}

/// A snapshot and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The node.
    pub node: String,
    /// The file's name.
    pub name: String,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// When it was begun (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// What becomes of it.
    pub fate: JudgedFate,
    /// The rules that keep it: `newest`, `last`, `daily`, `weekly`, `within`, `in-future`.
    pub kept_by: Vec<String>,
    /// Why it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    taken: Option<Timestamp>,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JudgedFate {
    /// A rule keeps it.
    Stays,
    /// No rule keeps it: it is removed, or would be with `dryRun`.
    Goes,
    /// It was removed.
    Removed,
    /// It is not verified, or not ours.
    LeftAlone,
}

impl Prune {
    /// Of no snapshots yet.
    pub fn new(dry_run: bool, now: Timestamp) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "SnapshotPrune",
            dry_run,
            snapshots: Vec::new(),
            unreached: Vec::new(),
            now,
        }
    }

    /// What a node said.
    pub fn add(&mut self, node: &str, report: &PruneReport) {
        let judged = |one: &PrunedSnapshot| {
            let removed = report.removed.contains(&one.name);
            let (fate, kept_by, problem) = match &one.fate {
                Fate::Stays { reasons } => {
                    let words = reasons.iter().map(|reason| word(*reason).to_owned());
                    (JudgedFate::Stays, words.collect(), None)
                }
                Fate::Goes if removed => (JudgedFate::Removed, Vec::new(), None),
                Fate::Goes => (JudgedFate::Goes, Vec::new(), None),
                Fate::Untouched { why } => (JudgedFate::LeftAlone, Vec::new(), Some(why.clone())),
            };
            Judged {
                node: node.to_owned(),
                name: one.name.to_string(),
                size_bytes: one.size_bytes,
                taken_at: one.taken_at.map(|at| at.to_string()),
                fate,
                kept_by,
                problem,
                taken: one.taken_at,
            }
        };
        self.snapshots.extend(report.snapshots.iter().map(judged));
    }

    /// A node that could not be asked.
    pub fn unknown(&mut self, node: &str, problem: String) {
        self.unreached.push(Unreached {
            node: node.to_owned(),
            problem,
        });
    }

    fn with(&self, fate: JudgedFate) -> (usize, u64) {
        let of = self.snapshots.iter().filter(|one| one.fate == fate);
        of.fold((0, 0), |(n, size), one| (n + 1, size + one.size_bytes))
    }

    fn summary(&self) -> String {
        let (going, going_bytes) = self.with(JudgedFate::Goes);
        let (removed, removed_bytes) = self.with(JudgedFate::Removed);
        let (stay, _) = self.with(JudgedFate::Stays);
        let stay = format!("{} kept", counted(stay, "snapshot"));
        if removed > 0 {
            format!(
                "{} removed ({}), {stay}",
                counted(removed, "snapshot"),
                bytes(removed_bytes)
            )
        } else if going > 0 {
            format!(
                "{} would be removed ({}), {stay}",
                counted(going, "snapshot"),
                bytes(going_bytes)
            )
        } else {
            format!("nothing to remove, {stay}")
        }
    }
}

fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Newest => "newest",
        Reason::Last => "last",
        Reason::Daily => "daily",
        Reason::Weekly => "weekly",
        Reason::Within => "within",
        Reason::InFuture => "in-future",
    }
}

impl View for Prune {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("NODE|NAME|>AGE|>SIZE|KEPT BY");
        for one in &self.snapshots {
            let fate = match one.fate {
                JudgedFate::Stays => field(one.kept_by.join(", ")),
                JudgedFate::Goes => field("no rule").tone(Tone::Warn),
                JudgedFate::Removed => field("removed").tone(Tone::Warn),
                JudgedFate::LeftAlone => field("left alone").tone(Tone::Dim),
            };
            grid.row(vec![
                field(one.node.as_str()),
                field(one.name.as_str()),
                maybe(age_at(self.now, one.taken)),
                field(bytes(one.size_bytes)),
                fate,
            ]);
        }
        let mut text = if self.snapshots.is_empty() {
            String::new()
        } else {
            grid.draw(paint)
        };
        text.push_str(&self.summary());
        text.push('\n');
        for one in &self.snapshots {
            if let Some(problem) = &one.problem {
                let line = format!("{}/{}: left alone: {problem}", one.node, one.name);
                text.push_str(&(one_line(&line) + "\n"));
            }
        }
        for node in &self.unreached {
            let line = format!("{}: not asked: {}", node.node, node.problem);
            text.push_str(&(one_line(&line) + "\n"));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let gone = |one: &&Judged| matches!(one.fate, JudgedFate::Goes | JudgedFate::Removed);
        let gone = self.snapshots.iter().filter(gone);
        gone.map(|one| format!("{}/{}", one.node, one.name))
            .collect()
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use etcd_operations::report::KeptSnapshot;

    use super::*;
    use crate::views::stored::tests::{now, verified};
    use crate::views::{Format, render};

    pub(crate) fn prune() -> Prune {
        let judged = |one: KeptSnapshot, fate| PrunedSnapshot {
            taken_at: one.snapshot.as_ref().map(|s| s.taken_at),
            name: one.name,
            size_bytes: one.size_bytes,
            fate,
        };
        let mut view = Prune::new(true, now());
        let reasons = vec![Reason::Newest, Reason::Daily];
        view.add(
            "cp-1",
            &PruneReport {
                snapshots: vec![
                    judged(
                        verified("x.db", "2026-11-19T03:00:00Z"),
                        Fate::Untouched {
                            why: "nothing describes it".into(),
                        },
                    ),
                    judged(
                        verified("b.db", "2026-11-21T03:00:00Z"),
                        Fate::Stays { reasons },
                    ),
                    judged(verified("a.db", "2026-11-20T03:00:00Z"), Fate::Goes),
                ],
                removed: Vec::new(),
            },
        );
        view.unknown("cp-3", "the kubelet does not answer".into());
        view
    }

    #[test]
    fn rules_are_shown_with_what_they_keep() {
        insta::assert_snapshot!(render(&prune(), Format::Table, Paint::PLAIN).unwrap());
        assert_eq!(prune().names(), ["cp-1/a.db"]);
    }
}
