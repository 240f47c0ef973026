//! A diagnosis from what etcd and the API tell, where no host was looked at. It knows how the members are, and of one that
//! is down not why: for that its host has to be looked at.

use std::collections::BTreeSet;

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice, Task};
use etcd_operations::doctor::{LEARNER_NOT_STARTED, VOTER_NOT_STARTED};
use etcd_operations::report::AlarmKind;

use super::{Doctor, Next, Seen, Severity, Situation};
use crate::assess::model::{self, About, Reason, Role, Row, Status, VerdictWord};
use crate::assess::same::replace_from_the_others;

impl Doctor {
    /// Of a cluster whose members were asked.
    pub fn of_status(status: &Status) -> Self {
        let mut situations = Vec::new();
        if status.verdict == VerdictWord::QuorumLost {
            situations.push(lost(status));
        }
        let warnings = status.warnings.iter();
        let warnings = warnings.filter(|warning| warning.severity == model::Severity::Warning);
        situations.extend(warnings.map(|warning| of_warning(warning, status)));
        let members = status.rows.iter().filter(|row| !is_none(row, status));
        situations.extend(members.filter_map(silent));
        situations.sort_by_key(|one| one.severity == Severity::Degraded);
        let names: BTreeSet<String> = status
            .rows
            .iter()
            .filter_map(|row| row.node.clone())
            .collect();
        let mut doctor = Self::new(
            status.verdict,
            Vec::new(),
            names.into_iter().collect(),
            situations,
            Vec::new(),
        );
        if doctor.situations.is_empty() {
            doctor.in_order.push(seen(status.summary.to_string()));
        }
        doctor
            .in_order
            .extend(status.rows.iter().filter_map(others).map(seen));
        doctor
    }
}

fn lost(status: &Status) -> Situation {
    let down = status.rows.iter().filter(|row| row.problem.is_some());
    Situation {
        kind: "quorum-lost".to_owned(),
        node: None,
        severity: Severity::Lost,
        summary: status.summary.to_string(),
        evidence: down.filter_map(problem).collect(),
        next: Next {
            command: Task::Diagnose.into(),
            on: None,
            note: Some("as root on a control-plane node, where its host can be looked at".into()),
        },
    }
}

/// A member that does not answer.
fn silent(row: &Row) -> Option<Situation> {
    if !matches!(row.role, Role::Down | Role::Unknown | Role::NoLeader) {
        return None;
    }
    let name = row.node.clone().or_else(|| row.member.clone())?;
    Some(Situation {
        kind: "member-silent".to_owned(),
        node: Some(name.clone()),
        severity: Severity::Degraded,
        summary: match row.role {
            Role::NoLeader => format!("the member of {name} knows of no leader"),
            Role::Unknown => format!("the member of {name} could not be asked"),
            _ => format!("the member of {name} does not answer"),
        },
        evidence: problem(row).into_iter().collect(),
        next: Next {
            command: Task::Diagnose.into(),
            on: Some(name),
            note: Some(advice![
                "as root, where the node is on; from anywhere: ",
                Task::Diagnose.choosing(Choice::Ssh)
            ]),
        },
    })
}

fn problem(row: &Row) -> Option<Seen> {
    let problem = row.problem.as_ref()?;
    let name = row.node.as_deref().or(row.member.as_deref());
    Some(seen(match name {
        Some(name) => format!("{name}: {}", problem.detail),
        None => problem.detail.clone(),
    }))
}

