//! How old the last snapshot is that may be relied on.

use std::time::Duration;

use etcd_operations::advice;
use etcd_operations::advice::Task;
use etcd_operations::report::{KeptSnapshot, SnapshotReport};
use jiff::Timestamp;

use super::evidence::Evidence;
use super::model::{LastSnapshot, Reason, SnapshotSource, Warning};
use super::{Scheduled, Scope};
use crate::format::age;

/// The newest verified one on the nodes that told; on `only` this one, if that is given.
fn newest<'a>(
    evidence: &Evidence<'a>,
    only: Option<&str>,
) -> Option<(&'a str, &'a KeptSnapshot, &'a SnapshotReport)> {
    let asked = |node: &str| only.is_none_or(|only| only == node);
    let known = evidence.reports.iter().filter_map(|(node, report)| {
        let kept = report.kept.as_ref()?.newest.as_deref()?;
        let snapshot = kept.snapshot.as_ref()?;
        let of_this = evidence
            .cluster_id
            .is_none_or(|id| id == snapshot.cluster_id);
        (of_this && asked(node)).then_some((*node, kept, snapshot))
    });
    known.max_by_key(|(_, _, snapshot)| snapshot.taken_at)
}

/// How long ago that was; nothing is younger than now.
fn passed(now: Timestamp, time: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(time)).unwrap_or_default()
}

/// The newest one on the nodes; where none of them told what is kept there, the newest of the schedules.
pub(super) fn last(evidence: &Evidence<'_>) -> Option<LastSnapshot> {
    let last = |source, taken_at: Timestamp| LastSnapshot {
        source,
        taken_at: taken_at.to_string(),
        age_seconds: passed(evidence.asked.now, taken_at).as_secs(),
    };
    if let Some((node, kept, snapshot)) = newest(evidence, None) {
        let source = SnapshotSource::Kept {
            node: node.to_owned(),
            name: kept.name.to_string(),
            revision: snapshot.revision,
        };
        return Some(last(source, snapshot.taken_at));
    }
    let mut reports = evidence.reports.iter();
    if reports.any(|(_, report)| report.kept.is_some()) {
        return None;
    }
    let schedules = evidence.asked.schedules.iter();
    let succeeded = schedules.filter_map(|one| Some((one.last_success?, one)));
    let (time, schedule) = succeeded.max_by_key(|(time, _)| *time)?;
    let schedule = schedule.name.clone();
    Some(last(SnapshotSource::Scheduled { schedule }, time))
}

/// The schedules whose last snapshot is older than it may be.
pub(super) fn overdue(evidence: &Evidence<'_>) -> Vec<Warning> {
    let schedules = evidence.asked.schedules;
    let mut pinned: Vec<&Scheduled> = schedules.iter().filter(|one| one.node.is_some()).collect();
    pinned.sort_by_key(|one| &one.node);
    // Of those that may run anywhere, what is due most often is the promise.
    let anywhere = schedules.iter().filter(|one| one.node.is_none());
    let promised = anywhere.min_by_key(|one| one.interval);
    let judged = promised.into_iter().chain(pinned);
    judged.filter_map(|one| late(evidence, one)).collect()
}

/// What lies on the nodes counts where all it concerns could be looked at, and else what Kubernetes says of the runs, which
/// may be of snapshots that are gone or damaged by now.
fn late(evidence: &Evidence<'_>, schedule: &Scheduled) -> Option<Warning> {
    let only = schedule.node.as_deref();
    let on_nodes = newest(evidence, only).map(|(_, _, snapshot)| snapshot.taken_at);
    let last = if schedule.in_usual_folder && looked(evidence, only) {
        on_nodes
    } else {
        on_nodes.max(schedule.last_success)
    };
    let since = passed(evidence.asked.now, last.unwrap_or(schedule.made));
    if !schedule.is_late(since) {
        return None;
    }
    let place = only.map(|node| format!(" on {node}")).unwrap_or_default();
    let every = age(schedule.interval);
    let message = match last {
        Some(_) => format!(
            "the last verified snapshot{place} is {} old, and one is due every {every}",
            age(since)
        ),
        None => format!("no verified snapshot is there{place}, and one is due every {every}"),
    };
    let warning = Warning::degrading(Reason::SnapshotOverdue, message);
    Some(warning.hint(advice![Task::ShowSchedules, " says why"]))
}

/// Whether a node, or all of them, told what is kept there.
fn looked(evidence: &Evidence<'_>, only: Option<&str>) -> bool {
    let mut told = evidence
        .reports
        .iter()
        .filter(|(_, report)| report.kept.is_some());
    match only {
        Some(only) => told.any(|(node, _)| *node == only),
        None => evidence.asked.scope == Scope::All && told.count() == evidence.asked.nodes.len(),
    }
}
