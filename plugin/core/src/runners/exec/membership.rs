//! Changes of the members and of the leader as calls of etcdctl: as `etcd_operations::membership`, which the other
//! runners use, they look first, and what is so already is not done again.

use std::time::{Duration, Instant};

use etcd_operations::client::meaning;
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::ids::MemberId;
use etcd_operations::membership::{NewMember, added_before};
use etcd_operations::report::{
    Consistency, EndpointStatus, LeaderReport, Member, MemberList, MembershipReport, Report,
};

use super::questions::{answered, own_status, quorums_members};
use super::{Etcdctl, etcdctl};
use crate::outcome::RunError;

/// How long the list may take, and a change.
const LIMIT: Duration = Duration::from_secs(9);

/// How long a learner may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How often a learner is asked for again. A call starts a program on the node.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn add(etcdctl: &Etcdctl<'_>, new: NewMember<'_>) -> Result<Report, RunError> {
    let before = members(etcdctl).await?;
    if let Some(there) = added_before(&before.members, new)? {
        let id = there.id;
        return Ok(Report::MemberAdd(report(before, id, false)));
    }
    let urls = format!("--peer-urls={}", new.peer_urls.join(","));
    // etcdctl wants a name, and does no more than print it.
    let mut words = vec!["member", "add", new.name.unwrap_or("new"), &urls];
    if new.learner {
        words.push("--learner");
    }
    let after = change(etcdctl, &words).await?;
    let added = added_before(&after.members, new)?.map(|added| added.id);
    let id = added.ok_or_else(|| etcdctl::not_understood("the new member is not listed"))?;
    Ok(Report::MemberAdd(report(after, id, true)))
}

pub(super) async fn remove(etcdctl: &Etcdctl<'_>, member: MemberId) -> Result<Report, RunError> {
    let before = members(etcdctl).await?;
    if before.answered_by == member {
        let message = format!("{member} is this node's own member: it stops when it is removed");
        return Err(refused(message, "ask for it on the node of another member"));
    }
    if listed(&before, member).is_none() {
        return Ok(Report::MemberRemove(report(before, member, false)));
    }
    let after = change(etcdctl, &["member", "remove", &member.to_string()]).await?;
    Ok(Report::MemberRemove(report(after, member, true)))
}

