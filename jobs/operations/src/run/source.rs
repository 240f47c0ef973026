//! The member a scheduled snapshot is taken from: the node's own while it is healthy, else another one that is.

use crate::advice;
use crate::advice::Task;
use std::ops::ControlFlow;
use std::path::Path;

use etcd_datadir::datadir::{InspectOptions, inspect};
use tokio::time::timeout;

use crate::client::{Connector, Endpoint, EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::{Failure, FailureKind};
use crate::limits::DATA_LIMIT;
use crate::report::{AlarmKind, EndpointStatus, MemberList};
use crate::target::{Target, host, is_loopback};

/// Where a snapshot is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The member's client URL.
    pub(super) url: String,
    /// Why it is not the node's own member; none: it is.
    pub(super) instead_of_own: Option<String>,
}

/// Finds a healthy member. `founders` are peer URLs the node's manifest names.
///
/// # Errors
/// Why the own member is not healthy, and that none of the others is.
pub(super) async fn choose(
    connector: &Connector,
    target: &Target,
    founders: &[String],
) -> Result<Chosen, Failure> {
    let (why, members) = match connector.own(target, OWN_LIMIT).await {
        Ok((endpoint, status)) => match healthy(&endpoint, &status).await {
            Ok(()) => {
                return Ok(Chosen {
                    url: endpoint.url().to_owned(),
                    instead_of_own: None,
                });
            }
            Err(why) => (why, endpoint.members(OWN_LIMIT).await.ok()),
        },
        Err(failure) => (failure, None),
    };
    let others = match members {
        Some(list) => urls_of(&list, target),
        None => known_without(target, founders).await,
    };
    let mut tried = Vec::new();
    for url in others {
        match ask(connector, &url).await {
            Ok(()) => {
                return Ok(Chosen {
                    url,
                    instead_of_own: Some(why.message),
                });
            }
            Err(failure) => tried.push(failure.message),
        }
    }
    let message = if tried.is_empty() {
        format!("no other member is known, and that of this node is not healthy: {why}")
    } else {
        format!(
            "no member is healthy: {why}; and of the others: {}",
            tried.join("; ")
        )
    };
    Err(Failure::new(why.kind, message)
        .hint(advice![Task::ShowStatus, " shows how the members are"]))
}

/// The client URLs of the others, by the list of a member that answers. Which of several members is on this node, its own
/// URLs tell.
fn urls_of(list: &MemberList, target: &Target) -> Vec<String> {
    let others = list
        .members
        .iter()
        .filter(|member| member.id != list.answered_by && !member.is_learner);
    let urls = others.filter_map(|member| member.client_urls.first().cloned());
    not_own(urls, target)
}

/// Those of a member that does not answer: what its data says, else what its manifest does.
async fn known_without(target: &Target, founders: &[String]) -> Vec<String> {
    let (folder, wal_dir) = (target.data_dir.clone(), target.wal_dir.clone());
    let look = tokio::task::spawn_blocking(move || in_data(&folder, wal_dir.as_deref()));
    let in_data = match timeout(DATA_LIMIT, look).await {
        Ok(Ok(urls)) => urls,
        // A disk that hangs must not keep us from the others.
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    let port = target
        .client_urls
        .first()
        .and_then(|url| url.rsplit_once(':'))
        .map_or("2379", |(_, port)| port.trim_end_matches('/'));
    let by_manifest = founders.iter().filter_map(|peer| beside(peer, port));
    let mut urls = not_own(in_data.into_iter().chain(by_manifest), target);
    let mut seen = std::collections::BTreeSet::new();
    urls.retain(|url| seen.insert(url.clone()));
    urls
}

/// The client URLs in a data directory.
fn in_data(folder: &Path, wal_dir: Option<&Path>) -> Vec<String> {
    let options = InspectOptions {
        wal_dir: wal_dir.map(Path::to_owned),
        skip_database_check: true,
    };
    let Ok(found) = inspect(folder, &options, &mut |_| ControlFlow::Continue(())) else {
        return Vec::new();
    };
    let members = found.database.facts().map(|facts| &facts.members);
    let voters = members.into_iter().flatten().filter(|one| !one.is_learner);
    voters
        .filter_map(|member| member.client_urls.first().cloned())
        .collect()
}

/// The client URL on the host of a peer URL.
fn beside(peer: &str, port: &str) -> Option<String> {
    let (base, _) = peer.trim_end_matches('/').rsplit_once(':')?;
    base.contains("://").then(|| format!("{base}:{port}"))
}

/// Without those that lead to this node.
fn not_own(urls: impl Iterator<Item = String>, target: &Target) -> Vec<String> {
    let own: Vec<&str> = target
        .client_urls
        .iter()
        .chain(&target.peer_urls)
        .map(|url| host(url))
        .collect();
    urls.filter(|url| !is_loopback(url) && !own.contains(&host(url)))
        .collect()
}

async fn ask(connector: &Connector, url: &str) -> Result<(), Failure> {
    let endpoint = connector.endpoint(url).await?;
    let status = endpoint.status(OWN_LIMIT).await?;
    healthy(&endpoint, &status).await
}

/// Whether a snapshot of a member holds all that the cluster had confirmed when it was begun.
async fn healthy(endpoint: &Endpoint, status: &EndpointStatus) -> Result<(), Failure> {
    let refused = |what: &str| {
        let message = format!("{} {what}", endpoint.url());
        Err(Failure::new(FailureKind::NoQuorum, message))
    };
    if status.is_learner {
        return refused("is a learner, which may lack what the others have confirmed");
    }
    if status.leader.is_none() {
        return refused("knows of no leader");
    }
    let corrupt = |alarm: &crate::report::Alarm| {
        alarm.alarm == AlarmKind::Corrupt && alarm.member_id == status.member_id
    };
    // Before the read: a CORRUPT alarm makes etcd refuse reads, and that is what has to be said.
    if endpoint.alarms(QUORUM_LIMIT).await?.iter().any(corrupt) {
        let message = format!("{} has a CORRUPT alarm", endpoint.url());
        return Err(Failure::corrupt(message));
    }
    endpoint.linearizable_read(QUORUM_LIMIT).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            node: "cp-1".into(),
            pod: "etcd-cp-1".into(),
            member_name: "cp-1".into(),
            client_urls: vec![
                "https://127.0.0.1:2379".into(),
                "https://10.0.0.1:2379".into(),
            ],
            peer_urls: vec!["https://10.0.0.1:2380".into()],
            tls: None,
            data_dir: "/nowhere".into(),
            wal_dir: None,
            quota_bytes: None,
            image: None,
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_member_without_data_is_replaced_by_what_the_manifest_names() {
        let founders = [
            "https://10.0.0.1:2380".to_owned(),
            "https://10.0.0.2:2380/".to_owned(),
            "https://[fd00::3]:2380".to_owned(),
            "nonsense".to_owned(),
        ];
        assert_eq!(
            known_without(&target(), &founders).await,
            ["https://10.0.0.2:2379", "https://[fd00::3]:2379"]
        );
    }
}
