//! How the CronJobs of a schedule are shown.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use schemars::JsonSchema;
use serde::Serialize;

use super::{names, reference, time};
use crate::views::grid::{Field, Grid, Paint, Tone, clean, field, maybe, painted};
use crate::views::packed::Packing;
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::age;
use kubectl_etcd_core::schedule::{
    Judgement, Outcome, Run, Schedule, VERSION, annotation, due_after, last_success,
};

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
    /// The node its runs go to; absent: to any control-plane node that is up.
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
    pub packing: Option<Packing>,
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
            Outcome::Done => (RunResult::Done, None),
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

    /// One more, with its runs, the newest first, and what is to be said of them.
    pub(crate) fn add(&mut self, cron_job: &CronJob, runs: &[Run], judgement: Judgement) {
        let spec = cron_job.spec.clone().unwrap_or_default();
        let metadata = &cron_job.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let zone = spec.time_zone.unwrap_or_else(|| "Etc/UTC".to_owned());
        let suspended = spec.suspend == Some(true);
        let template = spec.job_template.spec.unwrap_or_default().template.spec;
        let snapshot = runs.iter().find_map(|run| run.report.as_deref());
        let wanted = Schedule::of(cron_job);
        let version = annotation(metadata, VERSION).map(str::to_owned);
        let shown = ShownCronJob {
            node: template.and_then(|pod| pod.node_name),
            next: due_after(&spec.schedule, &zone, self.now).filter(|_| !suspended),
            last_success: last_success(cron_job, runs),
            last_run: runs.first().map(ShownRun::new),
            snapshot: snapshot.map(reference),
            folder: wanted
                .as_ref()
                .map(|wanted| wanted.folder.display().to_string()),
            packing: wanted.as_ref().map(|wanted| wanted.packing.into()),
            image: wanted.and_then(|wanted| wanted.image),
            version,
            suspended,
            time_zone: zone,
            cron: spec.schedule,
            name,
        };
        self.cron_jobs.push(shown);
        self.problems.extend(judgement.problems);
        self.notes.extend(judgement.notes);
    }

    /// Something else that is wrong.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
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

impl ScheduleList {
    fn row(&self, one: &ShownCronJob, wide: bool) -> Vec<Field> {
        let mut fields = vec![
            field(one.name.as_str()),
            field(one.node.as_deref().unwrap_or("any")),
            field(one.cron.as_str()),
            self.next(one),
            maybe(self.ago(one.last_success)),
            self.last_run(one),
            maybe(one.snapshot.clone()),
        ];
        if wide {
            fields.push(field(one.time_zone.as_str()));
            fields.push(maybe(one.folder.clone()));
            fields.push(maybe(one.packing.map(Packing::in_words)));
            fields.push(maybe(one.version.clone()));
            fields.push(field(one.image.as_deref().unwrap_or("carried")));
        }
        fields
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
        let mut grid = Grid::new("NAME|NODE|CRON|NEXT|LAST SUCCESS|LAST RUN|SNAPSHOT")
            .and(wide, "TIME ZONE|FOLDER|PACKED|VERSION|IMAGE");
        for one in &self.cron_jobs {
            grid.row(self.row(one, wide));
        }
        let mut text = grid.draw(paint);
        for (lines, word, tone) in [
            (&self.problems, "warning", Tone::Warn),
            (&self.notes, "note", Tone::Dim),
        ] {
            for line in lines {
                let line = clean(line);
                text.push_str(&format!("{}: {line}\n", painted(word, tone, paint)));
            }
        }
        for one in &self.cron_jobs {
            if let Some(run) = &one.last_run
                && run.result == RunResult::Running
                && let Some(problem) = &run.problem
            {
                let problem = clean(problem);
                text.push_str(&format!("{}: the run waits: {problem}\n", one.name));
            }
        }
        text
    }

    fn names(&self) -> Vec<String> {
        names(self.cron_jobs.iter().map(|one| &one.name))
    }
}
