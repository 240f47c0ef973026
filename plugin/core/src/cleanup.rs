//! Leftovers: what killed runs could not remove themselves, and parts of programs that nothing uses any more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};

use crate::connection::{chain, clock};
use crate::error::Error;
use crate::owner::{OWNER_ANNOTATION, Process};
use crate::runners::payload::{Parts, all_parts};
use crate::runners::podspec::{APP, DEADLINE_ANNOTATION, RUN_LABEL};
use crate::viewers;

/// A pod whose deletion is not confirmed so long after its time is removed from the API alone.
const STUCK_SECONDS: i64 = 60;

/// For so long after a part was brought its first Jobs may be on their way: only `cleanup` removes it then.
const YOUNG_SECONDS: i64 = 600;

/// What a cleanup removed, and what it left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleaned {
    /// Jobs and Pods of runs that are over, as `job/NAME` and `pod/NAME`.
    pub removed: Vec<String>,
    /// ConfigMaps with a program, as `configmap/NAME`.
    pub programs: Vec<String>,
    /// Jobs and Pods of runs that still go on, with who runs them.
    pub in_use: Vec<String>,
    /// ConfigMaps with a program that a schedule refers to: they stay.
    pub kept: Vec<String>,
}

/// Removes leftovers: Jobs and Pods of runs that are over, and the carried program where no Job or CronJob refers to
/// it. With `dry_run` it only says what it would remove.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn clean_up(
    client: &Client,
    namespace: &str,
    dry_run: bool,
) -> Result<Cleaned, Error> {
    let failed = |error: kube::Error| {
        Error::failed(format!(
            "cleaning up in the namespace {namespace}: {}",
            chain(&error)
        ))
    };
    let mut cleaned = dead_runs(client, namespace, dry_run)
        .await
        .map_err(failed)?;
    // After the dead Jobs are gone they refer to nothing.
    let gone: Vec<_> = cleaned
        .removed
        .iter()
        .filter_map(|name| name.strip_prefix("job/"))
        .map(str::to_owned)
        .collect();
    let unused = unused_parts(client, namespace, &gone)
        .await
        .map_err(failed)?;
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    cleaned.kept = unused
        .scheduled
        .into_iter()
        .map(|name| format!("configmap/{name}"))
        .collect();
    for name in unused.parts.into_keys() {
        if !dry_run {
            ignore_missing(api.delete(&name, &DeleteParams::default()).await).map_err(failed)?;
        }
        cleaned.programs.push(format!("configmap/{name}"));
    }
    Ok(cleaned)
}

/// The namespaces with something of ours in them.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn namespaces(client: &Client) -> Result<BTreeSet<String>, Error> {
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={APP}"));
    let (parts, jobs, pods) = (
        Api::<ConfigMap>::all(client.clone()),
        Api::<Job>::all(client.clone()),
        Api::<Pod>::all(client.clone()),
    );
    let found = futures::try_join!(
        parts.list_metadata(&ours),
        jobs.list_metadata(&ours),
        pods.list_metadata(&ours)
    );
    let (parts, jobs, pods) = found
        .map_err(|error| Error::failed(format!("looking in all namespaces: {}", chain(&error))))?;
    let parts = parts.items.into_iter().map(|item| item.metadata);
    let jobs = jobs.items.into_iter().map(|item| item.metadata);
    let pods = pods.items.into_iter().map(|item| item.metadata);
    let all = parts.chain(jobs).chain(pods);
    Ok(all.filter_map(|meta| meta.namespace).collect())
}

/// Removes what dead runs left; errors are for the next time.
pub(crate) async fn remove_dead_runs(client: &Client, namespace: &str) -> Vec<String> {
    dead_runs(client, namespace, false)
        .await
        .map(|cleaned| cleaned.removed)
        .unwrap_or_default()
}

