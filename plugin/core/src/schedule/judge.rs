//! What is wrong with a schedule.

use std::path::Path;
use std::time::Duration;

use etcd_operations::stored::FOLDER;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;

use super::{OWN_VERSION, Outcome, Place, Run, Schedule, VERSION, annotation, interval};
use crate::assess::Scheduled;
use crate::format::age;

/// What is to be said of a CronJob of a schedule.
#[derive(Debug, Default)]
pub struct Judgement {
    /// What is wrong.
    pub problems: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// What a CronJob promises; none: it is suspended, or cannot be understood.
pub(super) fn promise(cron_job: &CronJob, now: Timestamp) -> Option<Scheduled> {
    let spec = cron_job.spec.as_ref()?;
    let zone = spec.time_zone.as_deref().unwrap_or("Etc/UTC");
    let pod = spec
        .job_template
        .spec
        .as_ref()
        .and_then(|job| job.template.spec.as_ref());
    Some(Scheduled {
        name: cron_job.metadata.name.clone()?,
        node: pod.and_then(|pod| pod.node_name.clone()),
        interval: interval(&spec.schedule, zone, now).filter(|_| spec.suspend != Some(true))?,
        made: cron_job.metadata.creation_timestamp.as_ref()?.0,
        last_success: by_kubernetes(cron_job),
        in_usual_folder: Schedule::of(cron_job)
            .is_some_and(|wanted| wanted.folder == Path::new(FOLDER)),
    })
}

fn by_kubernetes(cron_job: &CronJob) -> Option<Timestamp> {
    let status = cron_job.status.as_ref()?;
    Some(status.last_successful_time.as_ref()?.0)
}

/// When a run last succeeded.
pub fn last_success(cron_job: &CronJob, runs: &[Run]) -> Option<Timestamp> {
    let done = runs
        .iter()
        .filter(|run| matches!(run.outcome, Outcome::Done));
    by_kubernetes(cron_job).max(done.filter_map(|run| run.begun).max())
}

/// What is to be said of a CronJob and its runs, the newest first.
pub fn judge(cron_job: &CronJob, runs: &[Run], now: Timestamp) -> Judgement {
    let mut judgement = Judgement::default();
    let name = cron_job.metadata.name.as_deref().unwrap_or_default();
    // The last run that came to an end: one that goes on says nothing yet.
    let ended = runs
        .iter()
        .find(|run| !matches!(run.outcome, Outcome::Running(_)));
    if let Some(Outcome::Failed(why)) = ended.map(|run| &run.outcome) {
        let problem = format!("{name}: the last run failed: {why}");
        judgement.problems.push(problem);
    }
    let suspended = cron_job.spec.as_ref().and_then(|spec| spec.suspend);
    if suspended == Some(true) {
        let note = format!("{name} is suspended: it takes no snapshots");
        judgement.notes.push(note);
    }
    if let Some(late) = overdue(cron_job, runs, now) {
        judgement.problems.push(format!("{name}: {late}"));
    }
    match annotation(&cron_job.metadata, VERSION) {
        Some(version) if version != OWN_VERSION => judgement.notes.push(format!(
            "{name} is of version {version}, this plugin of {OWN_VERSION}"
        )),
        Some(_) => {}
        None => judgement
            .notes
            .push(format!("{name} was not made by this plugin")),
    }
    judgement
}

fn overdue(cron_job: &CronJob, runs: &[Run], now: Timestamp) -> Option<String> {
    let promise = promise(cron_job, now)?;
    let last = last_success(cron_job, runs);
    let since = now.duration_since(last.unwrap_or(promise.made));
    let since = Duration::try_from(since)
        .ok()
        .filter(|since| promise.is_late(*since))?;
    let (passed, interval) = (age(since), age(promise.interval));
    Some(match last {
        Some(_) => {
            format!("the last run that succeeded was {passed} ago, and one is due every {interval}")
        }
        None => format!(
            "none has succeeded since it was made {passed} ago, and one is due every {interval}"
        ),
    })
}

/// What to say of a node that lacks its CronJob of a schedule for all control-plane nodes.
pub fn lacking(place: &Place, cron_jobs: &[CronJob]) -> Option<String> {
    let name = place.node.as_ref()?;
    let wanted = place.cron_job();
    let there = |one: &CronJob| one.metadata.name.as_deref() == Some(&*wanted);
    (!cron_jobs.iter().any(there)).then(|| {
        format!("{name} has no CronJob of the schedule for all control-plane nodes: set the schedule again")
    })
}
