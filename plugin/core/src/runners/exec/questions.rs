//! What etcdctl is asked for: a member's own account, the lists, the other members.

use std::time::{Duration, Instant};

use etcd_operations::failure::{Answer, Failure, FailureKind};
use etcd_operations::report::{
    Alarm, Consistency, EndpointStatus, Member, MemberList, PeerStatus, Report, StatusReport,
};
use etcd_operations::target::Target;
use futures::future::join_all;

use super::{Etcdctl, Printed, etcdctl};
use crate::outcome::RunError;

/// How long a member on another node may take to answer: no longer than a Job gives it.
const PEER_LIMIT: Duration = Duration::from_secs(3);

/// How long the quorum may take for the list of members, before the member's own view is asked for.
const QUORUM_LIMIT: Duration = Duration::from_secs(4);

/// What is the same on every member, as one of them has told it.
pub(super) struct Shared {
    members: Answer<MemberList>,
    alarms: Answer<Vec<Alarm>>,
}

impl Shared {
    /// For nodes that were not asked, since another one has told.
    pub(super) fn not_asked(teller: Option<&str>) -> Self {
        let failure = Failure::new(
            FailureKind::Other,
            match teller {
                Some(node) => format!("not asked here: {node} has told it"),
                None => "no node told it".to_owned(),
            },
        );
        Self {
            members: Answer::Failed(failure.clone()),
            alarms: Answer::Failed(failure),
        }
    }
}

/// The list of members, and the alarms unless each member tells them in its own account.
pub(super) struct Lists {
    members: MemberList,
    /// None: the quorum has just answered, so the accounts have them all; a call less.
    alarms: Option<Answer<Vec<Alarm>>>,
}

impl Lists {
    /// With the alarms of these accounts, where they are nowhere else.
    pub(super) fn with<'a>(self, accounts: impl Iterator<Item = &'a EndpointStatus>) -> Shared {
        Shared {
            members: Answer::Ok(self.members),
            alarms: self.alarms.unwrap_or_else(|| alarms_in(accounts)),
        }
    }
}

fn alarms_in<'a>(accounts: impl Iterator<Item = &'a EndpointStatus>) -> Answer<Vec<Alarm>> {
    let mut accounts = accounts.peekable();
    if accounts.peek().is_none() {
        return Answer::Failed(Failure::new(
            FailureKind::Other,
            "no member told its alarms",
        ));
    }
    let mut alarms: Vec<Alarm> = Vec::new();
    for alarm in accounts.flat_map(EndpointStatus::alarms) {
        if !alarms.contains(&alarm) {
            alarms.push(alarm);
        }
    }
    Answer::Ok(alarms)
}

/// The report of a status: etcdctl sees no files, so there is no evidence.
pub(super) fn status_report(
    own: Answer<EndpointStatus>,
    shared: Shared,
    peers: Vec<PeerStatus>,
) -> Report {
    Report::Status(StatusReport {
        own,
        members: shared.members,
        alarms: shared.alarms,
        peers,
        evidence: None,
        // etcdctl sees no files.
        kept: None,
    })
}

/// What the members answer that listen at none of these URLs: without them they would count as down. Where the etcd
/// pod's certificate is not accepted there, that is the answer.
pub(super) async fn peers(etcdctl: &Etcdctl<'_>, lists: &Lists, asked: &[&str]) -> Vec<PeerStatus> {
    let asked_itself = |member: &&Member| {
        let mut urls = member.client_urls.iter();
        urls.any(|url| asked.contains(&url.as_str()))
    };
    let members = lists.members.members.iter();
    join_all(members.filter(|m| !asked_itself(m)).filter_map(|member| {
        let url = member.client_urls.first()?;
        Some(async move {
            let begun = Instant::now();
            let arguments = ["endpoint", "status", "-w", "json"];
            let answer = match etcdctl.call_at(url, PEER_LIMIT, &arguments).await {
                Ok(printed) => account(printed, None, begun),
                Err(error) => Answer::Failed(error.into()),
            };
            let member_id = member.id;
            PeerStatus { member_id, answer }
        })
    }))
    .await
}