fn of_warning(warning: &model::Warning, status: &Status) -> Situation {
    if let Some(situation) = of_member(warning, status) {
        return situation;
    }
    let corrupt = status.verdict == VerdictWord::Damaged
        && matches!(warning.reason, Reason::AlarmRaised | Reason::DataDiffers);
    let (kind, command) = match warning.reason {
        Reason::AlarmRaised if warning.about == Some(About::Alarm(AlarmKind::Corrupt)) => {
            ("corrupt-alarm", replace(status))
        }
        Reason::AlarmRaised => ("no-space-alarm", Task::ShowUsage.into()),
        Reason::DataDiffers => ("data-differs", warning.hint.clone().unwrap_or_default()),
        Reason::DataNotCompared => ("data-not-compared", Task::ShowStatus.into()),
        Reason::ClusterIdsDiffer => (
            "two-clusters",
            Task::ShowStatus.with(Choice::Output, "wide").into(),
        ),
        // Its host has something to say that the API has not.
        Reason::NodeNotAsked => (
            "node-not-asked",
            Task::Diagnose.choosing(Choice::Ssh).into(),
        ),
        Reason::NodesNotReached => (
            "nodes-not-reached",
            Task::Diagnose.with(Choice::Via, "local").into(),
        ),
        Reason::MemberNotStarted | Reason::MemberWithoutNode | Reason::MemberListsDiffer => {
            ("members", Task::ListMembers.into())
        }
        Reason::PodLeftAlone => (
            "pod-left-alone",
            "kubectl get pods -n kube-system -o wide".into(),
        ),
        Reason::NodeWithoutMember => ("node-without-member", Task::ListMembers.into()),
        Reason::NearQuota => ("near-quota", Task::ShowUsage.into()),
        Reason::WorthDefragmenting => ("fragmented", Task::Defragment.into()),
        Reason::Learner => ("learner", Task::ListMembers.into()),
        Reason::SnapshotOverdue => ("snapshot-overdue", Task::ShowSchedules.into()),
        Reason::Lagging
        | Reason::MemberError
        | Reason::VersionsDiffer
        | Reason::DowngradeUnderWay => (
            "members",
            Task::ShowStatus.with(Choice::Output, "wide").into(),
        ),
    };
    Situation {
        kind: kind.to_owned(),
        node: None,
        severity: if corrupt {
            Severity::Lost
        } else {
            Severity::Degraded
        },
        summary: warning.message.clone(),
        evidence: Vec::new(),
        next: Next {
            note: warning.hint.clone().filter(|hint| *hint != command),
            command,
            on: None,
        },
    }
}

/// A member that has never started, or a node whose etcd runs without being a member.
fn of_member(warning: &model::Warning, status: &Status) -> Option<Situation> {
    let (kind, node, next) = match (warning.reason, warning.about.as_ref()?) {
        (Reason::MemberNotStarted, about @ (About::Learner(id) | About::Voter(id))) => (
            "members",
            None,
            Next {
                command: Task::RemoveMember.of(id).into(),
                on: None,
                note: Some(match about {
                    About::Learner(_) => LEARNER_NOT_STARTED.into(),
                    _ => VOTER_NOT_STARTED.into(),
                }),
            },
        ),
        (Reason::NodeWithoutMember, About::Node(node)) if has_etcd(node, status) => (
            "node-without-member",
            Some(node),
            Next {
                command: Task::ReplaceMember.of(node).into(),
                on: Some(node.clone()),
                note: Some(
                    "as root; to have no member there, take etcd.yaml and kube-apiserver.yaml out of its manifest folder"
                        .into(),
                ),
            },
        ),
        _ => return None,
    };
    let rows = status.rows.iter();
    let of_node = rows.filter(|row| row.node.is_some() && row.node.as_ref() == node);
    Some(Situation {
        kind: kind.to_owned(),
        node: node.cloned(),
        severity: Severity::Degraded,
        summary: warning.message.clone(),
        evidence: of_node.filter_map(problem).collect(),
        next,
    })
}

fn has_etcd(node: &str, status: &Status) -> bool {
    let mut rows = status.rows.iter();
    rows.any(|row| row.node.as_deref() == Some(node) && row.role != Role::NoEtcd)
}

/// Whether the warnings say already that this node has no member: that none answers there is not told once more.
fn is_none(row: &Row, status: &Status) -> bool {
    let mut warnings = status.warnings.iter();
    warnings.any(|warning| {
        warning.reason == Reason::NodeWithoutMember
            && matches!(&warning.about, Some(About::Node(node)) if row.node.as_ref() == Some(node))
    })
}

/// The etcds of a node that are not the cluster's.
fn others(row: &Row) -> Option<String> {
    let node = row
        .node
        .as_deref()
        .filter(|_| !row.other_etcds.is_empty())?;
    let others = row.other_etcds.join(", ");
    Some(format!(
        "{node} runs another etcd as well, {others}: left alone"
    ))
}

/// What helps the member whose data differs.
fn replace(status: &Status) -> Advice {
    let of = |row: &&Row| row.alarms.iter().any(|alarm| alarm == "CORRUPT");
    let row = status.rows.iter().find(of);
    match row.and_then(|row| row.node.as_deref()) {
        Some(node) => replace_from_the_others(node).into(),
        None => Task::ListAlarms.into(),
    }
}

