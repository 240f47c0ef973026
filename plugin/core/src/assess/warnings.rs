//! What should be known beyond who is up.

use std::collections::BTreeSet;

use super::evidence::Evidence;
use super::model::{About, QuotaSource, Reason, Role, Row, Warning};
use super::rows::alarm_word;
use super::same::Comparison;
use super::{LAG_ENTRIES, NEAR_QUOTA_PERCENT, Scope, WORTH_DEFRAGMENTING_BYTES};
use crate::format::{and, bytes, count, percent};
use crate::outcome::Outcome;
use crate::via::Via;
use etcd_operations::advice;
use etcd_operations::advice::{Choice, Task};
use etcd_operations::report::AlarmKind;

/// All warnings, those that degrade the cluster first.
pub(super) fn warnings(evidence: &Evidence<'_>, rows: &[Row]) -> Vec<Warning> {
    let mut all = Vec::new();
    all.extend(not_reached(evidence));
    all.extend(alarms(evidence, rows));
    all.extend(data(evidence.asked.same));
    all.extend(cluster_ids(rows));
    all.extend(members_and_nodes(evidence, rows));
    all.extend(member_lists(evidence));
    all.extend(quota(rows));
    all.extend(lag(rows));
    all.extend(errors(rows));
    all.extend(not_asked(rows));
    all.extend(versions(rows));
    all.extend(downgrade(rows));
    all.extend(learners(rows));
    all.extend(fragmented(rows));
    all.extend(super::snapshots::overdue(evidence));
    all.extend(left_alone(evidence));
    all.sort_by_key(|warning| warning.severity);
    all
}

/// How people know a row: its member's name, else its node's, else its id.
pub(super) fn name(row: &Row) -> &str {
    row.member
        .as_deref()
        .or(row.node.as_deref())
        .or(row.member_id.as_deref())
        .unwrap_or("?")
}

/// The kubelets or the apiserver are gone: what is left to ask is a node itself.
fn not_reached(evidence: &Evidence<'_>) -> Option<Warning> {
    let gone = |outcome: &Outcome<_>| match &outcome.result {
        Ok(_) => false,
        Err(_) if outcome.via == Some(Via::Ssh) => false,
        Err(error) => error.kind.is_out_of_reach(),
    };
    let outcomes = evidence.asked.outcomes;
    if outcomes.is_empty() || evidence.asked.scope == Scope::SomeHosts || !outcomes.iter().all(gone)
    {
        return None;
    }
    Some(
        Warning::degrading(
            Reason::NodesNotReached,
            "no node could be asked through the apiserver".to_owned(),
        )
        .hint(advice![
            "as root on a control-plane node: ",
            Task::ShowStatus.with(Choice::Via, "local"),
            "; from anywhere: ",
            Task::ShowStatus.choosing(Choice::Ssh)
        ]),
    )
}

fn alarms(evidence: &Evidence<'_>, rows: &[Row]) -> Vec<Warning> {
    [AlarmKind::Corrupt, AlarmKind::NoSpace, AlarmKind::Unknown]
        .into_iter()
        .filter_map(|kind| {
            let raised = evidence.alarms.iter().filter(|alarm| alarm.alarm == kind);
            let names: BTreeSet<String> = raised
                .map(|alarm| {
                    let id = alarm.member_id.to_string();
                    let row = rows.iter().find(|row| row.member_id.as_ref() == Some(&id));
                    row.map_or(id.clone(), |row| name(row).to_owned())
                })
                .collect();
            if names.is_empty() {
                return None;
            }
            let names: Vec<String> = names.into_iter().collect();
            let raised = format!("alarm {} of {}", alarm_word(kind), and(&names));
            let warning = match kind {
                AlarmKind::NoSpace => Warning::degrading(
                    Reason::AlarmRaised,
                    format!("{raised}: the cluster refuses every write but deletions"),
                )
                .hint(advice![
                    "see what fills it: ",
                    Task::ShowUsage,
                    "; free space; then ",
                    Task::Defragment,
                    " and ",
                    Task::DisarmAlarms
                ]),
                AlarmKind::Corrupt => Warning::degrading(
                    Reason::AlarmRaised,
                    format!("{raised}: its data differs from that of the others"),
                ),
                AlarmKind::Unknown => Warning::degrading(Reason::AlarmRaised, raised),
            };
            Some(warning.about(About::Alarm(kind)))
        })
        .collect()
}

