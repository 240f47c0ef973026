//! Changing who belongs to a cluster and who leads it, through one member of it.
//!
//! Each change looks at the list of members first and does nothing where it is already made. Its report is the list that the quorum
//! has afterwards, so an answer that got lost on the way is no failure, and the change may be asked for again.

mod promotion;

use std::time::{Duration, Instant};

use etcd_datadir::ids::PeerUrl;
use tokio::time::sleep;

use crate::advice;
use crate::advice::{Advice, Task};
use crate::client::{
    CallError, EtcdApi, EtcdEndpoint, MemberChange, OWN_LIMIT, QUORUM_LIMIT, says_not_connected,
};
use crate::failure::{Failure, FailureKind};
use crate::ids::MemberId;
use crate::report::{EndpointStatus, LeaderReport, Member, MemberList, MembershipReport};
use crate::target::Target;

pub use promotion::{CatchingUp, promote_when_ready};

/// How long one change may take: etcd waits for an election before it gives up.
pub(crate) const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait for the voting members to be connected. etcd changes nothing until they have been so for 5 s, which
/// they are not right after one of them has started.
pub const CONNECTED_LIMIT: Duration = Duration::from_secs(12);

/// A member to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewMember<'a> {
    /// The name it will have, `--name`. etcd itself learns it when the member starts; here it keeps names apart.
    pub name: Option<&'a str>,
    /// Where other members reach it, `--initial-advertise-peer-urls`.
    pub peer_urls: &'a [String],
    /// Whether it has no vote until it is promoted.
    pub learner: bool,
}

/// Adds a member without a vote. One that was added before under these addresses is it, started or not.
///
/// # Errors
/// As [`add`].
pub async fn add_learner<A: EtcdApi>(
    api: &A,
    target: &Target,
    name: &str,
    peer_urls: &[String],
) -> Result<MembershipReport, A::Error> {
    let new = NewMember {
        name: Some(name),
        peer_urls,
        learner: true,
    };
    add(api, target, new).await
}

/// Adds a member. One that was added before under these addresses is it, started or not.
///
/// # Errors
/// [`FailureKind::NoQuorum`]; [`FailureKind::Refused`] when another member has the name or an address of it, or it has
/// another vote, or what else etcd has against it: a voting member that is not connected, a learner that is there.
pub async fn add<A: EtcdApi>(
    api: &A,
    target: &Target,
    new: NewMember<'_>,
) -> Result<MembershipReport, A::Error> {
    let urls = parsed(new.peer_urls)?;
    let (endpoint, own) = api.own(target, OWN_LIMIT).await?;
    let before = agreed_members(&endpoint, &own).await?;
    if let Some(there) = added_before(&before.members, new)? {
        let id = there.id;
        return Ok(report(&own, id, false, before.members));
    }
    let add = MemberChange::Add {
        peer_urls: &urls,
        learner: new.learner,
    };
    let (members, error) = change::<A>(&endpoint, &own, add).await?;
    match added_before(&members, new) {
        Ok(Some(there)) => {
            let id = there.id;
            Ok(report(&own, id, true, members))
        }
        Ok(None) => {
            Err(error.unwrap_or_else(|| Failure::other("etcd's answer lists no new member").into()))
        }
        Err(refusal) => Err(error.unwrap_or_else(|| refusal.into())),
    }
}

