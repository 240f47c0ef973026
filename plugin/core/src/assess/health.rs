//! From the members' answers to a linearizable read to whether the cluster does its work.

use etcd_operations::advice::Advice;
use etcd_operations::failure::FailureKind;
use etcd_operations::report::{API_VERSION, AlarmKind, HealthReport, Member};
use schemars::JsonSchema;
use serde::Serialize;

use super::Scope;
use super::model::{Problem, Summary, VerdictWord};
use super::rows::{alarm_word, failure_word, run_error_word};
use super::same::Comparison;
use crate::discovery::{Etcd, Node};
use crate::error::Verdict;
use crate::format::counted;
use crate::outcome::{Outcome, RunErrorKind};

/// Whether the members do their work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Health`.
    pub kind: &'static str,
    /// The verdict: decides the exit code.
    pub verdict: VerdictWord,
    /// The verdict in a sentence.
    #[schemars(with = "String")]
    pub summary: Summary,
    /// One row a control-plane node.
    pub members: Vec<HealthRow>,
    /// Whether the members have the same data.
    pub data: Comparison,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthRow {
    /// The node.
    pub node: String,
    /// The member's name by its flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// Whether it answered a linearizable read and has no alarm.
    pub healthy: bool,
    /// How long the read took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_us: Option<u64>,
    /// Its alarms.
    pub alarms: Vec<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Health {
    /// What the process ends with.
    pub fn verdict(&self) -> Verdict {
        self.verdict.verdict()
    }
}

/// Judges the answers to [`etcd_operations::operation::Health`].
pub fn judge(
    nodes: &[Node],
    outcomes: &[Outcome<HealthReport>],
    scope: Scope,
    data: Comparison,
) -> Health {
    let rows: Vec<HealthRow> = nodes
        .iter()
        .map(|node| {
            row(
                node,
                outcomes.iter().find(|outcome| outcome.node == node.name),
            )
        })
        .collect();
    let elsewhere = match scope {
        Scope::All | Scope::Known => elsewhere(nodes, outcomes),
        Scope::Named | Scope::SomeHosts => Vec::new(),
    };
    let verdict = match verdict(&rows, outcomes) {
        VerdictWord::Healthy if data.differs() => VerdictWord::Damaged,
        VerdictWord::Healthy if matches!(data, Comparison::DifferentClusters { .. }) => {
            VerdictWord::Degraded
        }
        VerdictWord::Healthy if !elsewhere.is_empty() => VerdictWord::Degraded,
        verdict => verdict,
    };
    Health {
        api_version: API_VERSION,
        kind: "Health",
        verdict,
        summary: summary(verdict, &rows, scope, &elsewhere, &data),
        members: rows,
        data,
    }
}

/// The voters that are on none of the control-plane nodes, by name: one that is dead counts for the quorum all the same.
fn elsewhere(nodes: &[Node], outcomes: &[Outcome<HealthReport>]) -> Vec<String> {
    let reports: Vec<&HealthReport> = reports(outcomes).collect();
    let lists = reports.iter().map(|report| &report.members);
    let Some(list) = lists.max_by_key(|members| members.len()) else {
        return Vec::new();
    };
    let here = |member: &&Member| {
        reports
            .iter()
            .any(|report| report.member_id == Some(member.id))
            || nodes.iter().any(|node| node.is_of(member))
    };
    let name = |member: &Member| match member.name.as_str() {
        "" => member.id.to_string(),
        name => name.to_owned(),
    };
    let voters = list.iter().filter(|member| !member.is_learner);
    voters.filter(|member| !here(member)).map(name).collect()
}

fn reports(outcomes: &[Outcome<HealthReport>]) -> impl Iterator<Item = &HealthReport> {
    outcomes
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().ok())
}

fn row(node: &Node, outcome: Option<&Outcome<HealthReport>>) -> HealthRow {
    let mut row = HealthRow {
        node: node.name.clone(),
        member: match &node.etcd {
            Etcd::Found(target) => Some(target.member_name.clone()),
            Etcd::Absent { .. } | Etcd::Unknown { .. } | Etcd::External { .. } => None,
        },
        member_id: None,
        healthy: false,
        read_us: None,
        alarms: Vec::new(),
        problem: None,
    };
    match outcome.map(|outcome| &outcome.result) {
        Some(Ok(report)) => fill(&mut row, report),
        Some(Err(error)) => {
            let detail = match (&node.etcd, error.kind) {
                (Etcd::Absent { why, .. }, RunErrorKind::NoEtcd) => why,
                _ => &error.message,
            };
            row.problem = Some(problem(run_error_word(error), detail, error.hint.as_ref()));
        }
        None => {
            let (why, hint) = match &node.etcd {
                Etcd::Absent { why, hint } | Etcd::Unknown { why, hint, .. } => {
                    (why.as_str(), hint.as_ref())
                }
                Etcd::Found(_) | Etcd::External { .. } => ("it was not asked", None),
            };
            row.problem = Some(problem("no answer", why, hint));
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
            failure.hint.as_ref(),
        ));
    }
    row.healthy = row.problem.is_none() && row.alarms.is_empty();
}

fn problem(short: &str, detail: &str, hint: Option<&Advice>) -> Problem {
    Problem {
        short: short.to_owned(),
        detail: detail.to_owned(),
        hint: hint.cloned(),
    }
}