/// Where the rows that say something differ: how many things they say, and which says which.
fn differing<'r>(rows: &'r [Row], said: fn(&'r Row) -> Option<&'r str>) -> Option<(usize, String)> {
    let all: BTreeSet<&str> = rows.iter().filter_map(said).collect();
    let each = |one: &&str| {
        let saying = rows.iter().filter(|row| said(row) == Some(*one));
        format!("{one} ({})", and(&saying.map(name).collect::<Vec<_>>()))
    };
    let each: Vec<String> = all.iter().map(each).collect();
    (each.len() > 1).then(|| (each.len(), and(&each)))
}

fn data(same: &Comparison) -> Option<Warning> {
    // The rows tell of different clusters themselves, with those that were seen from others.
    if matches!(same, Comparison::DifferentClusters { .. }) {
        return None;
    }
    let words = same.in_words()?;
    Some(match same.next() {
        Some(next) => Warning::degrading(Reason::DataDiffers, words).hint(next),
        None => Warning::note(Reason::DataNotCompared, words),
    })
}

fn cluster_ids(rows: &[Row]) -> Option<Warning> {
    let (count, which) = differing(rows, |row| row.cluster_id.as_deref())?;
    Some(Warning::degrading(
        Reason::ClusterIdsDiffer,
        format!("the members belong to {count} different clusters: {which}"),
    ))
}

fn members_and_nodes(evidence: &Evidence<'_>, rows: &[Row]) -> Vec<Warning> {
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| row.role == Role::NotStarted) {
        let id = row.member_id.clone().unwrap_or_else(|| "?".to_owned());
        let mut members = evidence.members().iter();
        let is_learner = members.any(|one| one.is_learner && one.id.to_string() == id);
        let message = format!(
            "member {id} ({}) was added and has never started",
            row.peer_urls.join(", ")
        );
        let about = match is_learner {
            true => About::Learner(id),
            false => About::Voter(id),
        };
        found.push(Warning::degrading(Reason::MemberNotStarted, message).about(about));
    }
    if evidence.asked.scope != Scope::All || evidence.members.is_none() {
        return found;
    }
    for row in rows {
        let started = row.role != Role::NotStarted;
        if row.node.is_none() && started {
            found.push(Warning::degrading(
                Reason::MemberWithoutNode,
                format!(
                    "member {} ({}) is on no control-plane node",
                    name(row),
                    row.peer_urls.join(", ")
                ),
            ));
        }
        if let (Some(node), None) = (&row.node, &row.member_id) {
            found.push(
                Warning::degrading(
                    Reason::NodeWithoutMember,
                    format!("control-plane node {node} has no member in the cluster"),
                )
                .about(About::Node(node.clone())),
            );
        }
    }
    found
}

fn member_lists(evidence: &Evidence<'_>) -> Option<Warning> {
    let list = evidence.members?;
    let ids = |members: &[etcd_operations::report::Member]| -> BTreeSet<_> {
        members
            .iter()
            .map(|member| (member.id, member.is_learner))
            .collect()
    };
    let differing: Vec<&str> = evidence
        .reports
        .iter()
        .filter(|(_, report)| {
            report.members.ok().is_some_and(|other| {
                other.cluster_id == list.cluster_id && ids(&other.members) != ids(&list.members)
            })
        })
        .map(|(node, _)| *node)
        .collect();
    if differing.is_empty() {
        return None;
    }
    Some(Warning::degrading(
        Reason::MemberListsDiffer,
        format!(
            "the list of members on {} is another than the one shown",
            and(&differing)
        ),
    ))
}

