//! `kubectl etcd snapshot delete`

use std::collections::BTreeMap;

use clap::Args;
use etcd_operations::operation::SnapshotDelete;
use etcd_operations::snapshot_name::SnapshotName;

use super::{FolderArgs, KeptRef, node, open};
use crate::args::{NamedOutputArgs, WayArgs};
use crate::commands::Context;
use crate::views::prune::Deleted;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::format::counted;

const EXAMPLES: &str = "\
Examples:
  kubectl etcd snapshot delete cp-1/etcd-prod-2026-11-20T210000Z.db

Only what kubectl etcd has taken and described is removed. \
`kubectl etcd snapshot prune` removes by rules.
Exit codes: 0 removed, 5 not confirmed, or not ours to remove.";

/// Remove snapshots that are kept on control-plane nodes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DeleteArgs {
    /// Which snapshots
    #[arg(value_name = "NODE/NAME", required = true)]
    snapshots: Vec<KeptRef>,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    kept: FolderArgs,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Removes what was named, node by node.
///
/// # Errors
/// When the answer to the question is no, or a node cannot do it; what was removed until then is shown before.
pub async fn delete(context: &Context<'_>, args: DeleteArgs) -> Result<Verdict, Error> {
    let folder = args.kept.folder()?;
    let session = open(context, &args.way, &args.snapshots).await?;
    let mut of_nodes: BTreeMap<&str, Vec<SnapshotName>> = BTreeMap::new();
    for one in &args.snapshots {
        let names = of_nodes.entry(&one.node).or_default();
        if !names.contains(&one.name) {
            names.push(one.name.clone());
        }
    }
    if !args.yes {
        for one in &args.snapshots {
            context.ui.say(&one.to_string());
        }
    }
    let number = counted(args.snapshots.len(), "snapshot");
    context
        .ui
        .confirm(&format!("Remove {number} for good?"), args.yes)
        .await?;
    let mut view = Deleted::new();
    for (name, names) in of_nodes {
        let delete = SnapshotDelete {
            folder: folder.clone(),
            names,
        };
        match session.ask(node(&session, name)?, &delete).await {
            Ok(done) => view.add(name, &done.removed),
            Err(trouble) => {
                if !view.removed.is_empty() {
                    context.ui.show(&view, args.output.output)?;
                }
                return Err(trouble);
            }
        }
    }
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}
