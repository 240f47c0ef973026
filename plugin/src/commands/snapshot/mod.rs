//! `kubectl etcd snapshot`

mod destination;
pub mod inspect;
pub mod restore;
pub mod save;
pub mod schedule;
pub mod stored;
pub mod usage;
pub mod verify;

use clap::{Args, Subcommand};

use super::Context;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # A snapshot of the cluster in the current folder, checked to the last byte
  kubectl etcd snapshot save

  # Is that file still what etcd sent?
  kubectl etcd snapshot verify etcd-prod-2026-11-21T150000Z.db

  # Which snapshots are kept on the control-plane nodes?
  kubectl etcd snapshot list

`verify`, `inspect`, `usage` and `restore` of files need no cluster.";

/// Take snapshots, keep them, and check, look into and restore them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Save(save::SaveArgs),
    List(stored::list::ListArgs),
    Get(stored::get::GetArgs),
    Delete(stored::delete::DeleteArgs),
    Prune(stored::prune::PruneArgs),
    Schedule(schedule::ScheduleArgs),
    Verify(verify::VerifyArgs),
    Inspect(inspect::InspectArgs),
    Usage(usage::UsageArgs),
    Restore(restore::RestoreArgs),
}

/// Does what was typed.
///
/// # Errors
/// As the command does.
pub async fn snapshot(context: &Context<'_>, args: SnapshotArgs) -> Result<Verdict, Error> {
    match args.action {
        Action::Save(args) => save::save(context, args).await,
        Action::List(args) => stored::list::list(context, args).await,
        Action::Get(args) => stored::get::get(context, args).await,
        Action::Delete(args) => stored::delete::delete(context, args).await,
        Action::Prune(args) => stored::prune::prune(context, args).await,
        Action::Schedule(args) => schedule::schedule(context, args).await,
        Action::Verify(args) => verify::verify(context, args).await,
        Action::Inspect(args) => inspect::inspect(context.ui, args).await,
        Action::Usage(args) => usage::usage(context.ui, args).await,
        Action::Restore(args) => restore::restore(context.ui, args).await,
    }
}