fn verdict(rows: &[HealthRow], outcomes: &[Outcome<HealthReport>]) -> VerdictWord {
    let reports = || reports(outcomes);
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

fn summary(
    verdict: VerdictWord,
    rows: &[HealthRow],
    scope: Scope,
    elsewhere: &[String],
    data: &Comparison,
) -> Summary {
    let healthy = rows.iter().filter(|row| row.healthy).count();
    let asked = if scope.is_all() { "" } else { " asked" };
    let all = counted(rows.len() + elsewhere.len(), "member") + asked;
    let details = match verdict {
        VerdictWord::Healthy => {
            let same = match data {
                Comparison::Same { .. } => ", with the same data",
                _ => "",
            };
            format!("{healthy} of {all} answer linearizable reads{same}, no alarms")
        }
        VerdictWord::Degraded if matches!(data, Comparison::DifferentClusters { .. }) => {
            data.in_words().unwrap_or_default()
        }
        VerdictWord::Degraded if !elsewhere.is_empty() => format!(
            "{healthy} of {all} healthy, the quorum holds; on no control-plane node of the cluster: {}",
            elsewhere.join(", ")
        ),
        VerdictWord::Degraded => format!("{healthy} of {all} healthy, the quorum holds"),
        VerdictWord::QuorumLost if !scope.is_all() => {
            format!("none of {all} answers a linearizable read, and the others were not asked")
        }
        VerdictWord::QuorumLost if rows.len() == 1 => {
            "the member does not answer a linearizable read".to_owned()
        }
        VerdictWord::QuorumLost => {
            format!("none of {all} answers a linearizable read")
        }
        VerdictWord::Damaged if data.differs() => data.in_words().unwrap_or_default(),
        VerdictWord::Damaged => {
            format!("a CORRUPT alarm is raised, {healthy} of {all} healthy")
        }
        VerdictWord::NothingReached if rows.len() == 1 => "the member does not answer".to_owned(),
        VerdictWord::NothingReached => format!("none of {all} answers"),
    };
    let word = match verdict {
        // The others may have one.
        VerdictWord::QuorumLost if !scope.is_all() => "no quorum",
        verdict => verdict.word(),
    };
    Summary { word, details }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::fixtures::{Cluster, id};
    use crate::assess::same::Group;
    use crate::via::Via;
    use etcd_operations::failure::Answer;

    fn answered(cluster: &Cluster, asked: usize, scope: Scope) -> Health {
        let outcomes = healthy(cluster, asked);
        let same = Comparison::default();
        judge(&cluster.nodes[..asked], &outcomes, scope, same)
    }

    fn healthy(cluster: &Cluster, asked: usize) -> Vec<Outcome<HealthReport>> {
        let outcome = |number: u64| Outcome {
            node: format!("cp-{number}"),
            via: Some(Via::Job),
            took: std::time::Duration::ZERO,
            result: Ok(HealthReport {
                member_id: Some(id(number)),
                read_us: Answer::Ok(900),
                alarms: Answer::Ok(Vec::new()),
                members: cluster.members.clone(),
            }),
        };
        (1..=asked as u64).map(outcome).collect()
    }

    #[test]
    fn members_with_different_data_are_never_healthy() {
        let cluster = Cluster::of(3);
        let group = |hash: &str, nodes: &[&str]| Group {
            hash: hash.into(),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        };
        let differs = Comparison::Differs {
            revision: 9,
            groups: vec![group("a", &["cp-1", "cp-3"]), group("b", &["cp-2"])],
        };
        let answers = judge(&cluster.nodes, &healthy(&cluster, 3), Scope::All, differs);
        assert_eq!(answers.verdict, VerdictWord::Damaged);
        let told = answers.summary.to_string();
        assert!(
            told.starts_with("damaged: the data of cp-2 differs"),
            "{told}"
        );
        let id = |number: u64| (number.to_string(), vec![format!("cp-{number}")]);
        let two = Comparison::DifferentClusters {
            clusters: [id(1), id(2)].into(),
        };
        let answers = judge(&cluster.nodes, &healthy(&cluster, 3), Scope::All, two);
        assert_eq!(answers.verdict, VerdictWord::Degraded);
        let told = answers.summary.to_string();
        assert!(
            told.contains("belong to 2 different clusters: 1 (cp-1)"),
            "{told}"
        );
    }

    #[test]
    fn a_member_without_a_node_counts() {
        let cluster = Cluster::of(3);
        assert_eq!(
            answered(&cluster, 3, Scope::All).verdict,
            VerdictWord::Healthy
        );
        let health = answered(&cluster, 2, Scope::All);
        assert_eq!(health.verdict, VerdictWord::Degraded);
        assert_eq!(
            health.summary.to_string(),
            "degraded: 2 of 3 members healthy, the quorum holds; on no control-plane node of the cluster: cp-3"
        );
    }

    #[test]
    fn of_some_nodes_only_what_was_asked_is_said() {
        let health = answered(&Cluster::of(3), 1, Scope::Named);
        assert_eq!(health.verdict, VerdictWord::Healthy);
        assert!(
            health.summary.details.starts_with("1 of 1 member asked"),
            "{}",
            health.summary
        );
    }
}
