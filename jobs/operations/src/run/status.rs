//! Status: what the member, its peers and the node say, complete in less than three seconds whatever is broken.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::join;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::client::{Connector, OWN_LIMIT};
use crate::evidence;
use crate::failure::{Answer, Failure, FailureKind};
use crate::ids::MemberId;
use crate::kept::{FOLDER, folder};
use crate::report::{
    KeptSnapshot, KeptState, KeptSummary, MemberList, NodeEvidence, PeerStatus, StatusReport,
};
use crate::target::Target;

/// When everything is over, counted from the beginning.
const WHOLE_LIMIT: Duration = Duration::from_millis(2800);

/// How long an alarm list may take: it needs the quorum, and nobody waits for that here.
const ALARMS_LIMIT: Duration = Duration::from_millis(1500);

/// How long the node's own files may take: a disk that hangs must not hold up the answer.
const EVIDENCE_LIMIT: Duration = Duration::from_millis(800);

pub(super) async fn status(target: &Target, connector: Result<Connector, Failure>) -> StatusReport {
    let begun = Instant::now();
    let asked = async {
        match connector {
            Ok(connector) => ask(target, &connector, begun).await,
            Err(failure) => nothing_but(&failure),
        }
    };
    let (mut report, kept) = join!(asked, kept());
    report.kept = kept;
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
        let left = WHOLE_LIMIT.saturating_sub(begun.elapsed()).min(OWN_LIMIT);
        let peers = match &members {
            Ok(list) => peers(connector, list, own.member_id, left).await,
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

/// The other members, all at once, at the client addresses they announce.
async fn peers(
    connector: &Connector,
    list: &MemberList,
    own: MemberId,
    limit: Duration,
) -> Vec<PeerStatus> {
    let others = list.members.iter().filter(|member| member.id != own);
    let asked = others.map(|member| async move {
        let answer = match member.client_urls.first() {
            Some(url) => match connector.endpoint(url).await {
                Ok(endpoint) => endpoint.status(limit).await,
                Err(failure) => Err(failure),
            },
            None => Err(Failure::new(
                FailureKind::Unreachable,
                "it has never started: it announces no client URL",
            )),
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
async fn kept() -> Option<KeptSummary> {
    let look = tokio::task::spawn_blocking(|| folder::list(Path::new(FOLDER)));
    let listed = timeout(EVIDENCE_LIMIT, look).await.ok()?.ok()?.ok()?;
    let now = Timestamp::now();
    let taken = |one: &KeptSnapshot| {
        let verified = matches!(one.state, KeptState::Verified { .. });
        let taken_at = one.snapshot.as_ref()?.taken_at;
        (verified && taken_at <= now).then_some(taken_at)
    };
    let known = listed.into_iter().filter(|one| taken(one).is_some());
    Some(KeptSummary {
        folder: FOLDER.into(),
        newest: known.max_by_key(taken).map(Box::new),
    })
}