/// Removes a member, through another one. Who is not listed is removed already.
///
/// # Errors
/// [`FailureKind::NoQuorum`]; [`FailureKind::Refused`] when the target is the member itself, or etcd has something against
/// it: too few would be left that are connected or have started.
pub async fn remove<A: EtcdApi>(
    api: &A,
    target: &Target,
    member: MemberId,
) -> Result<MembershipReport, A::Error> {
    let (endpoint, own) = api.own(target, OWN_LIMIT).await?;
    if own.member_id == member {
        let message = format!("{member} is this node's own member: it stops when it is removed");
        let hint = "ask for it on the node of another member";
        return Err(refused(message, hint).into());
    }
    let before = agreed_members(&endpoint, &own).await?;
    if !before.members.iter().any(|listed| listed.id == member) {
        return Ok(report(&own, member, false, before.members));
    }
    let remove = MemberChange::Remove(member);
    let (members, error) = change::<A>(&endpoint, &own, remove).await?;
    match error.filter(|_| members.iter().any(|listed| listed.id == member)) {
        Some(error) => Err(error),
        None => Ok(report(&own, member, true, members)),
    }
}

/// Has the target's member, which has to be the leader, hand the lead over. A member that leads already is left alone.
///
/// # Errors
/// [`FailureKind::NoQuorum`]; [`FailureKind::Refused`] when another member leads, or the one that shall has no vote.
pub async fn move_leader<A: EtcdApi>(
    api: &A,
    target: &Target,
    to: MemberId,
) -> Result<LeaderReport, A::Error> {
    let begun = Instant::now();
    let (endpoint, own) = api.own(target, OWN_LIMIT).await?;
    let Some(from) = own.leader else {
        return Err(no_leader(&own).into());
    };
    let report = |took_ms| LeaderReport {
        cluster_id: own.cluster_id,
        from,
        to,
        took_ms,
    };
    if from == to {
        return Ok(report(0));
    }
    if from != own.member_id {
        let message = format!("{} does not lead, {from} does", target.member_name);
        let hint = "only the leader hands the lead over: ask for it on its node";
        return Err(refused(message, hint).into());
    }
    let list = agreed_members(&endpoint, &own).await?;
    match list.members.iter().find(|member| member.id == to) {
        Some(member) if !member.is_learner => {}
        Some(_) => {
            let message = format!("{to} is a learner: it has no vote and cannot lead");
            return Err(refused(message, "promote it first").into());
        }
        None => return Err(not_listed(to).into()),
    }
    let moved = endpoint.move_leader(to, CHANGE_LIMIT).await;
    match (moved, endpoint.status(OWN_LIMIT).await) {
        (_, Ok(now)) if now.leader == Some(to) => {
            let took = begun.elapsed().as_millis();
            Ok(report(u64::try_from(took).unwrap_or(u64::MAX)))
        }
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(now)) => {
            let leads = now
                .leader
                .map_or("nobody".to_owned(), |leader| leader.to_string());
            let message = format!("etcd says that the lead was handed to {to}, but {leads} leads");
            let failure = Failure::other(message);
            Err(failure.hint(Task::ShowStatus).into())
        }
    }
}

/// The members as the quorum lists them.
async fn agreed_members<E: EtcdEndpoint>(
    endpoint: &E,
    own: &EndpointStatus,
) -> Result<MemberList, E::Error> {
    if own.leader.is_none() {
        // It would only be waited for.
        return Err(no_leader(own).into());
    }
    endpoint.agreed_members(QUORUM_LIMIT).await
}

fn no_leader(own: &EndpointStatus) -> Failure {
    let message = format!(
        "{} knows of no leader: without a quorum nothing can be changed",
        own.endpoint
    );
    Failure::new(FailureKind::NoQuorum, message).hint(Task::ShowStatus)
}

/// Makes a change as soon as etcd does not say any more that a voting member is not connected. Gives the members then;
/// after an error they are the quorum's list, which tells whether it was done all the same.
async fn change<A: EtcdApi>(
    endpoint: &A::Endpoint,
    own: &EndpointStatus,
    change: MemberChange<'_>,
) -> Result<(Vec<Member>, Option<A::Error>), A::Error> {
    let begun = Instant::now();
    loop {
        let error = match endpoint.change_members(change, CHANGE_LIMIT).await {
            Ok(members) => return Ok((members, None)),
            Err(error) => error,
        };
        if !says_not_connected(error.message()) {
            let error = maybe_done(error);
            return match agreed_members(endpoint, own).await {
                Ok(after) => Ok((after.members, Some(error))),
                Err(_) => Err(error),
            };
        }
        if begun.elapsed() >= CONNECTED_LIMIT {
            let message = "etcd changes no members unless enough of the voting ones have been connected for 5 s, \
                           and they are not";
            let hint = advice![Task::ShowStatus, " shows who does not answer"];
            return Err(refused(message, hint).into());
        }
        sleep(A::PAUSE).await;
    }
}

