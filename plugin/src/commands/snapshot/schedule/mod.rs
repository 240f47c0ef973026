//! `kubectl etcd snapshot schedule`

pub mod remove;
pub mod run_now;
pub mod set;
pub mod show;

use clap::{Args, Subcommand};
use k8s_openapi::api::batch::v1::CronJob;
use kube::Client;

use crate::commands::Context;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::outcome::{Notice, run_error};
use kubectl_etcd_core::runners::trouble::api_error;
use kubectl_etcd_core::schedule::{self as schedules, Deviations};
use kubectl_etcd_core::session::Session;

const EXAMPLES: &str = "\
Examples:
  # Every night at three, on a control-plane node that is up; what no rule keeps is removed
  kubectl etcd snapshot schedule set --cron '0 3 * * *' --keep-last 7 --keep-weekly 8

  # Did it run?
  kubectl etcd snapshot schedule show

A schedule is a CronJob, or one for each control-plane node. Each run takes a snapshot from a \
healthy member, checks it, stores it on the node, and then removes older ones.";

/// Snapshots on a schedule: CronJobs on the control-plane nodes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ScheduleArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Set(set::SetArgs),
    Show(show::ShowArgs),
    RunNow(run_now::RunNowArgs),
    Remove(remove::RemoveArgs),
}

/// Does what was typed.
///
/// # Errors
/// As the command does.
pub async fn schedule(context: &Context<'_>, args: ScheduleArgs) -> Result<Verdict, Error> {
    match args.action {
        Action::Set(args) => set::set(context, args).await,
        Action::Show(args) => show::show(context, args).await,
        Action::RunNow(args) => run_now::run_now(context, args).await,
        Action::Remove(args) => remove::remove(context, args).await,
    }
}

/// What the apiserver refused or failed to do with a schedule.
fn trouble(doing: &str, error: kube::Error) -> Error {
    if let kube::Error::Api(status) = &error
        && status.is_invalid()
    {
        return Error::usage(format!("the apiserver refuses it: {}", status.message));
    }
    run_error("schedule", &api_error(doing, error))
}

/// Where CronJobs are made and read: the client and the namespace.
fn ground(session: &Session) -> Result<(&Client, &str), Error> {
    let connection = &session.cluster()?.connection;
    Ok((&connection.control, &connection.namespace))
}

async fn listed(session: &Session) -> Result<Vec<CronJob>, Error> {
    let (client, namespace) = ground(session)?;
    let all = schedules::list(client, namespace).await;
    all.map_err(|error| trouble("listing CronJobs", error))
}

/// The schedules, after those that lag behind this plugin, or mount something else than its program, were moved to what it
/// carries; and what is wrong with the programs of the others.
async fn current(session: &Session) -> Result<(Vec<CronJob>, Deviations), Error> {
    let cluster = session.cluster()?;
    let cron_jobs = listed(session).await?;
    let compared = async |cron_jobs: &[CronJob]| {
        let compared = schedules::deviations(cluster.place(), cron_jobs).await;
        compared.map_err(|error| trouble("comparing the program of the schedules", error))
    };
    let deviations = compared(&cron_jobs).await?;
    for foreign in deviations.values().flatten().filter(|one| one.is_foreign()) {
        (session.notices())(Notice::Warning(foreign.to_string()));
    }
    let program = async || {
        let program = cluster.program().await;
        program.cloned().map_err(|error| error.message)
    };
    let client = &cluster.connection.control;
    let nodes = session.nodes();
    let notices = session.notices();
    if schedules::move_due(client, &cron_jobs, &deviations, nodes, program, notices).await {
        let moved = listed(session).await?;
        let deviations = compared(&moved).await?;
        return Ok((moved, deviations));
    }
    Ok((cron_jobs, deviations))
}

fn name(cron_job: &CronJob) -> &str {
    cron_job.metadata.name.as_deref().unwrap_or_default()
}
