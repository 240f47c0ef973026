//! A scheduled run: a snapshot from a healthy member, and then the older ones that no rule keeps are removed.

use std::path::Path;

use jiff::Timestamp;

use super::{ask, source};
use crate::advice;
use crate::advice::Task;
use crate::client::Connector;
use crate::failure::Failure;
use crate::kubelet::node_name;
use crate::local::host_at;
use crate::manifest::Selection;
use crate::operation::{SnapshotPrune, SnapshotSave};
use crate::report::{Fate, NO_OBJECTS, Pruned, ScheduledReport};
use crate::routine::Routine;
use crate::stored::folder;
use crate::target::Target;
use crate::work::{Events, Progress};

/// So much of what is not in a bundle stands in the report, which Kubernetes keeps only when it is short.
const MOST_LEFT_OUT: usize = 5;

/// Does what a schedule says, on this node, which is called `node` where that is known.
///
/// # Errors
/// What was in the way of the snapshot. That older ones could not be removed is in the report.
pub async fn scheduled(
    routine: &Routine,
    node: Option<&str>,
    events: &mut Events<'_>,
) -> Result<ScheduledReport, Failure> {
    let (target, peers) = own_etcd(routine, node)?;
    let connector = Connector::load(&target)?;
    let chosen = Box::pin(source::choose(&connector, &target, &peers)).await?;
    let from = Target {
        client_urls: vec![chosen.url.clone()],
        ..target
    };
    let (name, packing) = routine.snapshot(Timestamp::now());
    let save = SnapshotSave {
        folder: routine.folder.clone(),
        name,
        packing,
        numbered: true,
        hold_seconds: 0,
    };
    let saved = ask(&from, &save, events).await?;
    let pruned = match saved.snapshot.is_empty() {
        false => prune(routine, &from, events).await,
        // It makes room for none that may be the last good one.
        true => Err(Failure::refused(NO_OBJECTS).hint(advice![
            Task::Diagnose,
            " on that node says which etcds run there"
        ])),
    };
    Ok(ScheduledReport {
        node: from.node,
        snapshot: saved.snapshot,
        source: chosen.url,
        instead_of_own: chosen.instead_of_own,
        left_out: saved
            .contents
            .map(|contents| contents.left_out.into_iter().take(MOST_LEFT_OUT).collect())
            .unwrap_or_default(),
        pruned: pruned.into(),
    })
}

/// This node's etcd, and the peer URLs of others: as the schedule has them, else as the manifest of etcd does.
fn own_etcd(routine: &Routine, node: Option<&str>) -> Result<(Target, Vec<String>), Failure> {
    let named = match node {
        Some(node) => node.to_owned(),
        None => node_name(Path::new("/"))?,
    };
    if let Some(target) = routine.target_of(&named) {
        return Ok((target, routine.peers_of(&named)));
    }
    let host = host_at(&routine.root, &Selection::default())?;
    let missing = |message: String| {
        Failure::missing(message)
            .hint("schedules run on control-plane nodes that have an etcd of their own")
    };
    let etcd = host.etcd?.ok_or_else(|| {
        let folder = host.folder.display();
        missing(format!(
            "no manifest in {folder} of {} runs an etcd",
            host.node
        ))
    })?;
    let target = etcd.target.clone();
    let target =
        target.map_err(|error| missing(format!("{}: {error}", etcd.manifest.display())))?;
    // The certificates are where the node's files are found; everything else is asked for over the network.
    Ok((target.below(&routine.root), etcd.founders))
}

/// Removes what no rule keeps.
async fn prune(
    routine: &Routine,
    target: &Target,
    events: &mut Events<'_>,
) -> Result<Pruned, Failure> {
    let nothing = || {
        Ok(Pruned {
            removed: 0,
            kept: folder::list(&routine.folder)?.len(),
        })
    };
    let Some(rules) = routine.rules else {
        return nothing();
    };
    let mut request = SnapshotPrune {
        folder: routine.folder.clone(),
        rules,
        remove: Vec::new(),
    };
    let mut names = Vec::new();
    let planned = ask(target, &request, events).await?;
    for one in planned.snapshots {
        if one.fate == Fate::Goes {
            names.push(one.name);
        }
    }
    if names.is_empty() {
        return nothing();
    }
    request.remove = names;
    let done = ask(target, &request, events).await?;
    for name in &done.removed {
        // It stays in the log of the run, however many there are.
        events(Progress {
            step: format!("removed {name}"),
            done_bytes: 0,
            total_bytes: None,
        });
    }
    Ok(Pruned {
        removed: done.removed.len(),
        kept: done.snapshots.len() - done.removed.len(),
    })
}
