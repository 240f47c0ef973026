//! How schedules are shown.

use std::time::Duration;

use etcd_operations::pack::Wanted;
use etcd_operations::report::ScheduledReport;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::error::Error;
use crate::schedule::{
    OWN_VERSION, Outcome, Place, Run, Schedule, VERSION, annotation, due_after, interval,
};
use crate::views::format::{age, bytes, counted, revision, took};
use crate::views::grid::{Field, Grid, Paint, Tone, field, maybe, painted};
use crate::views::{API_VERSION, Format, View};

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

fn time<S: serde::Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(time),
        None => to.serialize_none(),
    }
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
            .map(|one| format!("cronjob/{} {}\n", one.name, word(one.change)))
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
            text.push_str("the snapshots stay on the masters: kubectl etcd snapshot list\n");
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let names = self.cron_jobs.iter();
        names
            .map(|one| format!("cronjob.batch/{}", one.name))
            .collect()
    }
}

/// CronJobs as `kubectl apply` takes them.
///
/// # Errors
/// When they cannot be written, which would be a fault here.
pub(crate) fn manifests(cron_jobs: &[CronJob], format: Format) -> Result<String, Error> {
    let failed = || Error::failed("the manifests cannot be written");
    let values: Result<Vec<_>, _> = cron_jobs.iter().map(serde_json::to_value).collect();
    let values = values.map_err(|cause| failed().caused_by(cause))?;
    if format == Format::Yaml {
        let texts: Result<Vec<_>, _> = values.iter().map(serde_saphyr::to_string).collect();
        let texts = texts.map_err(|cause| failed().caused_by(cause))?;
        return Ok(texts.join("---\n"));
    }
    let whole = match values.as_slice() {
        [one] => one.clone(),
        _ => json!({"apiVersion": "v1", "kind": "List", "items": values}),
    };
    let text = serde_json::to_string_pretty(&whole);
    text.map(|text| text + "\n")
        .map_err(|cause| failed().caused_by(cause))
}

/// The CronJobs of a schedule, and how their last runs ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleList {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `ScheduleList`.
    pub kind: &'static str,
    /// The namespace of the CronJobs.
    pub namespace: String,
    /// The CronJobs, by name.
    pub cron_jobs: Vec<ShownCronJob>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    #[serde(skip)]
    #[schemars(skip)]
    now: Timestamp,
}

/// A CronJob of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownCronJob {
    /// Its name.
    pub name: String,
    /// The node its runs go to; absent: to any master that is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When it runs, as cron writes it.
    pub cron: String,
    /// In which time zone.
    pub time_zone: String,
    /// Whether it is suspended: it does not run.
    pub suspended: bool,
    /// When it is due next (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    #[schemars(with = "Option<String>")]
    pub next: Option<Timestamp>,
    /// When a run last succeeded (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    #[schemars(with = "Option<String>")]
    pub last_success: Option<Timestamp>,
    /// The last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<ShownRun>,
    /// The newest snapshot its runs are known to have taken, as `NODE/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The folder on the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// How the snapshots are packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packing: Option<String>,
    /// The version of the plugin that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The job image; absent: the carried program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownRun {
    /// When it began (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time")]
    #[schemars(with = "Option<String>")]
    pub begun: Option<Timestamp>,
    /// The node it ran on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How it ended.
    pub result: RunResult,
    /// Why it failed, or what keeps it waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunResult {
    /// It goes on.
    Running,
    /// The snapshot was taken and checked, and older ones were removed.
    Done,
    /// It failed.
    Failed,
}

impl ShownRun {
    fn new(run: &Run) -> Self {
        let (result, problem) = match &run.outcome {
            Outcome::Running(obstacle) => (RunResult::Running, obstacle.clone()),
            Outcome::Done(_) => (RunResult::Done, None),
            Outcome::Failed(why) => (RunResult::Failed, Some(why.clone())),
        };
        Self {
            begun: run.begun,
            node: run.node.clone(),
            result,
            problem,
        }
    }
}

/// A snapshot a run took, as `NODE/NAME`.
fn reference(report: &ScheduledReport) -> String {
    let name = report.snapshot.path.file_name().unwrap_or_default();
    format!("{}/{}", report.node, name.to_string_lossy())
}