/// Asks until the learner answers and etcd does it, at most for so long.
pub(super) async fn promote(
    etcdctl: &Etcdctl<'_>,
    member: MemberId,
    wait: Duration,
) -> Result<Report, RunError> {
    let begun = Instant::now();
    loop {
        let before = members(etcdctl).await?;
        let Some(learner) = listed(&before, member) else {
            return Err(not_listed(member));
        };
        if !learner.is_learner {
            return Ok(Report::MemberPromote(report(before, member, false)));
        }
        if !answers(etcdctl, learner).await {
            if begun.elapsed() >= wait {
                let message = format!("the learner {member} does not answer");
                return Err(refused(
                    message,
                    "start it first; kubectl etcd status shows what is in its way",
                ));
            }
            tokio::time::sleep(LOOK).await;
            continue;
        }
        match change(etcdctl, &["member", "promote", &member.to_string()]).await {
            Ok(after) => return Ok(Report::MemberPromote(report(after, member, true))),
            Err(error) if !error.message.contains("in sync with leader") => return Err(error),
            Err(error) if begun.elapsed() >= wait => return Err(error),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Whether a member answers where it says that clients reach it: etcd would promote one that has died.
async fn answers(etcdctl: &Etcdctl<'_>, member: &Member) -> bool {
    let Some(url) = member.client_urls.first() else {
        return false;
    };
    let words = ["endpoint", "status", "-w", "json"];
    let printed = etcdctl.call_at(url, ANSWER_LIMIT, &words).await;
    printed.is_ok_and(|printed| printed.failure.is_none())
}

pub(super) async fn move_leader(etcdctl: &Etcdctl<'_>, to: MemberId) -> Result<Report, RunError> {
    let begun = Instant::now();
    let own = answered(own_status(etcdctl).await?)?;
    let leader = |own: &EndpointStatus| {
        let nobody = || {
            let message = format!("{} knows of no leader", own.endpoint);
            RunError::from(Failure::new(FailureKind::NoQuorum, message))
        };
        own.leader.ok_or_else(nobody)
    };
    let from = leader(&own)?;
    let report = |took_ms| {
        Report::MoveLeader(LeaderReport {
            cluster_id: own.cluster_id,
            from,
            to,
            took_ms,
        })
    };
    if from == to {
        return Ok(report(0));
    }
    if from != own.member_id {
        let message = format!("{} does not lead, {from} does", etcdctl.target.member_name);
        let hint = "only the leader hands the lead over: ask for it on its node";
        return Err(refused(message, hint));
    }
    let words = ["move-leader", &to.to_string()];
    if let Some(failure) = etcdctl.call_within(LIMIT, &words).await?.failure {
        return Err(understood(failure));
    }
    let now = leader(&answered(own_status(etcdctl).await?)?)?;
    if now != to {
        let message = format!("etcd says that the lead was handed to {to}, but {now} leads");
        return Err(Failure::new(FailureKind::Other, message).into());
    }
    let took = begun.elapsed().as_millis();
    Ok(report(u64::try_from(took).unwrap_or(u64::MAX)))
}

async fn members(etcdctl: &Etcdctl<'_>) -> Result<MemberList, RunError> {
    answered(quorums_members(etcdctl, LIMIT).await?)
}

/// A change that answers with all members.
async fn change(etcdctl: &Etcdctl<'_>, words: &[&str]) -> Result<MemberList, RunError> {
    let words = [words, &["-w", "json"]].concat();
    let printed = etcdctl.call_within(LIMIT, &words).await?;
    match printed.failure {
        Some(failure) => Err(understood(failure)),
        None => Ok(etcdctl::members(
            &printed.stdout,
            Consistency::Linearizable,
        )?),
    }
}

/// What etcd has against a change, as the other runners take it.
fn understood(failure: Failure) -> RunError {
    if failure.message.contains("unhealthy cluster") {
        let message = "etcd changes no members unless enough of the voting ones have been connected for 5 s, and they are not";
        return refused(
            message.to_owned(),
            "kubectl etcd status shows who does not answer",
        );
    }
    let (kind, hint) = match failure.kind {
        FailureKind::Other => meaning(&failure.message),
        kind => (kind, None),
    };
    let hint = failure.hint.or(hint.map(str::to_owned));
    let failure = Failure::new(kind, failure.message);
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

fn refused(message: String, hint: &str) -> RunError {
    Failure::new(FailureKind::Refused, message)
        .hint(hint)
        .into()
}

fn not_listed(member: MemberId) -> RunError {
    refused(
        format!("there is no member {member}"),
        "kubectl etcd members lists those there are",
    )
}

fn listed(list: &MemberList, member: MemberId) -> Option<&Member> {
    list.members.iter().find(|listed| listed.id == member)
}

fn report(list: MemberList, member: MemberId, changed: bool) -> MembershipReport {
    MembershipReport {
        cluster_id: list.cluster_id,
        member_id: member,
        changed,
        members: list.members,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::RunErrorKind;

    #[test]
    fn what_etcd_has_against_a_change_is_a_refusal_with_what_would_help() {
        for said in [
            "etcdserver: unhealthy cluster",
            "etcdserver: re-configuration failed due to not enough started members",
            "etcdserver: can only promote a learner member which is in sync with leader",
            "etcdserver: too many learner members in cluster",
        ] {
            let error = understood(etcdctl::failure(&format!("Error: {said}\n"), 1));
            let refused = RunErrorKind::OperationFailed(FailureKind::Refused);
            assert_eq!(error.kind, refused, "{said}");
            assert!(error.hint.is_some(), "{said}");
        }
        let error = understood(etcdctl::failure(
            "Error: etcdserver: request timed out\n",
            1,
        ));
        assert_eq!(
            error.kind,
            RunErrorKind::OperationFailed(FailureKind::NoQuorum)
        );
    }
}
