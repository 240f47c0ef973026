//! One row for each node, then one for each member that is on none of them.

use std::collections::BTreeSet;

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::ids::MemberId;
use etcd_operations::report::{
    Alarm, AlarmKind, EndpointStatus, Member, NodeEvidence, StatusReport,
};
use etcd_operations::target::Target;

use super::evidence::{Account, Evidence};
use super::model::{Problem, QuotaSource, Role, Row};
use super::{DEFAULT_QUOTA_BYTES, Scope, Standing};
use crate::discovery::{Etcd, Node};
use crate::format::counted;
use crate::outcome::{Outcome, RunError, RunErrorKind};

/// All rows, in the order of the nodes, then of the list of members.
pub(super) fn rows(evidence: &Evidence<'_>) -> Vec<Row> {
    let mut shown = BTreeSet::new();
    let mut rows = Vec::new();
    for node in evidence.asked.nodes {
        let id = member_of(evidence, node);
        shown.extend(id);
        rows.push(node_row(evidence, node, id));
    }
    if evidence.asked.scope != Scope::Named {
        let others = evidence
            .members()
            .iter()
            .filter(|member| !shown.contains(&member.id));
        rows.extend(others.map(|member| member_row(evidence, member)));
    }
    rows
}

/// Which member is a node's: the one that answered there, else the one whose peer address is the node's, else by name.
/// Names come last: they can be given twice, addresses cannot.
fn member_of(evidence: &Evidence<'_>, node: &Node) -> Option<MemberId> {
    if let Some(own) = evidence
        .report_of(&node.name)
        .and_then(|report| report.own.ok())
    {
        return Some(own.member_id);
    }
    let members = evidence.members();
    let by_name = |name: &str| members.iter().find(|member| member.name == name);
    let by_address = || members.iter().find(|member| node.is_of(member));
    let found = match &node.etcd {
        Etcd::Found(target) => by_address().or_else(|| by_name(&target.member_name)),
        Etcd::Absent { .. } => by_name(&node.name),
        Etcd::Unknown { .. } => by_address().or_else(|| by_name(&node.name)),
        Etcd::External { .. } => None,
    };
    found.map(|member| member.id)
}

fn node_row(evidence: &Evidence<'_>, node: &Node, id: Option<MemberId>) -> Row {
    let account = id.and_then(|id| evidence.accounts.get(&id)).copied();
    let member = id.and_then(|id| evidence.members().iter().find(|member| member.id == id));
    let target = match &node.etcd {
        Etcd::Found(target) => Some(target),
        Etcd::Absent { .. } | Etcd::Unknown { .. } | Etcd::External { .. } => None,
    };
    let outcome = evidence.outcome_of(&node.name);
    let mut row = row(evidence, account, member, id, target);
    row.node = Some(node.name.clone());
    row.standing = match (account, evidence.majority) {
        (Some(account), Some(majority)) if account.own => majority.standing_of(account.status),
        _ => Standing::Untold,
    };
    row.other_etcds = node.api.other_etcds.clone();
    row.via = outcome
        .and_then(|outcome| outcome.via)
        .map(|via| via.to_string());
    if row.member.is_none() {
        row.member = target.map(|target| target.member_name.clone());
    }
    row.problem = problem(evidence, node, outcome).or(row.problem);
    if account.is_none() && matches!(node.etcd, Etcd::Absent { .. }) && member.is_none() {
        row.role = Role::NoEtcd;
    }
    let by_peers = id.is_some_and(|id| peer_failure(evidence, id).is_some());
    if row.role == Role::Down && !by_peers && !was_asked(evidence, outcome) {
        row.role = Role::Unknown;
    }
    row
}

/// Whether etcd itself was asked on a node, or shown not to run there.
fn was_asked(evidence: &Evidence<'_>, outcome: Option<&Outcome<StatusReport>>) -> bool {
    match outcome.map(|outcome| &outcome.result) {
        Some(Ok(_)) => true,
        Some(Err(error)) => match error.kind {
            RunErrorKind::EtcdNotRunning
            | RunErrorKind::NoEtcd
            | RunErrorKind::OperationFailed(_) => true,
            // A neighbour has asked it over the network.
            RunErrorKind::NodeDown => !evidence.reports.is_empty(),
            _ => false,
        },
        None => false,
    }
}

fn member_row(evidence: &Evidence<'_>, member: &Member) -> Row {
    let account = evidence.accounts.get(&member.id).copied();
    let mut row = row(evidence, account, Some(member), Some(member.id), None);
    if account.is_none() && member.started() {
        row.problem = peer_failure(evidence, member.id).map(|failure| Problem {
            short: failure_word(failure.kind).to_owned(),
            detail: failure.message.clone(),
            hint: failure.hint.clone(),
        });
    }
    row
}

