//! Status: what the member, its peers and the node say, complete in less than three seconds whatever is broken.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::join;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::client::{Connector, EtcdApi, EtcdEndpoint, OWN_LIMIT};
use crate::evidence;
use crate::failure::{Answer, Failure};
use crate::ids::ClusterId;
use crate::limits::{ALARMS_LIMIT, EVIDENCE_LIMIT, STATUS_LIMIT};
use crate::report::{
    KeptSnapshot, KeptState, KeptSummary, Member, NodeEvidence, PeerStatus, StatusReport,
};
use crate::stored::{FOLDER, folder};
use crate::target::Target;

pub(super) async fn status(target: &Target, connector: Result<Connector, Failure>) -> StatusReport {
    let begun = Instant::now();
    let asked = async {
        match connector {
            Ok(connector) => ask(target, &connector, begun).await,
            Err(failure) => nothing_but(&failure),
        }
    };
    let (mut report, listed) = join!(asked, list_kept());
    let own_cluster = report.own.ok().map(|own| own.cluster_id);
    report.kept = listed.map(|listed| summary(listed, own_cluster, Timestamp::now()));
    if report.own.failure().is_some() {
        report.evidence = gather(target).await;
    }
    report
}

async fn ask(target: &Target, connector: &Connector, begun: Instant) -> StatusReport {
    let (endpoint, own) = match connector.own(target, OWN_LIMIT).await {
        Ok(found) => found,
        Err(failure) => return nothing_but(&failure),
    };
    let view = async {
        let members = endpoint.members(OWN_LIMIT).await;
        let left = STATUS_LIMIT.saturating_sub(begun.elapsed()).min(OWN_LIMIT);
        let peers = match &members {
            Ok(list) => {
                let others = list
                    .members
                    .iter()
                    .filter(|member| member.id != own.member_id);
                peers(connector, others, left).await
            }
            Err(_) => Vec::new(),
        };
        (members, peers)
    };
    let (alarms, (members, peers)) = join!(endpoint.alarms(ALARMS_LIMIT), view);
    StatusReport {
        own: Answer::Ok(own),
        members: members.into(),
        alarms: alarms.into(),
        peers,
        evidence: None,
        kept: None,
    }
}

fn nothing_but(failure: &Failure) -> StatusReport {
    StatusReport {
        own: Answer::Failed(failure.clone()),
        members: Answer::Failed(failure.clone()),
        alarms: Answer::Failed(failure.clone()),
        peers: Vec::new(),
        evidence: None,
        kept: None,
    }
}

/// What these members say of themselves, all at once, at the client addresses they announce.
pub async fn peers<A: EtcdApi>(
    api: &A,
    members: impl Iterator<Item = &Member>,
    limit: Duration,
) -> Vec<PeerStatus> {
    let asked = members.map(|member| async move {
        let answer = match member.client_urls.first() {
            Some(url) => match api.endpoint(url).await {
                Ok(endpoint) => endpoint.status(limit).await,
                Err(error) => Err(error),
            },
            None => {
                Err(Failure::unreachable("it has never started: it announces no client URL").into())
            }
        };
        PeerStatus {
            member_id: member.id,
            answer: answer.into(),
        }
    });
    join_all(asked).await
}

async fn gather(target: &Target) -> Option<NodeEvidence> {
    let target = target.clone();
    let look = tokio::task::spawn_blocking(move || evidence::gather(&target));
    timeout(EVIDENCE_LIMIT, look).await.ok()?.ok()
}

/// What is in the usual folder of snapshots.
async fn list_kept() -> Option<Vec<KeptSnapshot>> {
    let look = tokio::task::spawn_blocking(|| folder::list(Path::new(FOLDER)));
    timeout(EVIDENCE_LIMIT, look).await.ok()?.ok()?.ok()
}

/// The newest verified snapshot among these; of this cluster, where its id is known: a machine may have been of another
/// one before.
fn summary(listed: Vec<KeptSnapshot>, cluster: Option<ClusterId>, now: Timestamp) -> KeptSummary {
    let taken = |one: &KeptSnapshot| {
        let snapshot = one.snapshot.as_ref()?;
        let counts = matches!(one.state, KeptState::Verified { .. })
            && snapshot.taken_at <= now
            && cluster.is_none_or(|own| own == snapshot.cluster_id);
        counts.then_some(snapshot.taken_at)
    };
    let known = listed.into_iter().filter(|one| taken(one).is_some());
    KeptSummary {
        folder: FOLDER.into(),
        newest: known.max_by_key(taken).map(Box::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::MemberId;
    use crate::report::{Checked, SnapshotReport};

    fn kept(name: &str, taken_at: &str, cluster: u64, state: KeptState) -> KeptSnapshot {
        let snapshot = SnapshotReport {
            path: name.into(),
            size_bytes: 1,
            sha256: String::new(),
            cluster_id: ClusterId(cluster),
            member_id: MemberId(1),
            revision: 1,
            raft_term: 1,
            etcd_version: String::new(),
            storage_version: None,
            hash: 1,
            total_keys: 1,
            has_objects: None,
            taken_at: taken_at.parse().unwrap(),
            took_ms: 1,
            packed: None,
        };
        KeptSnapshot {
            name: name.parse().unwrap(),
            size_bytes: 1,
            snapshot: Some(snapshot),
            state,
        }
    }

    #[test]
    fn the_newest_is_verified_of_this_cluster_and_of_the_past() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let verified = KeptState::Verified {
            at: now,
            how: Checked::WhileSaving,
        };
        let damaged = KeptState::Damaged {
            what: String::new(),
        };
        let listed = vec![
            kept("old.db", "2026-11-18T00:00:00Z", 1, verified.clone()),
            kept("own.db", "2026-11-19T00:00:00Z", 1, verified.clone()),
            kept("theirs.db", "2026-11-20T00:00:00Z", 2, verified.clone()),
            kept("damaged.db", "2026-11-21T00:00:00Z", 1, damaged),
            kept("ahead.db", "2026-11-22T00:00:00Z", 1, verified),
        ];
        let newest = |cluster: Option<u64>| {
            let found = summary(listed.clone(), cluster.map(ClusterId), now).newest;
            found.map(|one| one.name.to_string())
        };
        assert_eq!(newest(Some(1)).as_deref(), Some("own.db"));
        assert_eq!(newest(None).as_deref(), Some("theirs.db"));
        assert_eq!(newest(Some(3)), None);
    }
}
