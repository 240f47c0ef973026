//! `kubectl etcd snapshot schedule remove`

use clap::Args;

use super::{ground, listed, name, trouble};
use crate::args::{FleetArgs, NamedOutputArgs};
use crate::commands::Context;
use crate::views::schedule::{Change, ScheduleChange};
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::format::counted;
use kubectl_etcd_core::schedule::remove as take_away;

const EXAMPLES: &str = "\
Examples:
  kubectl etcd snapshot schedule remove

The snapshots stay on the nodes: `kubectl etcd snapshot list` shows them.
Exit codes: 0 removed or not there, 5 not confirmed.";

/// Remove the schedule: its CronJobs and their Jobs, and no snapshot
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RemoveArgs {
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    output: NamedOutputArgs,
}

/// Removes the CronJobs.
///
/// # Errors
/// When the answer to the question is no, or the apiserver refuses.
pub async fn remove(context: &Context<'_>, args: RemoveArgs) -> Result<Verdict, Error> {
    let session = context.open(&FleetArgs::default()).await?;
    let (client, namespace) = ground(&session)?;
    let all = listed(&session).await?;
    let mut view = ScheduleChange::new(false, namespace.to_owned());
    if !all.is_empty() {
        if !args.yes {
            for one in &all {
                context.ui.say(&format!("cronjob/{}", name(one)));
            }
        }
        let number = counted(all.len(), "CronJob");
        let question = format!("Remove {number}? No more snapshots will be taken.");
        context.ui.confirm(&question, args.yes).await?;
    }
    for one in &all {
        let removed = take_away(client, namespace, name(one)).await;
        removed.map_err(|error| trouble("removing a CronJob", error))?;
        view.add(name(one), Change::Removed);
    }
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}
