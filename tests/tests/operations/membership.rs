//! Members are added, promoted and removed, and the lead is moved: on real etcds, asked twice, and where it must not be.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::ids::MemberId;
use etcd_operations::membership::CONNECTED_LIMIT;
use etcd_operations::operation::{MemberAdd, MemberPromote, MemberRemove, MoveLeader, Operation};
use etcd_operations::report::{LeaderReport, MembershipReport, Report};
use testbed::local::Place;

use super::members::{Members, https, timed};

const LINES: [&str; 3] = ["3.5", "3.6", "3.7"];

fn changed(report: Report) -> Result<MembershipReport> {
    match report {
        Report::MemberAdd(report)
        | Report::MemberRemove(report)
        | Report::MemberPromote(report) => Ok(report),
        other => bail!("{other:?}"),
    }
}

fn moved(report: Report) -> Result<LeaderReport> {
    match report {
        Report::MoveLeader(report) => Ok(report),
        other => bail!("{other:?}"),
    }
}

fn add(name: &str, peer_url: String) -> Operation {
    Operation::MemberAdd(MemberAdd {
        name: Some(name.to_owned()),
        peer_urls: vec![peer_url],
        learner: true,
    })
}

fn promote(member: MemberId, wait: Duration) -> Operation {
    Operation::MemberPromote(MemberPromote {
        member,
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
    })
}

fn refused(result: Result<Report, Failure>, says: &str) -> Result<()> {
    let Err(failure) = result else {
        bail!("it was done: {result:?}")
    };
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    assert!(failure.message.contains(says), "{failure}");
    assert!(failure.hint.is_some(), "{failure}");
    Ok(())
}

impl Members {
    fn id(&self, at: usize) -> Result<MemberId> {
        let status = self.status(at)?;
        let own = status.own.ok().with_context(|| format!("{status:?}"))?;
        Ok(own.member_id)
    }

    /// Who leads, by its place.
    fn leader(&self) -> Result<usize> {
        let status = self.status(0)?;
        let leader = status.own.ok().and_then(|own| own.leader);
        let leader = leader.with_context(|| format!("no leader: {status:?}"))?;
        for at in 0..self.members.len() {
            if self.id(at)? == leader {
                return Ok(at);
            }
        }
        bail!("{leader} leads, and is none of these")
    }
}

#[test]
fn a_member_is_added_promoted_made_the_leader_and_removed_and_asking_twice_changes_nothing()
-> Result<()> {
    for line in LINES {
        let mut cluster = Members::start(line, 1, &[])?;
        let place = Place::new("new")?;
        let peer = https(place.peer);
        let added = changed(cluster.run(0, add("new", peer.clone()))?)?;
        let new = added.member_id;
        let listed = added.member().context("it is not listed")?;
        assert!(
            added.changed && listed.is_learner && !listed.started(),
            "{line}: {added:?}"
        );
        let again = changed(cluster.run(0, add("new", peer.clone()))?)?;
        assert_eq!((again.changed, again.member_id), (false, new), "{line}");
        refused(
            cluster.run(0, promote(new, Duration::ZERO)),
            "has never started",
        )?;
        let second = cluster.run(0, add("other", https(Place::new("other")?.peer)));
        refused(second, "too many learner members")?;

        cluster.start_added(line, &place)?;
        let again = changed(cluster.run(0, add("new", peer.clone()))?)?;
        assert!(
            !again.changed && again.members.len() == 2,
            "{line}: {again:?}"
        );
        let promoted = changed(cluster.run(0, promote(new, Duration::from_secs(20)))?)?;
        assert!(promoted.changed, "{line}");
        assert!(
            promoted.member().is_some_and(|member| !member.is_learner),
            "{line}: {promoted:?}"
        );
        assert!(
            !changed(cluster.run(0, promote(new, Duration::ZERO))?)?.changed,
            "{line}"
        );
        refused(cluster.run(0, add("new", peer)), "a voting member")?;

        let first = cluster.id(0)?;
        let lead = moved(cluster.run(0, Operation::MoveLeader(MoveLeader { to: new }))?)?;
        assert!(lead.changed() && lead.from == first, "{line}: {lead:?}");
        assert!(
            !moved(cluster.run(1, Operation::MoveLeader(MoveLeader { to: new }))?)?.changed(),
            "{line}"
        );
        refused(
            cluster.run(0, Operation::MoveLeader(MoveLeader { to: first })),
            "does not lead",
        )?;
        moved(cluster.run(1, Operation::MoveLeader(MoveLeader { to: first }))?)?;

        let remove = || Operation::MemberRemove(MemberRemove { member: new });
        refused(cluster.run(1, remove()), "own member")?;
        let removed = changed(cluster.run(0, remove())?)?;
        assert!(
            removed.changed && removed.members.len() == 1,
            "{line}: {removed:?}"
        );
        assert!(!changed(cluster.run(0, remove())?)?.changed, "{line}");
        refused(cluster.run(0, promote(new, Duration::ZERO)), "no member")?;
        refused(
            cluster.run(0, Operation::MoveLeader(MoveLeader { to: new })),
            "no member",
        )?;
    }
    Ok(())
}