/// The member's own account.
///
/// # Errors
/// When etcdctl could not be run there.
pub(super) async fn own_status(etcdctl: &Etcdctl<'_>) -> Result<Answer<EndpointStatus>, RunError> {
    let begun = Instant::now();
    let printed = etcdctl.call(&["endpoint", "status", "-w", "json"]).await?;
    Ok(account(printed, etcdctl.target.quota_bytes, begun))
}

/// The members' own accounts, by one call from this node; none for those that it does not hear.
pub(super) async fn accounts(
    etcdctl: &Etcdctl<'_>,
    targets: &[Option<&Target>],
) -> Vec<Option<EndpointStatus>> {
    let urls = targets.iter().flatten();
    let urls: Vec<_> = urls.filter_map(|t| t.url_beyond_the_node()).collect();
    let begun = Instant::now();
    let arguments = ["endpoint", "status", "-w", "json"];
    let printed = etcdctl
        .call_at(&urls.join(","), etcdctl.limit, &arguments)
        .await;
    // A failure is of those that were not heard; what the others said stands in the output all the same.
    let heard = printed
        .ok()
        .and_then(|printed| etcdctl::endpoint_statuses(&printed.stdout, took_ms(begun)).ok())
        .unwrap_or_default();
    let account = |target: &&Target| its_own(target, &heard);
    targets
        .iter()
        .map(|target| target.as_ref().and_then(account))
        .collect()
}

/// What was heard at this member's address, unless that address is a balancer's and so nobody's own.
fn its_own(target: &Target, heard: &[EndpointStatus]) -> Option<EndpointStatus> {
    let url = target.url_beyond_the_node()?;
    let status = heard.iter().find(|status| status.endpoint == url)?;
    let same = heard.iter().filter(|s| s.member_id == status.member_id);
    (same.count() == 1).then(|| with_quota(status.clone(), target.quota_bytes))
}

/// etcd before 3.6 does not tell its quota, only its flags do.
fn with_quota(status: EndpointStatus, by_flags: Option<u64>) -> EndpointStatus {
    EndpointStatus {
        quota_bytes: status.quota_bytes.or(by_flags),
        ..status
    }
}