/// Removes the parts of other versions than `keep` that nothing refers to and nobody has just brought; errors are for
/// the next time.
pub(crate) async fn remove_old_parts(
    client: &Client,
    namespace: &str,
    keep: &[String],
) -> Vec<String> {
    let Ok(unused) = unused_parts(client, namespace, &[]).await else {
        return Vec::new();
    };
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let now = clock::ahead(client).await.map(clock::now);
    let mut removed = Vec::new();
    for (name, brought) in unused.parts {
        if keep.contains(&name) || is_young(brought, now) {
            continue;
        }
        if api.delete(&name, &DeleteParams::default()).await.is_ok() {
            removed.push(name);
        }
    }
    removed
}

/// Whether somebody may be about to use a part. Without a clock everything is young.
fn is_young(brought: Option<Timestamp>, now: Option<Timestamp>) -> bool {
    let age = now
        .zip(brought)
        .map(|(now, brought)| now.as_second() - brought.as_second());
    age.is_none_or(|age| age < YOUNG_SECONDS)
}

async fn dead_runs(client: &Client, namespace: &str, dry_run: bool) -> kube::Result<Cleaned> {
    let jobs = Api::<Job>::namespaced(client.clone(), namespace);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    // Only what a run of the plugin made has its run's label; scheduled Jobs are their CronJob's.
    let params = ListParams::default()
        .labels(&format!("app.kubernetes.io/name={APP},{RUN_LABEL}"))
        .match_any();
    let (job_list, pod_list) =
        futures::try_join!(jobs.list_metadata(&params), pods.list_metadata(&params))?;
    let delete = DeleteParams::background().grace_period(0);
    // Without the apiserver's clock nobody's time is up.
    let now = clock::ahead(client).await.map(clock::now);
    let mut cleaned = Cleaned::default();
    for meta in job_list.items.into_iter().map(|item| item.metadata) {
        let name = meta.name.clone().unwrap_or_default();
        if !is_dead(&meta, now) {
            cleaned.in_use.push(in_use("job", &name, &meta));
            continue;
        }
        if !dry_run {
            ignore_missing(jobs.delete(&name, &delete).await)?;
        }
        cleaned.removed.push(format!("job/{name}"));
    }
    for meta in pod_list.items.into_iter().map(|item| item.metadata) {
        let name = meta.name.clone().unwrap_or_default();
        if let Some(deleted) = &meta.deletion_timestamp {
            // It goes by itself, unless its kubelet is dead and never confirms that.
            if now.is_none_or(|now| now.as_second() - deleted.0.as_second() < STUCK_SECONDS) {
                continue;
            }
        } else if meta
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.kind == "Job")
        {
            // It goes with its Job.
            continue;
        } else if !is_dead(&meta, now) {
            cleaned.in_use.push(in_use("pod", &name, &meta));
            continue;
        }
        if !dry_run {
            ignore_missing(pods.delete(&name, &delete).await)?;
        }
        cleaned.removed.push(format!("pod/{name}"));
    }
    Ok(cleaned)
}

/// Whether the run an object belongs to is over for certain: its process has ended on this machine, or its time is up
/// wherever it ran.
fn is_dead(meta: &ObjectMeta, now: Option<Timestamp>) -> bool {
    let annotation = |key| meta.annotations.as_ref().and_then(|all| all.get(key));
    match Process::of(meta.annotations.as_ref()) {
        Some(process) if process.is_this() => return false,
        Some(process) if process.has_ended() => return true,
        Some(_) | None => {}
    }
    let deadline: Option<i64> =
        annotation(DEADLINE_ANNOTATION).and_then(|seconds| seconds.parse().ok());
    let created = meta.creation_timestamp.as_ref();
    let age = now
        .zip(created)
        .map(|(now, created)| now.as_second() - created.0.as_second());
    deadline
        .zip(age)
        .is_some_and(|(deadline, age)| age > deadline)
}

fn in_use(kind: &str, name: &str, meta: &ObjectMeta) -> String {
    let owner = meta
        .annotations
        .as_ref()
        .and_then(|all| all.get(OWNER_ANNOTATION));
    let owner = owner.map_or("somebody", String::as_str);
    format!("{kind}/{name} of {owner}")
}

