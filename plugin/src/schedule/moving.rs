//! Schedules that use the carried program follow the plugin: to its version, and to the image their masters have by now.

use k8s_openapi::api::batch::v1::CronJob;
use kube::Client;

use super::{
    OWN_VERSION, Place, Schedule, VERSION, annotation, apply, is_older, list, places, render,
};
use crate::discovery::{Node, discover};
use crate::outcome::{Notice, NoticeSink};
use crate::runners::carry;
use crate::runners::program::Program;
use crate::runners::trouble::api_error;

/// A CronJob, and what it becomes.
struct Move {
    rendered: CronJob,
    /// What is said of it.
    to: String,
}

/// Moves the schedules of a namespace for which that is due, when the program has just been brought in. Errors are for
/// the next time.
pub(crate) async fn move_known(client: &Client, namespace: &str, notices: &NoticeSink) {
    let known = async { futures::try_join!(list(client, namespace), discover(client, None)) };
    match known.await {
        Ok((cron_jobs, found)) => {
            let bring = async || Ok(());
            move_due(client, &cron_jobs, &found.nodes, bring, notices).await;
        }
        Err(error) => tracing::debug!(%error, "schedules were not looked at"),
    }
}

/// Moves those of these schedules for which that is due, and says so; whether any was. `bring` sees to it that the
/// program is in the cluster. A schedule that cannot be moved goes on as it is.
pub(crate) async fn move_due(
    client: &Client,
    cron_jobs: &[CronJob],
    nodes: &[Node],
    bring: impl AsyncFnOnce() -> Result<(), String>,
    notices: &NoticeSink,
) -> bool {
    let due: Vec<Move> = cron_jobs.iter().filter_map(|one| due(one, nodes)).collect();
    if due.is_empty() {
        return false;
    }
    let name = |one: &Move| one.rendered.metadata.name.clone().unwrap_or_default();
    let stays = |one: &Move, why: &str| {
        let (name, to) = (name(one), &one.to);
        notices(Notice::Warning(format!(
            "schedule {name} was not moved to {to}: {why}"
        )));
    };
    if let Err(why) = bring().await {
        due.iter().for_each(|one| stays(one, &why));
        return false;
    }
    let mut moved = false;
    for one in &due {
        let namespace = one.rendered.metadata.namespace.as_deref();
        let namespace = namespace.unwrap_or_default();
        match apply(client, namespace, &one.rendered, cron_jobs, false).await {
            Ok(_) => {
                moved = true;
                let (name, to) = (name(one), &one.to);
                notices(Notice::Told(format!("schedule {name} moved to {to}")));
            }
            Err(error) => stays(one, &api_error("replacing its CronJob", &error).message),
        }
    }
    moved
}

/// What a CronJob becomes when it moves to this version of the carried program or to the image its masters have by now;
/// none: it stays. One of a newer version stays.
fn due(cron_job: &CronJob, nodes: &[Node]) -> Option<Move> {
    let schedule = Schedule::of(cron_job)?;
    if schedule.image.is_some() {
        return None;
    }
    let rendered_by = annotation(&cron_job.metadata, VERSION)?;
    let name = cron_job.metadata.name.as_ref()?;
    let place = places(schedule.masters, nodes)
        .into_iter()
        .find(|place| place.cron_job() == *name)?;
    let to = if is_older(rendered_by) {
        format!("version {OWN_VERSION}")
    } else if rendered_by == OWN_VERSION && !has_image(cron_job, &place, nodes) {
        format!("the image {}", place.image().map_or("", String::as_str))
    } else {
        return None;
    };
    let namespace = cron_job.metadata.namespace.as_deref().unwrap_or_default();
    let program = Program::Carried(carry::program(&crate::carried::carried()));
    Some(Move {
        rendered: render(&schedule, &place, &program, namespace),
        to,
    })
}

/// Whether the image of a CronJob is certainly where its runs go. Where that is one of several masters, one that some
/// master has is left as it is: in the middle of an upgrade no image is on all of them.
fn has_image(cron_job: &CronJob, place: &Place, nodes: &[Node]) -> bool {
    let template = cron_job
        .spec
        .as_ref()
        .and_then(|spec| spec.job_template.spec.as_ref());
    let pod = template.and_then(|spec| spec.template.spec.as_ref());
    let image = pod.and_then(|pod| pod.containers.first()?.image.as_ref());
    match place {
        Place::Node { image: there, .. } => there.is_none() || there.as_ref() == image,
        Place::AnyMaster { image: None } => true,
        Place::AnyMaster { .. } => nodes
            .iter()
            .filter_map(Node::target)
            .any(|target| target.image.as_ref() == image),
    }
}