pub(super) fn took_ms(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn account(printed: Printed, quota: Option<u64>, begun: Instant) -> Answer<EndpointStatus> {
    read(printed, |stdout| {
        let statuses = etcdctl::endpoint_statuses(stdout, took_ms(begun))?;
        let status = statuses.into_iter().next();
        let status = status.ok_or_else(|| etcdctl::not_understood("an empty list"))?;
        Ok(with_quota(status, quota))
    })
}

/// What became of asking a member for the lists.
pub(super) enum Asked {
    Told(Lists),
    /// Others cannot tell them either.
    WithoutQuorum,
    /// Another one may.
    Silent,
}

/// The list of members and the alarms.
pub(super) async fn lists(etcdctl: &Etcdctl<'_>) -> Asked {
    let quorums = match quorums_members(etcdctl, QUORUM_LIMIT).await {
        Ok(list) => list,
        Err(_) => return Asked::Silent,
    };
    let failure = match quorums {
        Answer::Ok(members) => {
            let alarms = match asks_quorum(etcdctl) {
                true => None,
                false => Some(listed_alarms(etcdctl).await),
            };
            return Asked::Told(Lists { members, alarms });
        }
        Answer::Failed(failure) => failure,
    };
    match own_members(etcdctl).await {
        Ok(Some(Answer::Ok(members))) => Asked::Told(Lists {
            members,
            alarms: Some(Answer::Failed(failure)),
        }),
        _ if failure.kind == FailureKind::NoQuorum => Asked::WithoutQuorum,
        _ => Asked::Silent,
    }
}

pub(super) async fn listed_alarms(etcdctl: &Etcdctl<'_>) -> Answer<Vec<Alarm>> {
    match etcdctl.call(&["alarm", "list", "-w", "json"]).await {
        Ok(printed) => read(printed, |stdout| {
            etcdctl::alarms(stdout).map(|(_, alarms)| alarms)
        }),
        Err(error) => Answer::Failed(error.into()),
    }
}

/// The member's own view, which needs no quorum; none where etcdctl cannot be asked for it, before 3.6.
pub(super) async fn own_members(
    etcdctl: &Etcdctl<'_>,
) -> Result<Option<Answer<MemberList>>, RunError> {
    if older(etcdctl, &["3.3.", "3.4.", "3.5."]) {
        return Ok(None);
    }
    let printed = etcdctl
        .call(&["member", "list", "--consistency=s", "-w", "json"])
        .await?;
    let unknown = printed
        .failure
        .as_ref()
        .is_some_and(|failure| failure.message.contains("unknown flag"));
    Ok((!unknown).then(|| {
        read(printed, |stdout| {
            etcdctl::members(stdout, Consistency::Serializable)
        })
    }))
}

pub(super) async fn quorums_members(
    etcdctl: &Etcdctl<'_>,
    limit: Duration,
) -> Result<Answer<MemberList>, RunError> {
    let list = ["member", "list", "-w", "json"];
    let printed = etcdctl.call_within(limit, &list).await?;
    let consistency = if asks_quorum(etcdctl) {
        Consistency::Linearizable
    } else {
        Consistency::Serializable
    };
    Ok(read(printed, |stdout| {
        etcdctl::members(stdout, consistency)
    }))
}

/// Whether `member list` asks the quorum unless told otherwise: from 3.5 on.
fn asks_quorum(etcdctl: &Etcdctl<'_>) -> bool {
    !older(etcdctl, &["3.3.", "3.4."])
}

/// By the image's tag; another one counts as new.
fn older(etcdctl: &Etcdctl<'_>, lines: &[&str]) -> bool {
    let image = etcdctl.target.image.as_deref().unwrap_or_default();
    let tag = image
        .rsplit_once(':')
        .map_or("", |(_, tag)| tag)
        .trim_start_matches('v');
    lines.iter().any(|line| tag.starts_with(line))
}

pub(super) fn answered<T>(answer: Answer<T>) -> Result<T, RunError> {
    match answer {
        Answer::Ok(value) => Ok(value),
        Answer::Failed(failure) => Err(failure.into()),
    }
}

pub(super) fn read<T>(
    printed: Printed,
    parse: impl FnOnce(&str) -> Result<T, Failure>,
) -> Answer<T> {
    match printed.failure {
        Some(failure) => Answer::Failed(failure),
        None => parse(&printed.stdout).into(),
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::ids::MemberId;
    use serde_json::json;

    use super::*;

    fn target(url: &str) -> Target {
        serde_json::from_value(json!({
            "node": "n", "pod": "etcd-n", "memberName": "n", "peerUrls": [], "dataDir": "/d",
            "clientUrls": ["https://127.0.0.1:2379", url], "quotaBytes": 1 << 30,
        }))
        .unwrap()
    }

    fn heard(ids: [u64; 2]) -> Vec<EndpointStatus> {
        let line = |(n, id): (usize, u64)| json!({"Endpoint": format!("https://10.0.0.{n}:2379"), "Status": {"header": {"member_id": id}, "version": "3.5.1"}});
        let lines: Vec<_> = ids.into_iter().enumerate().map(line).collect();
        etcdctl::endpoint_statuses(&json!(lines).to_string(), 1).unwrap()
    }

    #[test]
    fn each_member_gets_its_own_account_and_the_quota_of_its_flags() {
        let account = its_own(&target("https://10.0.0.1:2379"), &heard([7, 8])).unwrap();
        assert_eq!(account.member_id, MemberId(8));
        assert_eq!(account.quota_bytes, Some(1 << 30));
        assert!(its_own(&target("https://10.0.0.9:2379"), &heard([7, 8])).is_none());
        assert!(
            its_own(&target("https://10.0.0.1:2379"), &heard([7, 7])).is_none(),
            "one member answers at two addresses"
        );
        let only_here = target("https://localhost:2379");
        assert!(its_own(&only_here, &heard([7, 8])).is_none());
    }
}
