//! `kubectl etcd snapshot get`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::{FolderArgs, KeptRef, node, open};
use crate::args::{NamedOutputArgs, WayArgs};
use crate::commands::Context;
use crate::commands::snapshot::destination::free_file;
use crate::views::snapshot::Snapshot;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::session::Checked;

const EXAMPLES: &str = "\
Examples:
  # Into the current folder, under its own name
  kubectl etcd snapshot get cp-1/etcd-prod-2026-11-20T210000Z.db

  # Into a file
  kubectl etcd snapshot get cp-1/etcd-prod-2026-11-20T210000Z.db /backup/etcd.db

A connection that breaks is taken up where it broke. What arrives is checked here (sha256, size, \
every page) and compared with the description that was written when the snapshot was taken.
Exit codes: 0 fetched and whole, 3 the same, but no room to look at its pages or no object of \
Kubernetes in it, 4 what arrives is damaged, 5 the file is there already, or the snapshot is \
damaged.";

/// Fetch a snapshot that is kept on a control-plane node
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    /// Which snapshot
    #[arg(value_name = "NODE/NAME")]
    snapshot: KeptRef,
    /// File or folder to save to
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    kept: FolderArgs,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Fetches one snapshot.
///
/// # Errors
/// When it is not there or damaged, the file here is there already, or any check fails. Nothing that looks like a
/// snapshot is left behind then.
pub async fn get(context: &Context<'_>, args: GetArgs) -> Result<Verdict, Error> {
    let folder = args.kept.folder()?;
    let file = free_file(args.file.as_deref(), args.snapshot.name.as_str())?;
    let session = open(context, &args.way, std::slice::from_ref(&args.snapshot)).await?;
    let node = node(&session, &args.snapshot.node)?;
    let begun = Instant::now();
    let saved = session
        .get_snapshot(node, &folder, &args.snapshot.name, &file)
        .await?;
    let view = Snapshot::fetched(&saved, &node.name, &file, begun.elapsed());
    context.ui.show(&view, args.output.output)?;
    if let Checked::HereButPages { why } = &saved.checked {
        let warning = format!("its pages were not looked at here: {why}");
        context.ui.warn(&warning);
    }
    Ok(match saved.checked {
        _ if saved.saved.snapshot.is_empty() => Verdict::Degraded,
        Checked::HereButPages { .. } => Verdict::Degraded,
        Checked::Here | Checked::WhereTaken => Verdict::Healthy,
    })
}
