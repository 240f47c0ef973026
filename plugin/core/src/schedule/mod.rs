//! Snapshots on a schedule: what was wanted, and the CronJobs that do it.
//!
//! Everything that was wanted stands in an annotation of each CronJob, so that a later version of the plugin can render
//! it anew. The CronJobs and their Jobs have no label of a run of the plugin: no cleanup takes them for leftovers.

mod cron;
#[cfg(any(test, feature = "testing"))]
#[expect(clippy::unwrap_used, reason = "made up for tests")]
pub mod fixtures;
mod history;
mod judge;
mod moving;
mod render;
mod store;

use std::cmp::Ordering;
use std::path::PathBuf;

use etcd_operations::pack::Wanted;
use etcd_operations::stored::retention::Rules;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cron::{due_after, interval};
pub use history::{Outcome, Run, newest_runs, obstacle};
pub use judge::{Judgement, judge, lacking, last_success};
pub(crate) use moving::move_known;
pub use moving::{Deviations, deviations, is_unchecked, move_due};
pub use render::{NamedPaths, Place, is_kubernetes_own, places, render};
pub use store::{Applied, apply, list, promised, remove, runs, start};

/// Label of everything that belongs to a schedule, with the value [`SNAPSHOTS`]; and the annotation of a CronJob with
/// what was wanted.
pub(crate) const SCHEDULE: &str = "kubectl-etcd/schedule";
/// What the schedules are of.
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// Annotation: the version of the plugin that rendered a CronJob.
pub const VERSION: &str = "kubectl-etcd/version";
/// This plugin's version.
pub(crate) const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// On how many control-plane nodes each run takes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Masters {
    /// On one that is up, which the scheduler picks.
    One,
    /// On each of them.
    All,
}

/// What was wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// When, as cron writes it.
    pub cron: String,
    /// In which time zone.
    pub time_zone: String,
    /// Where.
    pub masters: Masters,
    /// The folder on the nodes.
    pub folder: PathBuf,
    /// What the snapshots' names begin with.
    pub prefix: String,
    /// How they are packed.
    #[serde(default, skip_serializing_if = "Wanted::is_plain")]
    pub packing: Wanted,
    /// What is kept of those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// The job image; none: the carried program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Secrets it is pulled with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
    /// The keys of taints of the control-plane nodes' own, for a run on whichever of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<String>,
    /// How long a run may take, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

impl Schedule {
    /// What was wanted of a CronJob; none: it is none of ours, or one that this version cannot read.
    pub fn of(cron_job: &CronJob) -> Option<Self> {
        let text = annotation(&cron_job.metadata, SCHEDULE)?;
        serde_json::from_str(text).ok()
    }
}

/// An annotation's value.
pub fn annotation<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    let all = metadata.annotations.as_ref()?;
    all.get(key).map(String::as_str)
}

/// What the runs of a CronJob's Jobs are.
pub fn pod_spec_of(cron_job: &CronJob) -> Option<&PodSpec> {
    let job = cron_job.spec.as_ref()?.job_template.spec.as_ref()?;
    job.template.spec.as_ref()
}

/// Whether a version is older than this plugin's; one that cannot be read is not.
pub(crate) fn is_older(version: &str) -> bool {
    compared(version) == Some(Ordering::Less)
}

/// Whether a version is newer than this plugin's; one that cannot be read is not.
pub(crate) fn is_newer(version: &str) -> bool {
    compared(version) == Some(Ordering::Greater)
}

fn compared(version: &str) -> Option<Ordering> {
    let own = semver::Version::parse(OWN_VERSION).ok()?;
    Some(semver::Version::parse(version).ok()?.cmp(&own))
}

#[cfg(test)]
mod tests;