impl ScheduleList {
    /// Without CronJobs. Ages are those at `now`.
    pub fn new(namespace: String, now: Timestamp) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "ScheduleList",
            namespace,
            cron_jobs: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            now,
        }
    }

    /// One more, with its runs, the newest first.
    pub(crate) fn add(&mut self, cron_job: &CronJob, runs: &[Run]) {
        let spec = cron_job.spec.clone().unwrap_or_default();
        let metadata = &cron_job.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let zone = spec.time_zone.unwrap_or_else(|| "Etc/UTC".to_owned());
        let suspended = spec.suspend == Some(true);
        let template = spec.job_template.spec.unwrap_or_default().template.spec;
        let status = cron_job.status.clone().unwrap_or_default();
        let done = runs.iter().filter_map(|run| match &run.outcome {
            Outcome::Done(report) => Some((run, report)),
            Outcome::Running(_) | Outcome::Failed(_) => None,
        });
        let snapshot = done.clone().find_map(|(_, report)| report.as_deref());
        let last_done = done.filter_map(|(run, _)| run.begun).max();
        let last_success = status.last_successful_time.map(|time| time.0);
        let last_success = last_success.max(last_done);
        let wanted = Schedule::of(cron_job);
        let version = annotation(metadata, VERSION).map(str::to_owned);
        let shown = ShownCronJob {
            node: template.and_then(|pod| pod.node_name),
            next: due_after(&spec.schedule, &zone, self.now).filter(|_| !suspended),
            last_success,
            last_run: runs.first().map(ShownRun::new),
            snapshot: snapshot.map(reference),
            folder: wanted
                .as_ref()
                .map(|wanted| wanted.folder.display().to_string()),
            packing: wanted
                .as_ref()
                .map(|wanted| packing(wanted.packing).to_owned()),
            image: wanted.and_then(|wanted| wanted.image),
            version,
            suspended,
            time_zone: zone,
            cron: spec.schedule,
            name,
        };
        self.judge(
            &shown,
            runs,
            metadata.creation_timestamp.as_ref().map(|time| time.0),
        );
        self.cron_jobs.push(shown);
    }

    fn judge(&mut self, shown: &ShownCronJob, runs: &[Run], made: Option<Timestamp>) {
        let name = &shown.name;
        // The last run that came to an end: one that goes on says nothing yet.
        let ended = runs
            .iter()
            .find(|run| !matches!(run.outcome, Outcome::Running(_)));
        if let Some(Outcome::Failed(why)) = ended.map(|run| &run.outcome) {
            self.problems
                .push(format!("{name}: the last run failed: {why}"));
        }
        if shown.suspended {
            self.notes
                .push(format!("{name} is suspended: it takes no snapshots"));
        } else if let Some(late) = self.overdue(shown, made) {
            self.problems.push(format!("{name}: {late}"));
        }
        match &shown.version {
            Some(version) if version != OWN_VERSION => self.notes.push(format!(
                "{name} is of version {version}, this plugin of {OWN_VERSION}"
            )),
            Some(_) => {}
            None => self
                .notes
                .push(format!("{name} was not made by this plugin")),
        }
    }

    /// Whether no run succeeded for twice the interval.
    fn overdue(&self, shown: &ShownCronJob, made: Option<Timestamp>) -> Option<String> {
        let interval = interval(&shown.cron, &shown.time_zone, self.now)?;
        let since = shown.last_success.or(made)?;
        let passed = Duration::try_from(self.now.duration_since(since)).ok()?;
        if passed <= interval * 2 {
            return None;
        }
        let (passed, interval) = (age(passed), age(interval));
        Some(match shown.last_success {
            Some(_) => format!(
                "the last run that succeeded was {passed} ago, and one is due every {interval}"
            ),
            None => format!(
                "none has succeeded since it was made {passed} ago, and one is due every {interval}"
            ),
        })
    }

    /// Says that a master lacks its CronJob.
    pub(crate) fn expect(&mut self, place: &Place) {
        let wanted = place.cron_job();
        if let Place::Node { name, .. } = place
            && !self.cron_jobs.iter().any(|one| one.name == wanted)
        {
            self.problems.push(format!(
                "{name} has no CronJob of the schedule for all masters: set the schedule again"
            ));
        }
    }

    /// Whether nothing is wrong.
    pub fn is_in_order(&self) -> bool {
        self.problems.is_empty()
    }

    fn ago(&self, time: Option<Timestamp>) -> Option<String> {
        let passed = self.now.duration_since(time?);
        Duration::try_from(passed)
            .ok()
            .map(|passed| format!("{} ago", age(passed)))
    }

    fn next(&self, one: &ShownCronJob) -> Field {
        if one.suspended {
            return field("suspended").tone(Tone::Warn);
        }
        let until = one.next.map(|next| next.duration_since(self.now));
        maybe(until.and_then(|until| Some(format!("in {}", age(Duration::try_from(until).ok()?)))))
    }

    fn last_run(&self, one: &ShownCronJob) -> Field {
        let Some(run) = &one.last_run else {
            return field("");
        };
        let (word, tone) = match run.result {
            RunResult::Running => ("running", Tone::Plain),
            RunResult::Done => ("ok", Tone::Good),
            RunResult::Failed => ("failed", Tone::Bad),
        };
        let ago = self.ago(run.begun).map(|ago| format!(", {ago}"));
        let node = run.node.as_ref().map(|node| format!(" on {node}"));
        let text = [Some(word.to_owned()), node, ago].into_iter().flatten();
        field(text.collect::<String>()).tone(tone)
    }
}

