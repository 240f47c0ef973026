//! From the members' answers to a linearizable read to whether the cluster does its work.

use etcd_operations::failure::FailureKind;
use etcd_operations::report::{AlarmKind, HealthReport, Report};

use super::model::{Problem, VerdictWord};
use super::rows::{alarm_word, failure_word, run_error_word};
use crate::discovery::{Etcd, Node};
use crate::outcome::{Outcome, RunErrorKind};
use crate::views::API_VERSION;
use crate::views::format::counted;
use crate::views::health::{Health, HealthRow};

/// Judges the answers to [`etcd_operations::operation::Operation::Health`].
pub fn judge(nodes: &[Node], outcomes: &[Outcome]) -> Health {
    let rows: Vec<HealthRow> = nodes
        .iter()
        .map(|node| {
            row(
                node,
                outcomes.iter().find(|outcome| outcome.node == node.name),
            )
        })
        .collect();
    let verdict = verdict(&rows, outcomes);
    Health {
        api_version: API_VERSION,
        kind: "Health",
        verdict,
        summary: summary(verdict, &rows),
        members: rows,
    }
}

fn row(node: &Node, outcome: Option<&Outcome>) -> HealthRow {
    let mut row = HealthRow {
        node: node.name.clone(),
        member: match &node.etcd {
            Etcd::Found(target) => Some(target.member_name.clone()),
            Etcd::Absent { .. } | Etcd::External { .. } => None,
        },
        member_id: None,
        healthy: false,
        read_us: None,
        alarms: Vec::new(),
        problem: None,
    };
    match outcome.map(|outcome| &outcome.result) {
        Some(Ok(Report::Health(report))) => fill(&mut row, report),
        Some(Ok(_)) => {
            row.problem = Some(problem(
                "failed",
                "the answer was to another question",
                None,
            ));
        }
        Some(Err(error)) => {
            let detail = match (&node.etcd, error.kind) {
                (Etcd::Absent { why }, RunErrorKind::NoEtcd) => why,
                _ => &error.message,
            };
            row.problem = Some(problem(
                run_error_word(error),
                detail,
                error.hint.as_deref(),
            ));
        }
        None => {
            let why = match &node.etcd {
                Etcd::Absent { why } => why,
                Etcd::Found(_) | Etcd::External { .. } => "it was not asked",
            };
            row.problem = Some(problem("no answer", why, None));
        }
    }
    row
}

fn fill(row: &mut HealthRow, report: &HealthReport) {
    row.member_id = report.member_id.map(|id| id.to_string());
    row.read_us = report.read_us.ok().copied();
    // An alarm is the whole cluster's matter, but the row is about one member: that of another is not its fault.
    row.alarms = report
        .alarms
        .ok()
        .into_iter()
        .flatten()
        .filter(|alarm| report.member_id.is_none_or(|id| alarm.member_id == id))
        .map(|alarm| alarm_word(alarm.alarm).to_owned())
        .collect();
    if let Some(failure) = report.read_us.failure().or(report.alarms.failure()) {
        row.problem = Some(problem(
            failure_word(failure.kind),
            &failure.message,
            failure.hint.as_deref(),
        ));
    }
    row.healthy = row.problem.is_none() && row.alarms.is_empty();
}

fn problem(short: &str, detail: &str, hint: Option<&str>) -> Problem {
    Problem {
        short: short.to_owned(),
        detail: detail.to_owned(),
        hint: hint.map(str::to_owned),
    }
}

fn verdict(rows: &[HealthRow], outcomes: &[Outcome]) -> VerdictWord {
    let reports = || {
        outcomes.iter().filter_map(|outcome| match &outcome.result {
            Ok(Report::Health(report)) => Some(report),
            Ok(_) | Err(_) => None,
        })
    };
    let corrupt = reports()
        .filter_map(|report| report.alarms.ok())
        .flatten()
        .any(|alarm| alarm.alarm == AlarmKind::Corrupt);
    // A member that told its id, or that said there is no quorum, was reached.
    let reached = |report: &HealthReport| {
        report.member_id.is_some()
            || report.read_us.ok().is_some()
            || report
                .read_us
                .failure()
                .is_some_and(|failure| failure.kind == FailureKind::NoQuorum)
    };
    let read = rows.iter().any(|row| row.read_us.is_some());
    if corrupt {
        VerdictWord::Damaged
    } else if read {
        let alarmed = reports()
            .filter_map(|report| report.alarms.ok())
            .any(|alarms| !alarms.is_empty());
        if rows.iter().all(|row| row.healthy) && !alarmed {
            VerdictWord::Healthy
        } else {
            VerdictWord::Degraded
        }
    } else if reports().any(reached) {
        VerdictWord::QuorumLost
    } else {
        VerdictWord::NothingReached
    }
}

fn summary(verdict: VerdictWord, rows: &[HealthRow]) -> String {
    let healthy = rows.iter().filter(|row| row.healthy).count();
    let all = counted(rows.len(), "member");
    match verdict {
        VerdictWord::Healthy => {
            format!("healthy: {healthy} of {all} answer linearizable reads, no alarms")
        }
        VerdictWord::Degraded => format!("degraded: {healthy} of {all} healthy, the quorum holds"),
        VerdictWord::QuorumLost if rows.len() == 1 => {
            "quorum lost: the member does not answer a linearizable read".to_owned()
        }
        VerdictWord::QuorumLost => {
            format!("quorum lost: none of {all} answers a linearizable read")
        }
        VerdictWord::Damaged => {
            format!("damaged: a CORRUPT alarm is raised, {healthy} of {all} healthy")
        }
        VerdictWord::NothingReached if rows.len() == 1 => {
            "nothing reached: the member does not answer".to_owned()
        }
        VerdictWord::NothingReached => format!("nothing reached: none of {all} answers"),
    }
}
