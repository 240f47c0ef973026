//! What became of the runs of a schedule, from their Jobs and Pods.

use etcd_operations::report::{Report, ScheduledReport};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::runners::output::last_line;
use crate::runners::trouble::{Stage, stage};

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// When its Job was made.
    pub begun: Option<Timestamp>,
    /// The node it ran on, as far as it came to one.
    pub node: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it told of the snapshot it took, as far as its Pod still does.
    pub report: Option<Box<ScheduledReport>>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It goes on; what keeps it from that, if something does.
    Running(Option<String>),
    /// The snapshot was taken, and what was to go is gone.
    Done,
    /// It failed, for this reason.
    Failed(String),
}

/// The runs of a CronJob, the newest first.
pub fn newest_runs(cron_job: &ObjectMeta, jobs: &[Job], pods: &[Pod]) -> Vec<Run> {
    let mut of_it: Vec<&Job> = jobs
        .iter()
        .filter(|job| owned_by(&job.metadata, "CronJob", cron_job))
        .collect();
    of_it.sort_by_key(|job| std::cmp::Reverse(begun(job)));
    of_it.into_iter().map(|job| run(job, pods)).collect()
}

/// Whether an object is of this very owner: another one of the same name was deleted before, or somebody made it up.
fn owned_by(metadata: &ObjectMeta, kind: &str, owner: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|told| {
        told.kind == kind
            && owner.name.as_ref() == Some(&told.name)
            && owner.uid.as_ref() == Some(&told.uid)
    })
}

fn begun(job: &Job) -> Option<Timestamp> {
    job.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn run(job: &Job, pods: &[Pod]) -> Run {
    let mut tries: Vec<&Pod> = pods
        .iter()
        .filter(|pod| owned_by(&pod.metadata, "Job", &job.metadata))
        .collect();
    tries.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    // The one that succeeded, else the last.
    let succeeded = tries.iter().find(|pod| phase(pod) == Some("Succeeded"));
    let pod = succeeded.or(tries.last()).copied();
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    // What a Job comes to is said before all its Pods are gone.
    let comes_to = |kinds: [&str; 2]| {
        let mut all = conditions.into_iter().flatten();
        all.find(|condition| condition.status == "True" && kinds.contains(&&*condition.type_))
    };
    let outcome = if comes_to(["Complete", "SuccessCriteriaMet"]).is_some() || succeeded.is_some() {
        Outcome::Done
    } else if let Some(failed) = comes_to(["Failed", "FailureTarget"]) {
        Outcome::Failed(why(failed, pod))
    } else {
        Outcome::Running(pod.and_then(obstacle))
    };
    Run {
        begun: begun(job),
        node: pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone()),
        outcome,
        report: pod.and_then(report),
    }
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// What the container left as its last words.
fn last_words(pod: &Pod) -> Option<&str> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ended = statuses.first()?.state.as_ref()?.terminated.as_ref()?;
    ended.message.as_deref().filter(|text| !text.is_empty())
}

fn report(pod: &Pod) -> Option<Box<ScheduledReport>> {
    match last_line(last_words(pod)?) {
        Some(Ok(Report::Scheduled(report))) => Some(Box::new(report)),
        _ => None,
    }
}

/// Why a Job failed: its program's own words before those of Kubernetes.
fn why(condition: &JobCondition, pod: Option<&Pod>) -> String {
    let words = pod.and_then(|pod| last_words(pod));
    let told = match words.and_then(last_line) {
        Some(Err(error)) => Some(error.message),
        Some(Ok(Report::Scheduled(report))) => report.not_pruned(),
        Some(Ok(_)) | None => None,
    };
    if let Some(told) = told {
        return told;
    }
    if let Some(obstacle) = pod.and_then(obstacle) {
        return obstacle;
    }
    let last = words.and_then(|text| text.lines().next_back());
    let said = last.or(condition.message.as_deref());
    said.or(condition.reason.as_deref())
        .unwrap_or("no reason is told")
        .to_owned()
}

/// What keeps a Pod from running.
pub fn obstacle(pod: &Pod) -> Option<String> {
    if let Some(Err(error)) = last_words(pod).and_then(last_line) {
        return Some(error.message);
    }
    let status = pod.status.as_ref()?;
    let unbound = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unbound {
        let message = condition.message.as_deref().unwrap_or("no node takes it");
        return Some(format!("not scheduled: {message}"));
    }
    match stage(pod) {
        Stage::Trouble(error) => Some(error.message),
        Stage::Unheard => Some("its node has not taken it".to_owned()),
        Stage::Starting | Stage::Started => None,
    }
}