/// etcd itself would do it: what it counts is what the learner once had.
#[test]
fn a_learner_that_has_caught_up_and_died_since_is_not_promoted() -> Result<()> {
    let mut cluster = Members::start("3.6", 1, &[])?;
    cluster.add_learner("3.6")?;
    let learner = cluster.id(1)?;
    cluster.members[1].freeze()?;
    refused(
        cluster.run(0, promote(learner, Duration::ZERO)),
        "does not answer",
    )?;
    cluster.members[1].thaw()?;
    let promoted = changed(cluster.run(0, promote(learner, Duration::from_secs(20)))?)?;
    assert!(promoted.changed, "{promoted:?}");
    Ok(())
}

#[test]
fn with_a_member_down_that_one_can_be_replaced_and_nothing_else_be_done() -> Result<()> {
    let mut cluster = Members::start("3.6", 3, &[])?;
    let leader = cluster.leader()?;
    let (down, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let (gone, healthy) = (cluster.id(down)?, cluster.id(other)?);
    cluster.members[down].kill()?;
    let peer = cluster.members[down].peer_url();

    let place = Place::new("fourth")?;
    let (took, result) = timed(|| cluster.run(leader, add("fourth", https(place.peer))));
    refused(result, "connected")?;
    assert!(took < CONNECTED_LIMIT + Duration::from_secs(5), "{took:?}");
    refused(
        cluster.run(
            leader,
            Operation::MemberRemove(MemberRemove { member: healthy }),
        ),
        "connected",
    )?;

    // It takes its own place, under its own name and address.
    let name = cluster.target(down).member_name;
    let removed = changed(cluster.run(
        leader,
        Operation::MemberRemove(MemberRemove { member: gone }),
    )?)?;
    assert!(removed.changed && removed.members.len() == 2, "{removed:?}");
    let added = changed(cluster.run(other, add(&name, peer))?)?;
    assert!(added.changed && added.members.len() == 3, "{added:?}");
    assert_ne!(added.member_id, gone);
    Ok(())
}

#[test]
fn without_a_quorum_nothing_is_changed_and_it_is_said_soon() -> Result<()> {
    let mut cluster = Members::start("3.6", 3, &[])?;
    let others = [cluster.id(1)?, cluster.id(2)?];
    for at in [1, 2] {
        cluster.members[at].kill()?;
    }
    for operation in [
        add("fourth", https(Place::new("fourth")?.peer)),
        Operation::MemberRemove(MemberRemove { member: others[0] }),
        promote(others[0], Duration::from_secs(60)),
        Operation::MoveLeader(MoveLeader { to: others[1] }),
    ] {
        let name = operation.name();
        let (took, result) = timed(|| cluster.run(0, operation));
        let failure = result.expect_err("it was done without a quorum");
        assert_eq!(failure.kind, FailureKind::NoQuorum, "{name}: {failure}");
        assert!(took < Duration::from_secs(12), "{name}: {took:?}");
    }
    Ok(())
}