/// What the account and the list of members tell.
fn row(
    evidence: &Evidence<'_>,
    account: Option<Account<'_>>,
    member: Option<&Member>,
    id: Option<MemberId>,
    target: Option<&Target>,
) -> Row {
    let status = account.map(|account| account.status);
    let (quota_bytes, quota_source) = quota(status, target);
    Row {
        node: None,
        member: member
            .map(|member| member.name.clone())
            .filter(|name| !name.is_empty()),
        member_id: id.map(|id| id.to_string()),
        cluster_id: status.map(|status| status.cluster_id.to_string()),
        role: role(status, member),
        seen_from: account
            .filter(|account| !account.own)
            .map(|account| account.heard_on.to_owned()),
        via: None,
        endpoint: status.map(|status| status.endpoint.clone()),
        client_urls: member
            .map(|member| member.client_urls.clone())
            .unwrap_or_default(),
        peer_urls: member
            .map(|member| member.peer_urls.clone())
            .unwrap_or_default(),
        version: status.map(|status| status.version.clone()),
        storage_version: status.and_then(|status| status.storage_version.clone()),
        db_size_bytes: status.map(|status| status.db_size_bytes),
        db_in_use_bytes: status.and_then(|status| status.db_in_use_bytes),
        quota_bytes,
        quota_source,
        raft_term: status.map(|status| status.raft_term),
        raft_index: status.map(|status| status.raft_index),
        raft_applied_index: status.map(|status| status.raft_applied_index),
        lag: account.and_then(|account| lag(evidence, account)),
        revision: status.map(|status| status.revision),
        downgrade_target: status.and_then(|status| status.downgrade_target.clone()),
        alarms: id.map(|id| alarms_of(evidence, id)).unwrap_or_default(),
        errors: status.map(complaints).unwrap_or_default(),
        problem: None,
        took_ms: status.map(|status| status.took_ms),
        standing: Standing::Untold,
        other_etcds: Vec::new(),
    }
}

fn role(status: Option<&EndpointStatus>, member: Option<&Member>) -> Role {
    match status {
        Some(status) if status.is_learner => Role::Learner,
        Some(status) => match status.leader {
            None => Role::NoLeader,
            Some(leader) if leader == status.member_id => Role::Leader,
            Some(_) => Role::Follower,
        },
        None if member.is_some_and(|member| !member.started()) => Role::NotStarted,
        None => Role::Down,
    }
}

/// The quota in force. etcd before 3.6 does not tell it; the flag does, and without one the default is in force. Of a
/// member that is on no known node the flags are unknown, and so is the quota.
fn quota(
    status: Option<&EndpointStatus>,
    target: Option<&Target>,
) -> (Option<u64>, Option<QuotaSource>) {
    let Some(status) = status else {
        return (None, None);
    };
    match status
        .quota_bytes
        .or_else(|| target.and_then(|target| target.quota_bytes))
    {
        Some(0) | None if target.is_some() => {
            (Some(DEFAULT_QUOTA_BYTES), Some(QuotaSource::Default))
        }
        Some(0) | None => (None, None),
        Some(bytes) => (Some(bytes), Some(QuotaSource::Told)),
    }
}

/// Even so a follower may have applied what the leader's answer does not have yet: that is no lag.
fn lag(evidence: &Evidence<'_>, account: Account<'_>) -> Option<u64> {
    let leader = evidence.leader_beside(account)?;
    (leader.cluster_id == account.status.cluster_id).then(|| {
        leader
            .raft_index
            .saturating_sub(account.status.raft_applied_index)
    })
}

fn alarms_of(evidence: &Evidence<'_>, id: MemberId) -> Vec<String> {
    let of_member = evidence.alarms.iter().filter(|alarm| alarm.member_id == id);
    of_member
        .map(|alarm| alarm_word(alarm.alarm).to_owned())
        .collect()
}

/// An alarm as etcd calls it.
pub fn alarm_word(alarm: AlarmKind) -> &'static str {
    match alarm {
        AlarmKind::NoSpace => "NOSPACE",
        AlarmKind::Corrupt => "CORRUPT",
        AlarmKind::Unknown => "unknown alarm",
    }
}

/// What a member complains of beside alarms, which have their own field, and having no leader, which its role says.
fn complaints(status: &EndpointStatus) -> Vec<String> {
    let already_said =
        |error: &&String| Alarm::in_error(error).is_some() || error.contains("no leader");
    status
        .errors
        .iter()
        .filter(|error| !already_said(error))
        .cloned()
        .collect()
}

