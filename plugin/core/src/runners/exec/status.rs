//! Status of several nodes by few calls of etcdctl: each call starts a program on a node, and that is what takes the
//! time.

use std::time::Duration;

use etcd_operations::client::etcdctl::{Etcdctl, EtcdctlEndpoint};
use etcd_operations::client::{CallError, EtcdApi, EtcdEndpoint, OWN_LIMIT};
use etcd_operations::failure::{Answer, Failure, FailureKind};
use etcd_operations::operation::Operation;
use etcd_operations::report::{
    Alarm, EndpointStatus, Member, MemberList, PeerStatus, Report, StatusReport,
};
use etcd_operations::run::peers;
use etcd_operations::target::Target;
use futures::future::join_all;

use super::{PodExec, etcdctl};
use crate::connection::Connection;
use crate::discovery::Node;
use crate::limits;
use crate::outcome::RunError;

/// One call asks all members for their accounts, and each that it did not hear is asked on its own node. The list of
/// members and the alarms, which are the same everywhere, come from the first node that tells them. Members on none of
/// these nodes are asked from there too.
pub(super) async fn of_all(
    connection: &Connection,
    nodes: &[&Node],
    limit: Duration,
) -> Vec<Result<Report, RunError>> {
    let own = async {
        let told = told_by_one(connection, nodes).await;
        let rest = nodes.iter().zip(told).map(|(node, told)| async move {
            match told {
                Some(status) => Ok(Answer::Ok(status)),
                None => own_status(connection, node, limit).await,
            }
        });
        join_all(rest).await
    };
    let lists = async {
        for (number, node) in nodes.iter().enumerate() {
            let Ok(endpoint) = endpoint(connection, node).await else {
                continue;
            };
            match lists(&endpoint).await {
                Asked::Told(lists) => return Some((number, lists)),
                Asked::ByNobody => return None,
                Asked::Silent => {}
            }
        }
        None
    };
    let (own, lists) = futures::join!(own, lists);
    let Some((teller, lists)) = lists else {
        let report = |own| status_report(own, Shared::not_asked(None), Vec::new());
        return own.into_iter().map(|own| own.map(report)).collect();
    };
    let mut peers = match etcdctl(connection, nodes[teller], &Operation::Status) {
        Ok((etcdctl, _)) => {
            let others = beyond(nodes, &lists.members.members);
            // Where the etcd pod's certificate is not accepted there, that is the answer.
            peers(&etcdctl, others, OWN_LIMIT).await
        }
        Err(_) => Vec::new(),
    };
    let name = nodes[teller].name.as_str();
    let accounts = own.iter().filter_map(|own| own.as_ref().ok()?.ok());
    let mut shared = Some(lists.with(accounts));
    let mut reports = Vec::new();
    for (number, own) in own.into_iter().enumerate() {
        let (shared, peers) = match shared.take_if(|_| number == teller) {
            Some(shared) => (shared, std::mem::take(&mut peers)),
            None => (Shared::not_asked(Some(name)), Vec::new()),
        };
        reports.push(own.map(|own| status_report(own, shared, peers)));
    }
    reports
}

/// The members that have started and listen at none of these nodes' URLs: not asked they would count as down.
fn beyond<'m>(nodes: &[&Node], members: &'m [Member]) -> impl Iterator<Item = &'m Member> {
    let targets = nodes.iter().filter_map(|node| node.target());
    let asked: Vec<&String> = targets.flat_map(|target| &target.client_urls).collect();
    let others = members.iter().filter(move |member| {
        !member.client_urls.is_empty() && !member.client_urls.iter().any(|url| asked.contains(&url))
    });
    others.collect::<Vec<_>>().into_iter()
}

async fn endpoint<'a>(
    connection: &'a Connection,
    node: &'a Node,
) -> Result<EtcdctlEndpoint<PodExec<'a>>, RunError> {
    let (etcdctl, target) = etcdctl(connection, node, &Operation::Status)?;
    let url = target.client_urls.first().map_or("", String::as_str);
    etcdctl.endpoint(url).await
}

/// The member's own account.
///
/// # Errors
/// When etcdctl could not be run there.
async fn own_status(
    connection: &Connection,
    node: &Node,
    limit: Duration,
) -> Result<Answer<EndpointStatus>, RunError> {
    let quota = node.target().and_then(|target| target.quota_bytes);
    let endpoint = endpoint(connection, node).await?;
    // etcdctl ends a second later at the latest.
    match endpoint
        .status(limit.saturating_sub(Duration::from_secs(1)))
        .await
    {
        Ok(status) => Ok(Answer::Ok(with_quota(status, quota))),
        Err(error) if error.is_transport() => Err(error),
        Err(error) => Ok(Answer::Failed(error.into())),
    }
}

/// The report of another node's member, as it is heard over the network.
///
/// # Errors
/// When it does not answer.
pub(super) async fn of_other(
    etcdctl: &Etcdctl<PodExec<'_>>,
    target: &Target,
) -> Result<Report, RunError> {
    let (_, status) = etcdctl.own(target, OWN_LIMIT).await?;
    let own = Answer::Ok(with_quota(status, target.quota_bytes));
    Ok(status_report(own, Shared::not_asked(None), Vec::new()))
}