/// The carried parts that may be removed, and those that a schedule keeps.
#[derive(Debug, Default)]
struct Unused {
    parts: Parts,
    scheduled: Vec<String>,
}

/// The carried parts that no Job (but those that are gone), Pod or CronJob refers to.
async fn unused_parts(
    client: &Client,
    namespace: &str,
    gone_jobs: &[String],
) -> kube::Result<Unused> {
    let all = ListParams::default();
    let jobs = Api::<Job>::namespaced(client.clone(), namespace);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={APP}"));
    let cron_jobs = Api::<CronJob>::namespaced(client.clone(), namespace);
    // Not from the cache: a Job made a moment ago counts.
    let present = all_parts(client, namespace).await?;
    let Some(mut used) = of_viewers(client, namespace).await else {
        return Ok(Unused::default());
    };
    let (jobs, cron_jobs, pods) =
        futures::try_join!(jobs.list(&all), cron_jobs.list(&all), pods.list(&ours))?;
    // Those that are not a Job's; a Job's were just looked at, or go with it.
    let alone = |pod: &Pod| pod.metadata.owner_references.is_none();
    let pods = pods.items.into_iter().filter(alone);
    used.extend(
        pods.filter_map(|pod| pod.spec)
            .flat_map(|spec| referred(&spec)),
    );
    for job in jobs.items {
        if job
            .metadata
            .name
            .as_ref()
            .is_some_and(|name| gone_jobs.contains(name))
        {
            continue;
        }
        used.extend(
            job.spec
                .and_then(|spec| spec.template.spec)
                .iter()
                .flat_map(referred),
        );
    }
    let mut scheduled = BTreeSet::new();
    for cron_job in cron_jobs.items {
        let template = cron_job.spec.and_then(|spec| spec.job_template.spec);
        scheduled.extend(
            template
                .and_then(|spec| spec.template.spec)
                .iter()
                .flat_map(referred),
        );
    }
    let (scheduled, others): (Parts, Parts) = present
        .into_iter()
        .partition(|(name, _)| scheduled.contains(name));
    Ok(Unused {
        parts: others
            .into_iter()
            .filter(|(name, _)| !used.contains(name))
            .collect(),
        scheduled: scheduled.into_keys().collect(),
    })
}

/// The parts that viewers may run, by their policy. None: that cannot be told, so any part may be one.
async fn of_viewers(client: &Client, namespace: &str) -> Option<BTreeSet<String>> {
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let name = viewers::policy_name(namespace);
    let policy = match policies.get_metadata_opt(&name).await {
        Ok(Some(policy)) => policy.metadata,
        Ok(None) => return Some(BTreeSet::new()),
        // A cluster that is too old for such policies does not know the path.
        Err(kube::Error::Api(status)) if status.code == 404 => return Some(BTreeSet::new()),
        Err(error) => {
            tracing::debug!(%error, "the viewers' policy was not read");
            return None;
        }
    };
    let annotations = policy.annotations.unwrap_or_default();
    let program = annotations.get(viewers::PROGRAM_ANNOTATION)?;
    Some(program.split(',').map(str::to_owned).collect())
}

/// The ConfigMaps a pod mounts.
fn referred(spec: &PodSpec) -> Vec<String> {
    let volumes = spec.volumes.iter().flatten();
    volumes
        .flat_map(|volume| {
            let plain = volume.config_map.iter().map(|source| source.name.clone());
            let projected = volume
                .projected
                .iter()
                .flat_map(|projected| projected.sources.iter().flatten());
            let projected =
                projected.filter_map(|source| Some(source.config_map.as_ref()?.name.clone()));
            plain.chain(projected).collect::<Vec<_>>()
        })
        .collect()
}

pub(crate) fn ignore_missing<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "cleanup_tests.rs"]
mod tests;
