//! `kubectl etcd snapshot schedule show`

use clap::Args;
use jiff::Timestamp;

use super::{current, ground, trouble};
use crate::args::{FleetArgs, NamedOutputArgs};
use crate::commands::Context;
use crate::views::schedule::ScheduleList;
use kubectl_etcd_core::connection::clock;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::schedule::{
    Masters, NamedPaths, Schedule, is_unchecked, judge, lacking, newest_runs, places, runs,
};

const EXAMPLES: &str = "\
Examples:
  kubectl etcd snapshot schedule show

  # In a check: exit code 3 when the last run failed or none succeeded for twice the interval
  kubectl etcd snapshot schedule show -o json

Exit codes: 0 in order, or there is no schedule; 3 a run failed, one is overdue, or a \
control-plane node has none.";

/// Show the schedule: when it runs next, when it last succeeded, and how the last run ended
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    #[command(flatten)]
    output: NamedOutputArgs,
}

/// Shows the CronJobs and their last runs.
///
/// # Errors
/// When the apiserver does not tell.
pub async fn show(context: &Context<'_>, args: ShowArgs) -> Result<Verdict, Error> {
    let session = context.open(&FleetArgs::default()).await?;
    let (client, namespace) = ground(&session)?;
    let (cron_jobs, known, ahead) = futures::join!(
        current(&session),
        runs(client, namespace),
        clock::ahead(client)
    );
    let (cron_jobs, deviations) = cron_jobs?;
    let (jobs, pods) = known.map_err(|error| trouble("listing the runs", error))?;
    // Times in the cluster are the apiserver's.
    let now = ahead.map_or_else(Timestamp::now, clock::now);
    let mut view = ScheduleList::new(namespace.to_owned(), now);
    for cron_job in &cron_jobs {
        let name = super::name(cron_job);
        let runs = newest_runs(&cron_job.metadata, &jobs, &pods);
        let mut judgement = judge(cron_job, &runs, now);
        let deviations = deviations.get(name).into_iter().flatten();
        judgement
            .problems
            .extend(deviations.map(|deviation| format!("{name}: {deviation}")));
        if is_unchecked(cron_job) {
            let problem = format!("{name}: its program is of another version: not checked");
            judgement.problems.push(problem);
        }
        view.add(cron_job, &runs, judgement);
    }
    let on_all = cron_jobs
        .iter()
        .any(|one| Schedule::of(one).is_some_and(|wanted| wanted.masters == Masters::All));
    if on_all {
        let places = places(Masters::All, session.nodes(), &NamedPaths::new());
        let lacking = places.iter().filter_map(|place| lacking(place, &cron_jobs));
        lacking.for_each(|problem| view.problem(problem));
    }
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::of(view.problems.is_empty()))
}
