//! What etcdctl prints, read into the same reports that the job gives. The JSON has had one shape from 3.4 to 3.7; ids
//! are numbers in it.

use std::time::Duration;

use serde::Deserialize;

use crate::client::{Needs, meaning};
use crate::failure::{Failure, FailureKind};
use crate::ids::{ClusterId, MemberId};
use crate::report::{
    Alarm, AlarmKind, Consistency, EndpointStatus, HashReport, Member, MemberList,
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Header {
    cluster_id: u64,
    member_id: u64,
    revision: i64,
    raft_term: u64,
}

#[derive(Deserialize)]
struct EndpointStatusLine {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "Status")]
    status: StatusBody,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct StatusBody {
    header: Header,
    version: String,
    storage_version: String,
    db_size: u64,
    db_size_in_use: u64,
    db_size_quota: u64,
    leader: u64,
    raft_index: u64,
    raft_term: u64,
    raft_applied_index: u64,
    errors: Vec<String>,
    is_learner: bool,
    downgrade_info: DowngradeInfo,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DowngradeInfo {
    enabled: bool,
    target_version: String,
}

#[derive(Deserialize)]
struct HashLine {
    #[serde(rename = "HashKV")]
    hash_kv: HashBody,
}

#[derive(Deserialize)]
struct HashBody {
    header: Header,
    hash: u32,
    #[serde(default)]
    compact_revision: i64,
}

#[derive(Deserialize)]
struct MemberListBody {
    header: Header,
    #[serde(default)]
    members: Vec<MemberLine>,
}

#[derive(Deserialize)]
struct MemberLine {
    #[serde(rename = "ID")]
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Vec<String>,
    #[serde(default, rename = "clientURLs")]
    client_urls: Vec<String>,
    #[serde(default, rename = "isLearner")]
    is_learner: bool,
}

#[derive(Deserialize)]
struct AlarmBody {
    #[serde(default)]
    alarms: Vec<AlarmLine>,
}

#[derive(Deserialize)]
struct AlarmLine {
    #[serde(default, rename = "memberID")]
    member_id: u64,
    #[serde(default)]
    alarm: u64,
}

#[derive(Deserialize)]
struct HealthLine {
    health: bool,
    #[serde(default)]
    took: String,
    #[serde(default)]
    error: String,
}

/// The accounts of the endpoints that answered, of `endpoint status -w json`. The quota is told from etcd 3.6 on.
pub(super) fn endpoint_statuses(
    stdout: &str,
    took: Duration,
) -> Result<Vec<EndpointStatus>, Failure> {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let lines: Vec<EndpointStatusLine> = parse(stdout)?;
    Ok(lines
        .into_iter()
        .map(|line| endpoint_status(line, took_ms))
        .collect())
}

fn endpoint_status(line: EndpointStatusLine, took_ms: u64) -> EndpointStatus {
    let body = line.status;
    let some_text = |text: String| (!text.is_empty()).then_some(text);
    EndpointStatus {
        endpoint: line.endpoint,
        cluster_id: ClusterId(body.header.cluster_id),
        member_id: MemberId(body.header.member_id),
        version: body.version,
        storage_version: some_text(body.storage_version),
        db_size_bytes: body.db_size,
        db_in_use_bytes: (body.db_size_in_use > 0).then_some(body.db_size_in_use),
        quota_bytes: (body.db_size_quota > 0).then_some(body.db_size_quota),
        leader: (body.leader != 0).then_some(MemberId(body.leader)),
        is_learner: body.is_learner,
        raft_term: body.raft_term,
        raft_index: body.raft_index,
        raft_applied_index: body.raft_applied_index,
        revision: body.header.revision,
        errors: body
            .errors
            .into_iter()
            .map(|error| error.trim().to_owned())
            .collect(),
        downgrade_target: body
            .downgrade_info
            .enabled
            .then_some(body.downgrade_info.target_version)
            .and_then(some_text),
        took_ms,
    }
}

/// The hash of the one endpoint that was asked, of `endpoint hashkv -w json`.
pub(super) fn hash(stdout: &str, revision: i64) -> Result<HashReport, Failure> {
    let lines: Vec<HashLine> = parse(stdout)?;
    let body = lines.into_iter().next();
    let body = body.ok_or_else(|| not_understood("an empty list"))?.hash_kv;
    Ok(HashReport {
        cluster_id: ClusterId(body.header.cluster_id),
        member_id: MemberId(body.header.member_id),
        revision,
        hash: body.hash,
        // -1 when there was no compaction.
        compact_revision: Some(body.compact_revision).filter(|compacted| *compacted > 0),
    })
}

/// The raft term of `endpoint status`'s header is the member's own; a list carries no more than ids.
pub(super) fn members(stdout: &str, consistency: Consistency) -> Result<MemberList, Failure> {
    let body: MemberListBody = parse(stdout)?;
    Ok(MemberList {
        cluster_id: ClusterId(body.header.cluster_id),
        answered_by: MemberId(body.header.member_id),
        consistency,
        members: body
            .members
            .into_iter()
            .map(|line| Member {
                id: MemberId(line.id),
                name: line.name,
                peer_urls: line.peer_urls,
                client_urls: line.client_urls,
                is_learner: line.is_learner,
            })
            .collect(),
    })
}

pub(super) fn alarms(stdout: &str) -> Result<Vec<Alarm>, Failure> {
    let body: AlarmBody = parse(stdout)?;
    let alarms = body.alarms.into_iter().map(|line| Alarm {
        member_id: MemberId(line.member_id),
        alarm: match line.alarm {
            1 => AlarmKind::NoSpace,
            2 => AlarmKind::Corrupt,
            _ => AlarmKind::Unknown,
        },
    });
    Ok(alarms.collect())
}

/// How long the linearizable read of `endpoint health` took.
pub(super) fn health(stdout: &str) -> Result<Duration, Failure> {
    let lines: Vec<HealthLine> = parse(stdout)?;
    let line = lines
        .into_iter()
        .next()
        .ok_or_else(|| not_understood("an empty list"))?;
    // With an alarm the read itself was answered; alarms are told apart from that.
    if !line.health && !line.error.starts_with("Active Alarm") {
        let said = match line.error.is_empty() {
            true => "the member is not healthy, and etcdctl does not say why".to_owned(),
            false => line.error,
        };
        return Err(understood(said, Needs::Quorum));
    }
    let took: jiff::SignedDuration = line.took.parse().map_err(|_| not_understood(&line.took))?;
    Ok(took.try_into().unwrap_or_default())
}

/// What etcdctl complains of. Its log lines come before the last one, `Error: …`.
pub(super) fn failure(stderr: &str, code: i32, needs: Needs) -> Failure {
    let mut lines = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let named = lines.clone().find_map(|line| line.strip_prefix("Error: "));
    let logged = lines.clone().rev().find_map(|line| {
        let log: serde_json::Value = serde_json::from_str(line).ok()?;
        log.get("error")?.as_str().map(str::to_owned)
    });
    let message = match (named, logged) {
        // The log line has the reason where the last line has only the time limit.
        (Some(named), Some(logged)) if !logged.contains(named) => format!("{named}: {logged}"),
        (Some(named), _) => named.to_owned(),
        (None, Some(logged)) => logged,
        (None, None) => lines.next_back().map_or(
            format!("etcdctl ended with exit code {code}"),
            str::to_owned,
        ),
    };
    understood(message, needs)
}

/// The failure of what etcdctl or etcd says: by etcdctl's own words first, else as the other backend takes etcd's.
fn understood(message: String, needs: Needs) -> Failure {
    let (meant, hint) = meaning(&message);
    let kind = kind_of(&message, needs).unwrap_or(meant);
    let failure = Failure::new(kind, message);
    match hint.filter(|_| kind == meant) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn kind_of(message: &str, needs: Needs) -> Option<FailureKind> {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&[
        "connection refused",
        "no such host",
        "connection error",
        "no route to host",
    ]) {
        Some(FailureKind::Unreachable)
    } else if has(&[
        "certificate",
        "handshake",
        "permission denied",
        "user name is empty",
    ]) {
        Some(FailureKind::Unauthorized)
    } else if has(&["database space exceeded"]) {
        Some(FailureKind::NoSpace)
    } else if has(&["no leader", "request timed out"]) {
        Some(FailureKind::NoQuorum)
    } else if has(&["deadline exceeded"]) {
        Some(match needs {
            Needs::Itself => FailureKind::Unreachable,
            Needs::Quorum => FailureKind::NoQuorum,
        })
    } else {
        None
    }
}

fn parse<'a, T: Deserialize<'a>>(stdout: &'a str) -> Result<T, Failure> {
    serde_json::from_str(stdout.trim()).map_err(|error| not_understood(&error.to_string()))
}

pub(super) fn not_understood(what: &str) -> Failure {
    Failure::other(format!("etcdctl's answer is not understood: {what}"))
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
