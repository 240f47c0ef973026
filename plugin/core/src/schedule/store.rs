//! The CronJobs of a schedule in the cluster.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};

use super::judge::promise;
use super::{SCHEDULE, SNAPSHOTS};
use crate::assess::Scheduled;
use crate::cleanup::ignore_missing;
use crate::owner;
use crate::runners::podspec::APP;

/// The longest name of a Job.
const LONGEST_NAME: usize = 63;

/// What became of a CronJob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is new.
    Created,
    /// It was another one before.
    Updated,
    /// It was the same before.
    Unchanged,
}

fn api(client: &Client, namespace: &str) -> Api<CronJob> {
    Api::namespaced(client.clone(), namespace)
}

fn ours() -> ListParams {
    ListParams::default().labels(&format!(
        "app.kubernetes.io/name={APP},{SCHEDULE}={SNAPSHOTS}"
    ))
}

/// The CronJobs of schedules in a namespace, by name.
///
/// # Errors
/// What the apiserver says.
pub async fn list(client: &Client, namespace: &str) -> kube::Result<Vec<CronJob>> {
    let mut all = api(client, namespace).list(&ours()).await?.items;
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    Ok(all)
}

/// What the schedules that are not suspended promise, from the apiserver's cache.
///
/// # Errors
/// What the apiserver says.
pub async fn promised(
    client: &Client,
    namespace: &str,
    now: Timestamp,
) -> kube::Result<Vec<Scheduled>> {
    let all = api(client, namespace).list(&ours().match_any()).await?;
    let promise = |one: &CronJob| promise(one, now);
    Ok(all.items.iter().filter_map(promise).collect())
}

/// The Jobs of schedules and their Pods.
///
/// # Errors
/// What the apiserver says.
pub async fn runs(client: &Client, namespace: &str) -> kube::Result<(Vec<Job>, Vec<Pod>)> {
    let jobs = Api::<Job>::namespaced(client.clone(), namespace);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let params = ours();
    let (jobs, pods) = futures::try_join!(jobs.list(&params), pods.list(&params))?;
    Ok((jobs.items, pods.items))
}

/// Makes a CronJob what it is to be. With `dry_run` the apiserver only says what would become of it.
///
/// # Errors
/// What the apiserver says: that what stands in it is invalid, for one.
pub async fn apply(
    client: &Client,
    namespace: &str,
    wanted: &CronJob,
    before: &[CronJob],
    dry_run: bool,
) -> kube::Result<Applied> {
    let name = wanted.metadata.name.clone().unwrap_or_default();
    let mut params = PatchParams::apply(APP).force();
    params.dry_run = dry_run;
    let applied = api(client, namespace)
        .patch(&name, &params, &Patch::Apply(wanted))
        .await?;
    let mut same_name = before.iter().map(|one| &one.metadata);
    let before = same_name.find(|metadata| metadata.name == wanted.metadata.name);
    Ok(match before {
        None => Applied::Created,
        // A dry run does not count generations up, but says what would stand there.
        Some(before) if is_same(before, &applied.metadata) => Applied::Unchanged,
        Some(_) => Applied::Updated,
    })
}

fn is_same(before: &ObjectMeta, after: &ObjectMeta) -> bool {
    before.resource_version == after.resource_version
        || (before.generation == after.generation
            && before.annotations == after.annotations
            && before.labels == after.labels)
}

/// Removes a CronJob with its Jobs. That it is gone already is fine.
///
/// # Errors
/// What the apiserver says.
pub async fn remove(client: &Client, namespace: &str, name: &str) -> kube::Result<()> {
    let gone = api(client, namespace)
        .delete(name, &DeleteParams::background())
        .await;
    ignore_missing(gone)
}

/// Starts a run of a CronJob now, as `kubectl create job --from` does; gives the Job's name. Somebody waits for it, so
/// it is not tried again.
///
/// # Errors
/// What the apiserver says.
pub async fn start(client: &Client, namespace: &str, cron_job: &CronJob) -> kube::Result<String> {
    let of = cron_job.metadata.name.clone().unwrap_or_default();
    let id = owner::run_id();
    let kept: String = of.chars().take(LONGEST_NAME - 5 - id.len()).collect();
    let name = format!("{kept}-now-{id}");
    let template = cron_job.spec.clone().map(|spec| spec.job_template);
    let template = template.unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert("cronjob.kubernetes.io/instantiate".into(), "manual".into());
    let mut spec = template.spec.unwrap_or_default();
    spec.backoff_limit = Some(0);
    let job = Job {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: metadata.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".into(),
                kind: "CronJob".into(),
                name: of,
                uid: cron_job.metadata.uid.clone().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        ..Job::default()
    };
    Api::<Job>::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), &job)
        .await?;
    Ok(name)
}