/// The member that is to be added, when it was added before: started or not.
///
/// # Errors
/// [`FailureKind::Refused`] when another member has its name or an address of it, or it has another vote.
pub fn added_before<'a>(
    members: &'a [Member],
    new: NewMember<'_>,
) -> Result<Option<&'a Member>, Failure> {
    let urls = parsed(new.peer_urls)?;
    let at = |member: &&Member| member.peer_urls.iter().any(|url| urls.contains(url));
    let Some(there) = members.iter().find(at) else {
        let same = |member: &&Member| member.started() && new.name == Some(member.name.as_str());
        return match members.iter().find(same) {
            Some(other) => Err(refused(
                format!(
                    "a member named {} is there already, at {} ({})",
                    other.name,
                    other.peer_urls.join(", "),
                    other.id
                ),
                "members are told apart by their names when they start: remove that one first, or give another name",
            )),
            None => Ok(None),
        };
    };
    let at = there.peer_urls.join(", ");
    let mut same = there.peer_urls.clone();
    same.sort_unstable();
    let mut wanted = urls;
    wanted.sort_unstable();
    if same != wanted {
        return Err(refused(
            format!(
                "{} has one of these addresses already, among {at}",
                there.id
            ),
            "give the same addresses, or remove that member first",
        ));
    }
    if there.started() && new.name.is_some_and(|name| name != there.name) {
        let message = format!(
            "{at} is the address of {} ({}) already",
            there.name, there.id
        );
        return Err(refused(message, "remove that member first"));
    }
    if there.is_learner != new.learner {
        let (is, hint) = match there.is_learner {
            true => (
                "a learner",
                "promote it once it has caught up, or remove it first",
            ),
            false => ("a voting member", "remove it first, or leave it as it is"),
        };
        let message = format!("{is} was added at {at} before ({})", there.id);
        return Err(refused(message, hint));
    }
    Ok(Some(there))
}

/// The addresses as etcd writes them.
fn parsed(urls: &[String]) -> Result<Vec<String>, Failure> {
    let hint = "a peer URL is like https://10.0.0.4:2380";
    if urls.is_empty() {
        return Err(refused("a new member needs a peer URL", hint));
    }
    let parsed = urls.iter().map(|url| match PeerUrl::parse(url) {
        Ok(url) => Ok(url.to_string()),
        Err(error) => Err(refused(error.to_string(), hint)),
    });
    parsed.collect()
}

/// A change that was sent and not answered may come about after all.
fn maybe_done<E: CallError>(error: E) -> E {
    match error.kind() {
        FailureKind::NoQuorum | FailureKind::Unreachable => error.with_hint(advice![
            "it may have been done all the same: look with ",
            Task::ListMembers,
        ]),
        _ => error,
    }
}

fn refused(message: impl Into<String>, hint: impl Into<Advice>) -> Failure {
    Failure::refused(message).hint(hint)
}

fn not_listed(member: MemberId) -> Failure {
    let message = format!("there is no member {member}");
    refused(
        message,
        advice![Task::ListMembers, " lists those there are"],
    )
}

fn report(
    own: &EndpointStatus,
    member: MemberId,
    changed: bool,
    members: Vec<Member>,
) -> MembershipReport {
    MembershipReport {
        cluster_id: own.cluster_id,
        member_id: member,
        changed,
        members,
    }
}

#[cfg(test)]
mod tests;
