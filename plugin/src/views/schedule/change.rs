//! How what became of a schedule is shown.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{names, time};
use crate::views::grid::{Paint, one_line};
use crate::views::{API_VERSION, View};

/// What became of the CronJobs of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleChange {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `ScheduleChange`.
    pub kind: &'static str,
    /// Whether nothing was done and only would be.
    pub dry_run: bool,
    /// The namespace of the CronJobs.
    pub namespace: String,
    /// The CronJobs.
    pub cron_jobs: Vec<ChangedCronJob>,
    /// When the schedule is due next (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    #[schemars(with = "Option<String>")]
    pub next: Option<Timestamp>,
}

/// A CronJob, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedCronJob {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: Change,
}

/// What became of a CronJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is new.
    Created,
    /// It was another one before.
    Updated,
    /// It was the same before.
    Unchanged,
    /// It is gone.
    Removed,
}

impl ScheduleChange {
    /// Of no CronJob yet.
    pub fn new(dry_run: bool, namespace: String) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "ScheduleChange",
            dry_run,
            namespace,
            cron_jobs: Vec::new(),
            next: None,
        }
    }

    /// One more.
    pub fn add(&mut self, name: &str, change: Change) {
        self.cron_jobs.push(ChangedCronJob {
            name: name.to_owned(),
            change,
        });
    }
}

impl View for ScheduleChange {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        if self.cron_jobs.is_empty() {
            return format!("there is no schedule in the namespace {}\n", self.namespace);
        }
        let word = |change| match (change, self.dry_run) {
            (Change::Created, false) => "created",
            (Change::Updated, false) => "updated",
            (Change::Unchanged, false) => "unchanged",
            (Change::Removed, false) => "removed",
            (Change::Created, true) => "would be created",
            (Change::Updated, true) => "would be updated",
            (Change::Unchanged, true) => "would stay as it is",
            (Change::Removed, true) => "would be removed",
        };
        let lines = self.cron_jobs.iter();
        let mut text: String = lines
            .map(|one| format!("cronjob/{} {}\n", one_line(&one.name), word(one.change)))
            .collect();
        if let Some(next) = self.next {
            text.push_str(&format!("next run: {next}\n"));
        }
        if self
            .cron_jobs
            .iter()
            .all(|one| one.change == Change::Removed)
            && !self.dry_run
        {
            text.push_str("the snapshots stay on the nodes: kubectl etcd snapshot list\n");
        }
        text
    }

    fn names(&self) -> Vec<String> {
        names(self.cron_jobs.iter().map(|one| &one.name))
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}