/// All members of a cluster fill alike: one line for all of them.
fn quota(rows: &[Row]) -> Option<Warning> {
    let near: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let (size, quota) = (row.db_size_bytes?, row.quota_bytes?);
            let near = u128::from(size) * 100 >= u128::from(quota) * u128::from(NEAR_QUOTA_PERCENT);
            let default = match row.quota_source {
                Some(QuotaSource::Default) => ", etcd's default",
                Some(QuotaSource::Told) | None => "",
            };
            near.then(|| {
                format!(
                    "{} ({} of {}{default})",
                    name(row),
                    percent(size, quota),
                    bytes(quota)
                )
            })
        })
        .collect();
    (!near.is_empty()).then(|| {
        Warning::degrading(
            Reason::NearQuota,
            format!("the database is near its quota on {}", and(&near)),
        )
        .hint(advice![
            Task::ShowUsage,
            " shows what fills it; ",
            Task::Defragment,
            " gives free space back"
        ])
    })
}

fn lag(rows: &[Row]) -> Vec<Warning> {
    let far = rows
        .iter()
        .filter_map(|row| Some((row, row.lag.filter(|lag| *lag >= LAG_ENTRIES)?)));
    far.map(|(row, lag)| {
        Warning::degrading(
            Reason::Lagging,
            format!("{} is {} entries behind the leader", name(row), count(lag)),
        )
    })
    .collect()
}

fn errors(rows: &[Row]) -> Vec<Warning> {
    rows.iter()
        .flat_map(|row| {
            row.errors.iter().map(|error| {
                Warning::degrading(
                    Reason::MemberError,
                    format!("{} complains: {error}", name(row)),
                )
            })
        })
        .collect()
}

/// A node that could not be asked although its member answers others: the member is well, the way to it is not.
fn not_asked(rows: &[Row]) -> Vec<Warning> {
    rows.iter()
        .filter_map(|row| {
            let (node, seen_from, problem) = (
                row.node.as_ref()?,
                row.seen_from.as_ref()?,
                row.problem.as_ref()?,
            );
            Some(Warning::degrading(
                Reason::NodeNotAsked,
                format!(
                    "{node} could not be asked itself and is shown as seen from {seen_from}: {}",
                    problem.detail
                ),
            ))
        })
        .collect()
}

fn versions(rows: &[Row]) -> Option<Warning> {
    let (_, which) = differing(rows, |row| row.version.as_deref())?;
    Some(Warning::note(
        Reason::VersionsDiffer,
        format!("the members run different versions: {which}"),
    ))
}

fn downgrade(rows: &[Row]) -> Option<Warning> {
    let target = rows
        .iter()
        .find_map(|row| row.downgrade_target.as_deref())?;
    Some(Warning::note(
        Reason::DowngradeUnderWay,
        format!("a downgrade to {target} is under way"),
    ))
}

fn learners(rows: &[Row]) -> Vec<Warning> {
    rows.iter()
        .filter(|row| row.role == Role::Learner)
        .map(|row| {
            Warning::note(
                Reason::Learner,
                format!(
                    "{} is a learner: it has no vote and answers no client",
                    name(row)
                ),
            )
        })
        .collect()
}

/// Pods that say they are an etcd. Of one that somebody made who may create pods in `kube-system` nothing is known to be
/// wrong; one that a kubelet made is a member that is not seen, or somebody who wants to be taken for one.
fn left_alone(evidence: &Evidence<'_>) -> Vec<Warning> {
    let told = evidence.asked.left_alone.iter().map(|left| {
        let make = if left.is_suspect() {
            Warning::degrading
        } else {
            Warning::note
        };
        Warning {
            hint: left.hint(),
            ..make(Reason::PodLeftAlone, left.to_string())
        }
    });
    told.collect()
}

fn fragmented(rows: &[Row]) -> Option<Warning> {
    let worth: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let (size, used) = (row.db_size_bytes?, row.db_in_use_bytes?);
            let worth = size > WORTH_DEFRAGMENTING_BYTES && used < size / 2;
            worth.then(|| format!("{} on {}", bytes(size - used), name(row)))
        })
        .collect();
    (!worth.is_empty()).then(|| {
        Warning::note(
            Reason::WorthDefragmenting,
            format!("a defragmentation would give back {}", and(&worth)),
        )
        .hint(Task::Defragment.choosing(Choice::DryRun))
    })
}
