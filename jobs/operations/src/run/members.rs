//! The list of members, whose view it is, and changes of it.

use std::time::Duration;

use crate::client::{Connector, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::{Failure, FailureKind};
use crate::ids::MemberId;
use crate::membership::{self, NewMember};
use crate::report::{Consistency, Report};
use crate::target::Target;
use crate::work::{Events, Progress};

/// A linearizable read first: what this member lists after it holds everything that was committed before it, and so is
/// the quorum's view. (The client library asks for the member's own view alone; etcd 3.4 knows no other.)
pub(super) async fn members(target: &Target, connector: &Connector) -> Result<Report, Failure> {
    let (endpoint, own) = connector.own(target, OWN_LIMIT).await?;
    // A learner serves no linearizable read, and a member that knows of no leader will not get one through.
    let read = match own.is_learner || own.leader.is_none() {
        true => Err(Failure::new(FailureKind::NoQuorum, "no leader")),
        false => endpoint.linearizable_read(QUORUM_LIMIT).await,
    };
    let mut list = endpoint.members(OWN_LIMIT).await?;
    if read.is_ok() {
        list.consistency = Consistency::Linearizable;
    }
    Ok(Report::Members(list))
}

pub(super) async fn add(
    target: &Target,
    connector: &Connector,
    name: Option<&str>,
    peer_urls: &[String],
    learner: bool,
) -> Result<Report, Failure> {
    let new = NewMember {
        name,
        peer_urls,
        learner,
    };
    let added = membership::add(connector, target, new).await?;
    Ok(Report::MemberAdd(added))
}

pub(super) async fn remove(
    target: &Target,
    connector: &Connector,
    member: MemberId,
) -> Result<Report, Failure> {
    let removed = membership::remove(connector, target, member).await?;
    Ok(Report::MemberRemove(removed))
}

pub(super) async fn promote(
    target: &Target,
    connector: &Connector,
    member: MemberId,
    wait_ms: u64,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    let wait = Duration::from_millis(wait_ms);
    let mut on_the_way = |how_far: membership::CatchingUp| {
        events(Progress {
            step: "catching up".into(),
            done_bytes: how_far.db_bytes.unwrap_or(0).min(how_far.of_bytes),
            total_bytes: Some(how_far.of_bytes),
        });
    };
    let promoted =
        membership::promote_when_ready(connector, target, member, wait, &mut on_the_way).await?;
    Ok(Report::MemberPromote(promoted))
}

pub(super) async fn move_leader(
    target: &Target,
    connector: &Connector,
    to: MemberId,
) -> Result<Report, Failure> {
    let moved = membership::move_leader(connector, target, to).await?;
    Ok(Report::MoveLeader(moved))
}
