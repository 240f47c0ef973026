//! `kubectl etcd snapshot list`

use std::path::PathBuf;

use clap::Args;
use etcd_operations::operation;
use etcd_operations::stored::folder;
use jiff::Timestamp;

use super::FolderArgs;
use crate::args::{FleetArgs, NamedOutputArgs};
use crate::commands::{Context, out_of_reach};
use crate::views::stored::{ListedSnapshot, Order, SnapshotList, SnapshotState};
use kubectl_etcd_core::discovery::Node;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};

const EXAMPLES: &str = "\
Examples:
  # Which snapshots lie on the control-plane nodes, and may they be relied on?
  kubectl etcd snapshot list

  # Those in a folder of this host as well
  kubectl etcd snapshot list /backup

  # Which take most room?
  kubectl etcd snapshot list --sort-by size

  # The newest on each node
  kubectl etcd snapshot list -o name | sort -t/ -k1,1 -k2,2r | sort -u -t/ -k1,1

A snapshot is verified when all of it was read and found to be what etcd sent: while it was saved, \
and again by `kubectl etcd snapshot verify NODE/NAME`.
Exit codes: 0 all seen and nothing damaged, 3 a node could not be asked or a snapshot is damaged.";

/// List the snapshots that are kept on control-plane nodes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    /// Folder of this host to list as well
    #[arg(value_name = "FOLDER")]
    here: Option<PathBuf>,
    /// What to sort by
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Order::Node)]
    sort_by: Order,
    #[command(flatten)]
    kept: FolderArgs,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Asks all nodes at once; one that does not answer has a row that says so.
///
/// # Errors
/// When no node could be asked, or the folder of this host cannot be read.
pub async fn list(context: &Context<'_>, args: ListArgs) -> Result<Verdict, Error> {
    let folder = args.kept.folder()?;
    let mut view = SnapshotList::new(&folder, Timestamp::now());
    if let Some(here) = &args.here {
        let kept = folder::list(here).map_err(|failure| Error::failed(failure.message))?;
        if kept.is_empty() {
            context
                .ui
                .say(&format!("no snapshot in {}", here.display()));
        }
        view.add_here(here, &kept);
    }
    let asked = ask_nodes(context, &args.fleet, folder, &mut view).await;
    match &asked {
        Ok(()) => {}
        // What lies here is worth showing all the same.
        Err(error) if args.here.is_some() && error.kind != ErrorKind::Interrupted => {
            context.ui.warn(&format!(
                "the control-plane nodes were not asked: {}",
                error.message
            ));
        }
        Err(_) => return asked.map(|()| Verdict::Healthy),
    }
    let whole = asked.is_ok() && is_whole(&view);
    view.finish(args.sort_by);
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::of(whole))
}

async fn ask_nodes(
    context: &Context<'_>,
    fleet: &FleetArgs,
    folder: PathBuf,
    view: &mut SnapshotList,
) -> Result<(), Error> {
    let session = context.open(fleet).await?;
    let nodes: Vec<&Node> = session.nodes().iter().collect();
    let outcomes = session
        .run(&nodes, &operation::SnapshotList { folder })
        .await;
    if let Some(error) = out_of_reach(&session, &outcomes).await {
        return Err(error);
    }
    for outcome in &outcomes {
        match &outcome.result {
            Ok(list) => view.add(&outcome.node, &list.snapshots),
            Err(error) => view.unknown(&outcome.node, error.message.clone()),
        }
    }
    Ok(())
}

/// Whether all nodes were asked and nothing is damaged.
fn is_whole(view: &SnapshotList) -> bool {
    let damaged = |one: &ListedSnapshot| one.state == SnapshotState::Damaged;
    view.unreached.is_empty() && !view.snapshots.iter().any(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::stored::tests::{list, now};

    #[test]
    fn what_is_damaged_or_not_known_is_no_whole_list() {
        let mut view = SnapshotList::new("/kept".as_ref(), now());
        assert!(is_whole(&view));
        view.unknown("cp-1", "off".to_owned());
        assert!(!is_whole(&view));
        let mut damaged = list();
        damaged.unreached.clear();
        assert!(!is_whole(&damaged));
    }
}
