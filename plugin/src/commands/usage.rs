//! `kubectl etcd usage`

use clap::Args;
use etcd_operations::operation;

use super::{Context, answered_survey, node_named};
use crate::args::{FleetArgs, OutputArgs};
use crate::views::usage::{By, Usage};
use kubectl_etcd_core::assess::LAG_ENTRIES;
use kubectl_etcd_core::assess::order::snapshot_sources;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};

const EXAMPLES: &str = "\
Examples:
  # What fills etcd, by resource?
  kubectl etcd usage

  # Which namespaces, which objects?
  kubectl etcd usage --by namespace
  kubectl etcd usage --by object --top 20

The database is read on one node as a snapshot stream; nothing of it is stored or leaves the node.";

/// Show what fills the database of the live cluster: by resource, namespace or object; what is live and what is history
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UsageArgs {
    #[command(flatten)]
    shown: ShownArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// What of a usage is shown.
#[derive(Debug, Clone, Args)]
pub struct ShownArgs {
    /// What to add up by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Resource)]
    pub(crate) by: By,
    /// How many of the largest to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,
}

/// Adds up the database of one member.
///
/// # Errors
/// When no member can give its database.
pub async fn usage(context: &Context<'_>, args: UsageArgs) -> Result<Verdict, Error> {
    let session = context.open(&args.fleet).await?;
    let (_, status) = answered_survey(&session, &args.fleet).await?;
    // Read as a snapshot is: best from a follower, which the apiservers' leader does not feel.
    let node = snapshot_sources(&status, LAG_ENTRIES)
        .into_iter()
        .find_map(|row| node_named(&session, row.node.as_deref()?))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NothingReached,
                format!("no member can be read: {}", status.summary),
            )
        })?;
    let request = operation::Usage {
        top: args.shown.top,
    };
    let report = session.ask(node, &request).await?;
    let view = Usage::of_member(node.name.clone(), &report, args.shown.by, args.shown.top);
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}
