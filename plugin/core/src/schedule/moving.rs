//! Schedules that use the carried program follow the plugin: to its version, to the image their nodes have by now, and away
//! from a program that is not what the plugin carries.

use std::collections::BTreeMap;

use etcd_operations::routine::Routine;
use k8s_openapi::api::batch::v1::CronJob;
use kube::Client;

use super::render::routine;
use super::{
    NamedPaths, OWN_VERSION, Place, Schedule, VERSION, annotation, apply, is_newer, is_older, list,
    places, pod_spec_of, render,
};
use crate::carried::carried;
use crate::discovery::{Node, discover, named_volumes};
use crate::outcome::{Notice, NoticeSink};
use crate::runners::payload::{self, Deviation};
use crate::runners::program::{CarriedProgram, Program};
use crate::runners::trouble::api_error;

/// What is wrong with the programs that schedules mount, by the CronJob's name.
pub type Deviations = BTreeMap<String, Vec<Deviation>>;

/// Compares the programs that these schedules mount with what the plugin carries.
///
/// # Errors
/// What the apiserver says.
pub async fn deviations(
    place: payload::Place<'_>,
    cron_jobs: &[CronJob],
) -> kube::Result<Deviations> {
    let mut all = Deviations::new();
    for one in cron_jobs {
        let program = pod_spec_of(one).and_then(CarriedProgram::mounted);
        let Some((program, name)) = program.zip(one.metadata.name.clone()) else {
            continue;
        };
        let deviations = payload::check(place, &carried(), &program).await?;
        if !deviations.is_empty() {
            all.insert(name, deviations);
        }
    }
    Ok(all)
}

/// Whether a CronJob runs no image of its own and mounts no program that could be compared either: another version's, or not
/// what it is taken for.
pub fn is_unchecked(cron_job: &CronJob) -> bool {
    let program = pod_spec_of(cron_job).and_then(CarriedProgram::mounted);
    let mounts_none = program.is_none_or(|program| program.config_maps.is_empty());
    mounts_none && Schedule::of(cron_job).is_none_or(|schedule| schedule.image.is_none())
}

/// A CronJob that moves.
struct Move {
    namespace: String,
    schedule: Schedule,
    place: Place,
    /// What is said of it.
    to: String,
}

/// Moves the schedules of a namespace for which that is due, when the program has just been uploaded. Errors are for the
/// next time.
pub(crate) async fn move_known(
    client: &Client,
    namespace: &str,
    program: &CarriedProgram,
    notices: &NoticeSink,
) {
    let known = async { futures::try_join!(list(client, namespace), discover(client)) };
    match known.await {
        Ok((cron_jobs, found)) => {
            let program = async || Ok(Program::Carried(program.clone()));
            let none = Deviations::new();
            move_due(client, &cron_jobs, &none, &found.nodes, program, notices).await;
        }
        Err(error) => tracing::debug!(%error, "schedules were not looked at"),
    }
}

/// Moves those of these schedules for which that is due, and says so; whether any was. `program` gives the one that was
/// compared. A schedule that cannot be moved stays as it is.
pub async fn move_due(
    client: &Client,
    cron_jobs: &[CronJob],
    deviations: &Deviations,
    nodes: &[Node],
    program: impl AsyncFnOnce() -> Result<Program, String>,
    notices: &NoticeSink,
) -> bool {
    let named = match named_paths(client, cron_jobs).await {
        Ok(named) => named,
        Err(error) => {
            tracing::debug!(%error, "the static pods were not looked at");
            return false;
        }
    };
    let due: Vec<Move> = cron_jobs
        .iter()
        .filter_map(|one| due(one, deviations, nodes, &named))
        .collect();
    if due.is_empty() {
        return false;
    }
    let stays = |one: &Move, why: &str| {
        let (name, to) = (one.place.cron_job(), &one.to);
        notices(Notice::Warning(format!(
            "schedule {name} was not moved to {to}: {why}"
        )));
    };
    let program = match program().await {
        Ok(program) => program,
        Err(why) => {
            due.iter().for_each(|one| stays(one, &why));
            return false;
        }
    };
    let mut moved = false;
    for one in &due {
        let rendered = render(&one.schedule, &one.place, &program, &one.namespace);
        match apply(client, &one.namespace, &rendered, cron_jobs, false).await {
            Ok(_) => {
                moved = true;
                let (name, to) = (one.place.cron_job(), &one.to);
                notices(Notice::Told(
                    format!("schedule {name} moved to {to}").into(),
                ));
            }
            Err(error) => stays(one, &api_error("replacing its CronJob", error).message),
        }
    }
    moved
}

/// What flags of static pods name, where one of these schedules packs that.
async fn named_paths(client: &Client, cron_jobs: &[CronJob]) -> kube::Result<NamedPaths> {
    let schedules = cron_jobs.iter().filter_map(Schedule::of);
    if schedules.into_iter().any(|one| one.packing.has_keys()) {
        return named_volumes(client).await;
    }
    Ok(NamedPaths::new())
}

/// What a CronJob becomes when it moves to this version of the carried program, to a copy of it that was compared, or to
/// the image its nodes have by now; none: it stays. One of a newer version stays.
fn due(
    cron_job: &CronJob,
    deviations: &Deviations,
    nodes: &[Node],
    named: &NamedPaths,
) -> Option<Move> {
    let schedule = Schedule::of(cron_job)?;
    if schedule.image.is_some() {
        return None;
    }
    let rendered_by = annotation(&cron_job.metadata, VERSION)?;
    let name = cron_job.metadata.name.as_ref()?;
    let place = places(schedule.masters, nodes, named)
        .into_iter()
        .find(|place| place.cron_job() == *name && place.is_uniform())?;
    let to = if is_newer(rendered_by) {
        return None;
    } else if is_older(rendered_by) {
        format!("version {OWN_VERSION}")
    } else if deviations.contains_key(name) {
        format!("the program of this plugin, version {OWN_VERSION}")
    } else if !has_image(cron_job, &place) {
        format!("the image {}", place.image().unwrap_or_default())
    } else if has_other_nodes(cron_job, &schedule, &place) {
        "the control-plane nodes of today".to_owned()
    } else {
        return None;
    };
    Some(Move {
        namespace: cron_job.metadata.namespace.clone().unwrap_or_default(),
        schedule,
        place,
        to,
    })
}

/// Whether the image of a CronJob is certainly where its runs go. Where that is one of several nodes, one that some node
/// has is left as it is: in the middle of an upgrade no image is on all of them.
fn has_image(cron_job: &CronJob, place: &Place) -> bool {
    let image = pod_spec_of(cron_job).and_then(|pod| pod.containers.first()?.image.as_ref());
    place.image().is_none() || place.images().any(|there| Some(there) == image)
}

/// Whether its runs are told of other etcds than there are now.
fn has_other_nodes(cron_job: &CronJob, schedule: &Schedule, place: &Place) -> bool {
    let args = pod_spec_of(cron_job).and_then(|pod| pod.containers.first()?.args.as_ref());
    let written = args.and_then(|args| serde_json::from_str::<Routine>(args.last()?).ok());
    written.is_none_or(|written| written.etcd != routine(schedule, place).etcd)
}