/// The accounts of these nodes' members as far as one etcdctl hears them at once over the network: on the last node or, where
/// it cannot be run there, on the one before.
async fn told_by_one(connection: &Connection, nodes: &[&Node]) -> Vec<Option<EndpointStatus>> {
    if let [_, .., _] = nodes {
        for teller in nodes.iter().rev().take(2) {
            if let Some(told) = told_by(connection, teller, nodes).await {
                return told;
            }
        }
    }
    vec![None; nodes.len()]
}

/// The accounts that one etcdctl on this node hears; none: it cannot be run there, or not in time.
async fn told_by(
    connection: &Connection,
    teller: &Node,
    nodes: &[&Node],
) -> Option<Vec<Option<EndpointStatus>>> {
    let (etcdctl, _) = etcdctl(connection, teller, &Operation::Status).ok()?;
    let targets: Vec<_> = nodes.iter().map(|node| node.target()).collect();
    let urls = targets.iter().flatten();
    let urls: Vec<_> = urls.filter_map(|t| t.url_beyond_the_node()).collect();
    let heard = etcdctl.statuses(&urls, limits::EXEC_TOGETHER);
    let heard = tokio::time::timeout(limits::EXEC_TOGETHER, heard).await;
    let heard = heard.ok()?.ok()?;
    let account = |target: &Option<&Target>| its_own(target.as_ref()?, &heard);
    Some(targets.iter().map(account).collect())
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

/// What is the same on every member, as one of them has told it.
struct Shared {
    members: Answer<MemberList>,
    alarms: Answer<Vec<Alarm>>,
}

impl Shared {
    /// For nodes that were not asked, since another one has told.
    fn not_asked(teller: Option<&str>) -> Self {
        let failure = Failure::other(match teller {
            Some(node) => format!("not asked here: {node} has told it"),
            None => "no node told it".to_owned(),
        });
        Self {
            members: Answer::Failed(failure.clone()),
            alarms: Answer::Failed(failure),
        }
    }
}

/// The list of members, and the alarms unless each member tells them in its own account.
struct Lists {
    members: MemberList,
    /// None: the quorum has just answered, so the accounts have them all; a call less.
    alarms: Option<Answer<Vec<Alarm>>>,
}

impl Lists {
    /// With the alarms of these accounts, where they are nowhere else.
    fn with<'a>(self, accounts: impl Iterator<Item = &'a EndpointStatus>) -> Shared {
        Shared {
            members: Answer::Ok(self.members),
            alarms: self.alarms.unwrap_or_else(|| alarms_in(accounts)),
        }
    }
}

fn alarms_in<'a>(accounts: impl Iterator<Item = &'a EndpointStatus>) -> Answer<Vec<Alarm>> {
    let mut accounts = accounts.peekable();
    if accounts.peek().is_none() {
        return Answer::Failed(Failure::other("no member told its alarms"));
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
fn status_report(own: Answer<EndpointStatus>, shared: Shared, peers: Vec<PeerStatus>) -> Report {
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

/// What became of asking a member for the lists.
enum Asked {
    Told(Lists),
    /// Others cannot tell them either: without the quorum, or without an apiserver to ask them through.
    ByNobody,
    /// Another one may.
    Silent,
}

/// The list of members and the alarms.
async fn lists(endpoint: &EtcdctlEndpoint<PodExec<'_>>) -> Asked {
    let failure: Failure = match endpoint.try_agreed_members(limits::EXEC_QUORUM).await {
        Ok(members) => {
            let alarms = match endpoint.lists_by_quorum() {
                true => None,
                false => Some(endpoint.alarms(limits::EXEC_QUORUM).await.into()),
            };
            return Asked::Told(Lists { members, alarms });
        }
        Err(error) if error.kind.is_without_apiserver() => return Asked::ByNobody,
        Err(error) if error.is_transport() => return Asked::Silent,
        Err(error) => error.into(),
    };
    match endpoint.own_view(OWN_LIMIT).await {
        Ok(Some(members)) => Asked::Told(Lists {
            members,
            alarms: Some(Answer::Failed(failure)),
        }),
        _ if failure.kind == FailureKind::NoQuorum => Asked::ByNobody,
        _ => Asked::Silent,
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::ids::{ClusterId, MemberId};
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
        let status = |(n, id): (usize, u64)| EndpointStatus {
            endpoint: format!("https://10.0.0.{n}:2379"),
            cluster_id: ClusterId(1),
            member_id: MemberId(id),
            version: "3.5.1".to_owned(),
            storage_version: None,
            db_size_bytes: 0,
            db_in_use_bytes: None,
            quota_bytes: None,
            leader: None,
            is_learner: false,
            raft_term: 1,
            raft_index: 1,
            raft_applied_index: 1,
            revision: 1,
            errors: Vec::new(),
            downgrade_target: None,
            took_ms: 1,
        };
        ids.into_iter().enumerate().map(status).collect()
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