/// What is wrong with a node or with asking it.
fn problem(
    evidence: &Evidence<'_>,
    node: &Node,
    outcome: Option<&Outcome<StatusReport>>,
) -> Option<Problem> {
    if let Some(report) = evidence.report_of(&node.name) {
        let failure = report.own.failure()?;
        return Some(etcd_problem(failure, report.evidence.as_ref()));
    }
    if let Some(Err(error)) = outcome.map(|outcome| &outcome.result)
        && error.kind != RunErrorKind::NoEtcd
    {
        return Some(Problem {
            short: run_error_word(error).to_owned(),
            detail: error.message.clone(),
            hint: error.hint.clone(),
        });
    }
    match &node.etcd {
        Etcd::Absent { why, hint } => Some(Problem {
            short: "no etcd here".to_owned(),
            detail: why.clone(),
            hint: hint.clone(),
        }),
        Etcd::Unknown { why, hint, .. } => Some(Problem {
            short: "not reached".to_owned(),
            detail: why.clone(),
            hint: hint.clone(),
        }),
        Etcd::Found(_) | Etcd::External { .. } => None,
    }
}

/// Why a member does not answer on its own node: by its last words, else by the lock on its database.
fn etcd_problem(failure: &Failure, evidence: Option<&NodeEvidence>) -> Problem {
    let restarts = evidence
        .and_then(|evidence| evidence.restarts)
        .filter(|restarts| *restarts > 0)
        .map(|restarts| format!(" (restarted {})", counted(restarts as usize, "time")))
        .unwrap_or_default();
    let said = |short: &str, detail: String| Problem {
        short: short.to_owned(),
        detail,
        hint: failure.hint.clone(),
    };
    let Some(evidence) = evidence else {
        return said(failure_word(failure.kind), failure.message.clone());
    };
    let running = evidence.db_locked == Some(true);
    match (&evidence.last_words, running, evidence.db_file_bytes) {
        (Some(words), false, _) => said(
            "etcd does not start",
            format!("etcd does not start{restarts}: \"{}\"", words.trim()),
        ),
        (_, true, _) => said(
            "etcd does not answer",
            format!(
                "etcd runs but does not answer{restarts}: {}",
                failure.message
            ),
        ),
        (None, false, None) => said(
            "no database",
            format!(
                "etcd does not run{restarts} and its database file is missing: {}",
                failure.message
            ),
        ),
        (None, false, Some(_)) => said(
            "etcd does not run",
            format!("etcd does not run{restarts}: {}", failure.message),
        ),
    }
}

fn peer_failure<'a>(evidence: &Evidence<'a>, id: MemberId) -> Option<&'a Failure> {
    evidence
        .reports
        .iter()
        .flat_map(|(_, report)| &report.peers)
        .filter(|peer| peer.member_id == id)
        .find_map(|peer| peer.answer.failure())
}

/// A failed request in a few words.
pub(crate) fn failure_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unreachable => "does not answer",
        FailureKind::Unauthorized => "refuses the certificate",
        FailureKind::NoQuorum => "no quorum",
        FailureKind::NoSpace => "no space",
        FailureKind::Corrupt => "data damaged",
        FailureKind::Missing => "files missing",
        FailureKind::Refused => "refused",
        FailureKind::Interrupted => "interrupted",
        FailureKind::Other => "failed",
    }
}

/// Why a node could not be asked, in a few words.
pub(crate) fn run_error_word(error: &RunError) -> &'static str {
    match error.kind {
        RunErrorKind::NodeDown => "kubelet does not answer",
        RunErrorKind::KubeletSilent => "kubelet unreachable",
        RunErrorKind::PodNotStarted => "pod does not start",
        RunErrorKind::ImageMissing => "image missing",
        RunErrorKind::AdmissionRefused => "admission refused",
        RunErrorKind::QuotaExceeded => "quota exceeded",
        RunErrorKind::NoRights => "no rights",
        RunErrorKind::WritesRefused => "etcd refuses writes",
        RunErrorKind::NoController => "no controller",
        RunErrorKind::EtcdNotRunning => "etcd does not run",
        RunErrorKind::NotSupportedByRunner => "not by this runner",
        RunErrorKind::TimedOut => "timed out",
        RunErrorKind::OperationFailed(kind) => failure_word(kind),
        RunErrorKind::OtherVersion => "other version",
        RunErrorKind::NotReached => "not reached",
        RunErrorKind::NoEtcd => "no etcd here",
        RunErrorKind::ApiserverLost | RunErrorKind::EtcdLost => "apiserver lost",
        RunErrorKind::Lost => "pod vanished",
        RunErrorKind::Other => "failed",
    }
}