fn packing(packing: Wanted) -> &'static str {
    match packing {
        Wanted::Plain => "plain",
        Wanted::Zstd { .. } => "zstd",
        Wanted::Bundle { pki: false, .. } => "bundle",
        Wanted::Bundle { pki: true, .. } => "bundle with keys",
    }
}

impl View for ScheduleList {
    fn table(&self, wide: bool, paint: Paint) -> String {
        if self.cron_jobs.is_empty() {
            return format!(
                "there is no schedule in the namespace {}\n  next: kubectl etcd snapshot schedule set --cron '0 3 * * *'\n",
                self.namespace
            );
        }
        let mut grid = Grid::new()
            .text("NAME")
            .text("NODE")
            .text("CRON")
            .text("NEXT")
            .text("LAST SUCCESS")
            .text("LAST RUN")
            .text("SNAPSHOT");
        if wide {
            grid = grid
                .text("TIME ZONE")
                .text("FOLDER")
                .text("PACKED")
                .text("VERSION")
                .text("IMAGE");
        }
        for one in &self.cron_jobs {
            let mut fields = vec![
                field(one.name.as_str()),
                field(one.node.as_deref().unwrap_or("any master")),
                field(one.cron.as_str()),
                self.next(one),
                maybe(self.ago(one.last_success)),
                self.last_run(one),
                maybe(one.snapshot.clone()),
            ];
            if wide {
                fields.push(field(one.time_zone.as_str()));
                fields.push(maybe(one.folder.clone()));
                fields.push(maybe(one.packing.clone()));
                fields.push(maybe(one.version.clone()));
                fields.push(field(one.image.as_deref().unwrap_or("carried")));
            }
            grid.row(fields);
        }
        let mut text = grid.draw(paint);
        for (lines, word, tone) in [
            (&self.problems, "warning", Tone::Warn),
            (&self.notes, "note", Tone::Dim),
        ] {
            for line in lines {
                let line = crate::views::grid::clean(line);
                text.push_str(&format!("{}: {line}\n", painted(word, tone, paint)));
            }
        }
        for one in &self.cron_jobs {
            if let Some(run) = &one.last_run
                && run.result == RunResult::Running
                && let Some(problem) = &run.problem
            {
                let problem = crate::views::grid::clean(problem);
                text.push_str(&format!("{}: the run waits: {problem}\n", one.name));
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        let names = self.cron_jobs.iter();
        names
            .map(|one| format!("cronjob.batch/{}", one.name))
            .collect()
    }
}

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
    pub removed: usize,
    /// How many snapshots are there now.
    pub kept: usize,
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
            removed: report.removed,
            kept: report.kept,
        });
    }
}

impl View for ScheduledRuns {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        let mut text = String::new();
        for run in &self.runs {
            text.push_str(&format!(
                "saved {} ({}, revision {}, in {}); sha256, size and every page checked\n",
                run.snapshot,
                bytes(run.size_bytes),
                revision(run.revision),
                took(Duration::from_millis(run.took_ms))
            ));
            if let Some(why) = &run.instead_of_own {
                text.push_str(&format!(
                    "taken from {}, as its own member is not healthy: {why}\n",
                    run.source
                ));
            }
            let removed = counted(run.removed, "older snapshot");
            text.push_str(&format!(
                "{removed} removed, {} on {}\n",
                counted(run.kept, "snapshot"),
                run.node
            ));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.snapshot.clone()).collect()
    }
}
