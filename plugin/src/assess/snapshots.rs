//! How old the last snapshot is that may be relied on.

use std::time::Duration;

use etcd_operations::report::{KeptSnapshot, SnapshotReport};
use jiff::Timestamp;

use super::evidence::Evidence;
use super::model::{LastSnapshot, Reason, Warning};
use super::{Scheduled, Scope};
use crate::views::format::age;

/// The newest verified one on the nodes that told.
fn newest<'a>(evidence: &Evidence<'a>) -> Option<(&'a str, &'a KeptSnapshot, &'a SnapshotReport)> {
    let known = evidence.reports.iter().filter_map(|(node, report)| {
        let kept = report.kept.as_ref()?.newest.as_deref()?;
        let snapshot = kept.snapshot.as_ref()?;
        let of_this = evidence
            .cluster_id
            .is_none_or(|id| id == snapshot.cluster_id);
        of_this.then_some((*node, kept, snapshot))
    });
    known.max_by_key(|(_, _, snapshot)| snapshot.taken_at)
}

/// How long ago that was; nothing is younger than now.
fn passed(now: Timestamp, time: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(time)).unwrap_or_default()
}

pub(super) fn last(evidence: &Evidence<'_>) -> Option<LastSnapshot> {
    let (node, kept, snapshot) = newest(evidence)?;
    Some(LastSnapshot {
        node: node.to_owned(),
        name: kept.name.to_string(),
        taken_at: snapshot.taken_at.to_string(),
        age_seconds: passed(evidence.asked.now, snapshot.taken_at).as_secs(),
        revision: snapshot.revision,
    })
}

/// Where schedules are to take snapshots, and the last one is older than twice the interval. What lies on the nodes counts
/// where all of them could be looked at, and else what Kubernetes says of the runs, which may be of snapshots that are
/// gone or damaged by now.
pub(super) fn overdue(evidence: &Evidence<'_>) -> Option<Warning> {
    let schedules = evidence.asked.schedules;
    // The schedule that is due most often is the promise.
    let promised = schedules.iter().min_by_key(|one| one.interval)?;
    let looked =
        |(_, report): &(&str, &etcd_operations::report::StatusReport)| report.kept.is_some();
    let all_looked = evidence.asked.scope == Scope::All
        && evidence.reports.len() == evidence.asked.nodes.len()
        && evidence.reports.iter().all(looked)
        && schedules.iter().all(|one| one.in_usual_folder);
    let on_nodes = newest(evidence).map(|(_, _, snapshot)| snapshot.taken_at);
    let by_kubernetes = schedules.iter().filter_map(|one| one.last_success).max();
    let last = if all_looked {
        on_nodes
    } else {
        on_nodes.max(by_kubernetes)
    };
    let since = passed(evidence.asked.now, last.unwrap_or(promised.made));
    if since <= promised.interval * 2 {
        return None;
    }
    Some(late(promised, last.map(|_| since)))
}

fn late(promised: &Scheduled, since: Option<Duration>) -> Warning {
    let every = age(promised.interval);
    let message = match since {
        Some(since) => format!(
            "the last verified snapshot is {} old, and one is due every {every}",
            age(since)
        ),
        None => format!("no verified snapshot is there, and one is due every {every}"),
    };
    super::warnings::warning(Reason::SnapshotOverdue, message)
        .hint("kubectl etcd snapshot schedule show says why")
}
