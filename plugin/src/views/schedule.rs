//! How schedules are shown.

mod change;
mod list;
mod runs;

use etcd_operations::report::ScheduledReport;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use serde_json::json;

pub use change::{Change, ChangedCronJob, ScheduleChange};
pub use list::{RunResult, ScheduleList, ShownCronJob, ShownRun};
pub use runs::{ScheduledRun, ScheduledRuns};

use crate::views::Format;
use kubectl_etcd_core::error::Error;

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

fn time<S: serde::Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to.collect_str(time),
        None => to.serialize_none(),
    }
}

/// A snapshot a run took, as `NODE/NAME`.
fn reference(report: &ScheduledReport) -> String {
    let name = report.snapshot.path.file_name().unwrap_or_default();
    format!("{}/{}", report.node, name.to_string_lossy())
}

/// CronJobs as `-o name` prints them.
fn names<'n>(names: impl Iterator<Item = &'n String>) -> Vec<String> {
    names.map(|name| format!("cronjob.batch/{name}")).collect()
}
