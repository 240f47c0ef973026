//! `kubectl etcd cleanup`

use clap::Args;

use super::Context;
use crate::args::{FleetArgs, NamedOutputArgs};
use crate::views::cleanup::Cleanup;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # Remove what interrupted runs left, and the program the plugin uploaded
  kubectl etcd cleanup

  # What would be removed?
  kubectl etcd cleanup --dry-run

What a Job or CronJob still refers to stays, and so do the Jobs of runs that go on.";

/// Remove from the cluster what kubectl etcd left there: Jobs of interrupted runs, and the program it uploaded
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CleanupArgs {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: NamedOutputArgs,
}

/// Removes leftovers.
///
/// # Errors
/// When the apiserver does not answer or refuses.
pub async fn cleanup(context: &Context<'_>, args: CleanupArgs) -> Result<Verdict, Error> {
    let session = context.open(&FleetArgs::default()).await?;
    let cleaned = session.cleanup(args.dry_run).await?;
    let namespace = session.cluster()?.connection.namespace.clone();
    let view = Cleanup::new(args.dry_run, namespace, cleaned);
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}
