//! The operations that are calls to etcd and no more: over either backend, gRPC or etcdctl.

use std::time::Duration;

use super::{alarm, compact, defrag, hash, health};
use crate::client::{EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::Failure;
use crate::membership::{self, CatchingUp, NewMember};
use crate::operation::{
    AlarmDisarm, Compact, Health, MemberAdd, MemberPromote, MemberRemove, MoveLeader, Operation,
};
use crate::report::{MemberList, Report};
use crate::target::Target;
use crate::work::{Events, Progress};

/// Does an operation on the target's member by calls to etcd.
///
/// # Errors
/// Why there is no report; `FailureKind::Refused` for an operation that takes more than calls to etcd.
pub async fn run_calls<A: EtcdApi>(
    api: &A,
    target: &Target,
    operation: &Operation,
    events: &mut Events<'_>,
) -> Result<Report, A::Error> {
    match operation {
        Operation::Members => members(api, target).await.map(Report::Members),
        Operation::MemberAdd(MemberAdd {
            name,
            peer_urls,
            learner,
        }) => {
            let new = NewMember {
                name: name.as_deref(),
                peer_urls,
                learner: *learner,
            };
            let added = membership::add(api, target, new).await;
            added.map(Report::MemberAdd)
        }
        Operation::MemberRemove(MemberRemove { member }) => {
            let removed = membership::remove(api, target, *member).await;
            removed.map(Report::MemberRemove)
        }
        Operation::MemberPromote(MemberPromote { member, wait_ms }) => {
            let wait = Duration::from_millis(*wait_ms);
            let mut progress = |how_far: CatchingUp| {
                events(Progress {
                    step: "catching up".into(),
                    done_bytes: how_far.db_bytes.unwrap_or(0).min(how_far.of_bytes),
                    total_bytes: Some(how_far.of_bytes),
                });
            };
            let promoted =
                membership::promote_when_ready(api, target, *member, wait, &mut progress).await;
            promoted.map(Report::MemberPromote)
        }
        Operation::MoveLeader(MoveLeader { to }) => {
            let moved = membership::move_leader(api, target, *to).await;
            moved.map(Report::MoveLeader)
        }
        Operation::Health(Health { timeout_ms }) => {
            let limit = Duration::from_millis(*timeout_ms);
            let health = health::health(api, target, limit).await;
            health.map(Report::Health)
        }
        Operation::HashKv(wanted) => hash::hash_kv(api, target, wanted).await.map(Report::HashKv),
        Operation::AlarmList => alarm::list(api, target).await.map(Report::AlarmList),
        Operation::AlarmDisarm(AlarmDisarm { alarm, member }) => {
            let disarmed = alarm::disarm(api, target, *alarm, *member).await;
            disarmed.map(Report::AlarmDisarm)
        }
        Operation::Compact(Compact { revision }) => {
            let compacted = compact::compact(api, target, *revision).await;
            compacted.map(Report::Compact)
        }
        Operation::Defrag => {
            let defragmented = defrag::defrag(api, target, events).await;
            defragmented.map(Report::Defrag)
        }
        other => {
            let message = format!("{} takes more than calls to etcd", other.name());
            Err(Failure::refused(message).into())
        }
    }
}

/// The quorum's list, else the member's own view.
async fn members<A: EtcdApi>(api: &A, target: &Target) -> Result<MemberList, A::Error> {
    let (endpoint, own) = api.own(target, OWN_LIMIT).await?;
    // A learner serves no linearizable read, and a member that knows of no leader will not get one through.
    if !own.is_learner
        && own.leader.is_some()
        && let Ok(list) = endpoint.agreed_members(QUORUM_LIMIT).await
    {
        return Ok(list);
    }
    endpoint.members(OWN_LIMIT).await
}
