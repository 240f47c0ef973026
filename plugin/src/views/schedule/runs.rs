//! How runs that were asked for are shown.

use std::time::Duration;

use etcd_operations::report::ScheduledReport;
use schemars::JsonSchema;
use serde::Serialize;

use super::reference;
use crate::views::grid::{Paint, one_line};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::{bytes, counted, revision, took};

/// Runs that were asked for and took their snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledRuns {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `ScheduledRuns`.
    pub kind: &'static str,
    /// The runs.
    pub runs: Vec<ScheduledRun>,
}

/// A run, and the snapshot it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledRun {
    /// The CronJob.
    pub cron_job: String,
    /// The node on which the snapshot is kept.
    pub node: String,
    /// Its path there.
    pub path: String,
    /// Its name, as other commands take it: `NODE/NAME`.
    pub snapshot: String,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// Its sha256.
    pub sha256: String,
    /// Its revision.
    pub revision: i64,
    /// When it was begun (RFC 3339).
    pub taken_at: String,
    /// How long it took to take and check, in milliseconds.
    pub took_ms: u64,
    /// The client URL of the member it was taken from.
    pub source: String,
    /// Why it was not taken from the node's own member; absent: it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead_of_own: Option<String>,
    /// What belongs into its bundle and is not in it, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// How many older snapshots were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<usize>,
    /// How many snapshots are there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<usize>,
    /// Why older ones were not removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_pruned: Option<String>,
}

impl ScheduledRuns {
    /// None yet.
    pub fn new() -> Self {
        Self {
            api_version: API_VERSION,
            kind: "ScheduledRuns",
            runs: Vec::new(),
        }
    }

    /// One more.
    pub fn add(&mut self, cron_job: &str, report: &ScheduledReport) {
        let snapshot = &report.snapshot;
        self.runs.push(ScheduledRun {
            cron_job: cron_job.to_owned(),
            node: report.node.clone(),
            path: snapshot.path.display().to_string(),
            snapshot: reference(report),
            size_bytes: snapshot.size_bytes,
            sha256: snapshot.sha256.clone(),
            revision: snapshot.revision,
            taken_at: snapshot.taken_at.to_string(),
            took_ms: snapshot.took_ms,
            source: report.source.clone(),
            instead_of_own: report.instead_of_own.clone(),
            left_out: report
                .left_out
                .iter()
                .map(|left| format!("{}: {}", left.path, left.why))
                .collect(),
            removed: report.pruned.ok().map(|pruned| pruned.removed),
            kept: report.pruned.ok().map(|pruned| pruned.kept),
            not_pruned: report.pruned.failure().map(ToString::to_string),
        });
    }
}

impl View for ScheduledRuns {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        let mut text = String::new();
        for run in &self.runs {
            text.push_str(&format!(
                "saved {} ({}, revision {}, in {}); sha256, size and every page checked\n",
                one_line(&run.snapshot),
                bytes(run.size_bytes),
                revision(run.revision),
                took(Duration::from_millis(run.took_ms))
            ));
            if let Some(why) = &run.instead_of_own {
                let line = format!(
                    "taken from {}, as its own member is not healthy: {why}",
                    run.source
                );
                text.push_str(&(one_line(&line) + "\n"));
            }
            if let (Some(removed), Some(kept)) = (run.removed, run.kept) {
                let (removed, kept) = (
                    counted(removed, "older snapshot"),
                    counted(kept, "snapshot"),
                );
                text.push_str(&format!(
                    "{removed} removed, {kept} on {}\n",
                    one_line(&run.node)
                ));
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.snapshot.clone()).collect()
    }
}
