//! `kubectl etcd snapshot`

pub mod inspect;
pub mod restore;
pub mod save;
pub mod usage;
pub mod verify;

use clap::{Args, Subcommand};

use super::Context;
use crate::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # A snapshot of the cluster in the current folder, checked to the last byte
  kubectl etcd snapshot save

  # Is that file still what etcd sent?
  kubectl etcd snapshot verify etcd-prod-2026-11-21T150000Z.db

`verify`, `inspect`, `usage` and `restore` need no cluster.";

/// Take snapshots, and check, look into and restore them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Save(save::SaveArgs),
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
        Action::Verify(args) => verify::verify(context.ui, args).await,
        Action::Inspect(args) => inspect::inspect(context.ui, args).await,
        Action::Usage(args) => usage::usage(context.ui, args).await,
        Action::Restore(args) => restore::restore(context.ui, args).await,
    }
}
