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

  # Wherever -n was used
  kubectl etcd cleanup -A

What a Job or CronJob still refers to stays, and so do the Jobs of runs that go on.";

/// Remove from the cluster what kubectl etcd left there: Jobs of interrupted runs, and the program it uploaded
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CleanupArgs {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// In all namespaces that have something of kubectl etcd
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    output: NamedOutputArgs,
}

/// Removes leftovers.
///
/// # Errors
/// When the apiserver does not answer or refuses.
pub async fn cleanup(context: &Context<'_>, args: CleanupArgs) -> Result<Verdict, Error> {
    let session = context.open(&FleetArgs::default()).await?;
    let own = session.cluster()?.connection.namespace.clone();
    let namespaces = match args.all_namespaces {
        true => session.namespaces().await?,
        false => [own].into(),
    };
    let mut view = Cleanup::new(args.dry_run);
    for namespace in namespaces {
        let cleaned = session.cleanup(&namespace, args.dry_run).await?;
        view.add(namespace, cleaned);
    }
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}