fn seen(text: String) -> Seen {
    Seen { node: None, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::fixtures::{Cluster, alarm, member};
    use crate::assess::same::{Comparison, Group};
    use crate::outcome::{RunError, RunErrorKind};

    #[test]
    fn a_healthy_cluster_has_no_situation() {
        let doctor = Doctor::of_status(&Cluster::of(3).assess());
        assert_eq!(doctor.verdict, VerdictWord::Healthy);
        assert!(doctor.situations.is_empty() && doctor.in_order.len() == 1);
        assert_eq!(doctor.not_looked_at.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_told_with_where_to_look_next() {
        let mut cluster = Cluster::of(3);
        cluster.lost(2, RunError::new(RunErrorKind::NodeDown, "it is off"));
        cluster.alarms = vec![alarm(1, AlarmKind::NoSpace)];
        let doctor = Doctor::of_status(&cluster.assess());
        assert_eq!(doctor.verdict, VerdictWord::Degraded);
        let kinds: Vec<&str> = doctor
            .situations
            .iter()
            .map(|one| one.kind.as_str())
            .collect();
        assert_eq!(kinds, ["no-space-alarm", "member-silent"]);
        let silent = &doctor.situations[1];
        assert_eq!(silent.next.command, "{diagnose}");
        assert_eq!(silent.next.on, silent.node);
        assert!(silent.evidence[0].text.contains("it is off"));

        let mut damaged = Cluster::of(3);
        damaged.alarms = vec![alarm(2, AlarmKind::Corrupt)];
        let doctor = Doctor::of_status(&damaged.assess());
        assert_eq!(doctor.situations[0].kind, "corrupt-alarm");
        let replace = "{replace-member cp-2 +even-if-healthy +ssh}";
        assert_eq!(doctor.situations[0].next.command, replace);

        let mut lost = Cluster::of(3);
        lost.without_quorum();
        let doctor = Doctor::of_status(&lost.assess());
        assert_eq!(doctor.verdict, VerdictWord::QuorumLost);
        assert_eq!(doctor.situations[0].kind, "quorum-lost");
    }

    #[test]
    fn the_member_with_other_data_is_replaced_and_that_is_said_once() {
        let group = |hash: &str, nodes: &[&str]| Group {
            hash: hash.to_owned(),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        };
        let mut cluster = Cluster::of(3);
        cluster.same = Comparison::Differs {
            revision: 7,
            groups: vec![group("a", &["cp-1", "cp-3"]), group("b", &["cp-2"])],
        };
        let status = cluster.assess();
        assert_eq!(status.verdict, VerdictWord::Damaged);
        assert!(
            status.summary.details.starts_with("3 of 3 members answer"),
            "{}",
            status.summary
        );
        let doctor = Doctor::of_status(&status);
        let [only] = doctor.situations.as_slice() else {
            panic!("{:?}", doctor.situations)
        };
        assert_eq!((only.severity, &only.next.note), (Severity::Lost, &None));
        assert_eq!(
            only.next.command,
            "{replace-member cp-2 +even-if-healthy +ssh}"
        );
    }

    #[test]
    fn a_node_whose_member_was_removed_is_one_situation_that_leads_on() {
        let mut cluster = Cluster::of(3);
        cluster.lost(3, RunError::new(RunErrorKind::NodeDown, "it takes no pod"));
        cluster.members.remove(2);
        let doctor = Doctor::of_status(&cluster.assess());
        let [only] = doctor.situations.as_slice() else {
            panic!("{:?}", doctor.situations)
        };
        assert_eq!(only.kind, "node-without-member");
        assert_eq!(only.next.command, "{replace-member cp-3}");
        assert!(only.evidence[0].text.contains("it takes no pod"));
    }

    #[test]
    fn a_member_that_never_started_is_removed_by_its_id_and_told_whether_it_votes() {
        for (is_learner, words) in [(true, "no vote"), (false, "counts as")] {
            let mut cluster = Cluster::of(3);
            let mut fourth = member(4);
            fourth.name.clear();
            fourth.is_learner = is_learner;
            cluster.members.push(fourth);
            cluster.accounts.push(None);
            let doctor = Doctor::of_status(&cluster.assess());
            let next = &doctor.situations[0].next;
            assert_eq!(next.command, "{remove-member 1f000000000000a4}");
            let note = next.note.as_ref().unwrap().written();
            assert!(note.contains(words), "{note}");
        }
    }
}
