//! All members made anew from one snapshot.

use crate::advice;
use crate::advice::Choice;
use std::collections::BTreeSet;
use std::num::NonZeroU64;

use jiff::Timestamp;

use super::by_hand::{EtcdThere, by_hand, other_hosts, refused};
use super::cluster::{MARGIN, NewMember, edits_for_restored, list, newest_revision};
use super::origin::Origin;
use super::restoring::Restoring;
use super::stages::{
    check_manifests, found, others, restart_watchers, start, start_apiservers, stop_all,
};
use super::{Fence, HostView, Loss, PlanPreview, TakingPart, plan};
use crate::control_plane::ControlPlane;
use crate::failure::{Answer, Failure};
use crate::plan::{
    Action, AwaitComponent, Plan, PlanKind, Readiness, ReceiveSnapshot, RestoreData, RestoreInput,
    Stages, SwapData,
};

/// The plan.
///
/// # Errors
/// `FailureKind::Refused` when a host is not fit for it, the snapshot is of another cluster, or a member that could not be
/// reached was not left out by name; the hint says what lifts it. See also [`PlanPreview::refused`].
pub fn restore(
    hosts: &[HostView],
    what: &Restoring,
    now: Timestamp,
) -> Result<PlanPreview, Failure> {
    let origin = Origin::of(what, hosts);
    origin.check(what.another_cluster)?;
    for host in hosts {
        host.check_fit()?;
    }
    let brought_back = check_manifests(hosts)?;
    for host in hosts {
        // What is sent, and what is made of it.
        host.check_room(what.snapshot.bytes.saturating_mul(2))?;
    }
    let members = hosts
        .iter()
        .map(NewMember::of)
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(host) = hosts
        .iter()
        .find(|host| what.without.iter().any(|one| one == host.node()))
    {
        let message = format!(
            "{} is to be left out, and is one of the hosts of the plan",
            host.node()
        );
        return Err(Failure::refused(message).hint(advice![
            "leave it out of ",
            Choice::Without,
            ", or say with ",
            Choice::Master,
            " which hosts are included"
        ]));
    }
    let fences = fences(hosts, what, &origin)?;
    let by_hand = by_hand(&fences);
    let newest = newest_revision(hosts);
    let stages = stages(hosts, &members, what, bump(&newest, what.snapshot.revision))?;
    let nodes: Vec<&str> = hosts.iter().map(HostView::node).collect();
    let mut losses = vec![Loss::Outage, lost(what, &origin, newest)];
    if !by_hand.is_empty() {
        losses.push(Loss::MaybeNewerElsewhere {
            nodes: by_hand.clone(),
        });
    }
    let made = plan(
        PlanKind::Restore,
        format!("restore {} on {}", what.name, nodes.join(", ")),
        hosts.iter().map(HostView::host_ref).collect(),
        stages,
        now,
    );
    Ok(PlanPreview {
        refused: refused(what.taking_part, &by_hand, &what.alive_elsewhere),
        plan: Plan {
            other_hosts: other_hosts(hosts, by_hand, EtcdThere::Serves),
            ..made
        },
        found: hosts.iter().map(|host| found(host, false)).collect(),
        losses,
        origin: Some(origin),
        fences,
        brought_back,
    })
}

/// What the hosts have and the snapshot has not.
fn lost(what: &Restoring, origin: &Origin, newest: Option<super::Revision>) -> Loss {
    if origin.has_nothing_in_common() {
        return Loss::Everything { newest };
    }
    let counted = newest.as_ref().and_then(|newest| {
        let mut databases = what.databases.iter();
        databases.find(|one| one.node == newest.node)
    });
    Loss::SinceSnapshot {
        revision: what.snapshot.revision,
        taken: what.snapshot.taken,
        changes: counted.map(|one| match &one.since {
            Answer::Ok(since) => Answer::Ok(since.changes.clone()),
            Answer::Failed(failure) => Answer::Failed(failure.clone()),
        }),
        newest,
    }
}

fn bump(newest: &Option<super::Revision>, snapshot: u64) -> Option<NonZeroU64> {
    let highest = newest.as_ref().map_or(0, super::Revision::at_most);
    NonZeroU64::new(highest.saturating_sub(snapshot).saturating_add(MARGIN))
}

fn stages(
    hosts: &[HostView],
    members: &[NewMember],
    what: &Restoring,
    bump_revision: Option<NonZeroU64>,
) -> Result<Vec<crate::plan::Stage>, Failure> {
    let all = |action: &dyn Fn(&HostView) -> Result<Action, Failure>| {
        let steps = hosts
            .iter()
            .map(|host| Ok((host.node().to_owned(), action(host)?)));
        steps.collect::<Result<Vec<_>, Failure>>()
    };
    let receive = |_: &HostView| {
        Ok(Action::Receive(ReceiveSnapshot {
            sha256: what.snapshot.sha256.clone(),
            bytes: what.snapshot.bytes,
        }))
    };
    let restore = |host: &HostView| {
        Ok(Action::Restore(RestoreData {
            target: host.etcd()?.target.clone(),
            from: RestoreInput::Received,
            members: list(members),
            token: what.token.clone(),
            bump_revision,
        }))
    };
    let swap = |host: &HostView| {
        Ok(Action::SwapData(SwapData {
            target: host.etcd()?.target.clone(),
            restored: true,
        }))
    };
    let start_etcd = |host: &HostView| {
        let edits = edits_for_restored(host.etcd()?, members)?;
        Ok(start(host, ControlPlane::Etcd, edits, Readiness::Answers))
    };
    let wait = |_: &HostView| {
        Ok(Action::Await(AwaitComponent {
            component: ControlPlane::Etcd.name().to_owned(),
            until: Readiness::Ready,
        }))
    };
    let mut stages = Stages::default();
    stages
        .stage("bring the snapshot there", all(&receive)?)
        .stage("restore it beside the data in use", all(&restore)?);
    stop_all(&mut stages, hosts);
    let moves = "move the old data aside, the restored data in";
    stages
        .stage(moves, all(&swap)?)
        .stage("start etcd", all(&start_etcd)?)
        .stage("wait for the quorum", all(&wait)?);
    start_apiservers(&mut stages, hosts);
    restart_watchers(&mut stages, hosts);
    Ok(stages.done())
}

/// Everybody who may have a part in the cluster and is not among the hosts.
fn fences(hosts: &[HostView], what: &Restoring, origin: &Origin) -> Result<Vec<Fence>, Failure> {
    let mut others = others(hosts);
    // Without their data hosts know the members of the day that their manifests were made.
    if origin.may_be_known_by_the_snapshot_alone() {
        let etcds = hosts.iter().filter_map(|host| host.look.etcd.ok());
        let own: BTreeSet<&String> = etcds.map(|etcd| &etcd.target.member_name).collect();
        let of_snapshot = what.snapshot.members.iter();
        others.extend(of_snapshot.filter(|name| !own.contains(name)).cloned());
    }
    let mut fences = Vec::new();
    for node in others {
        if what.without.contains(&node) {
            fences.push(Fence::LeftOut { node });
        } else if what.taking_part == TakingPart::Reached {
            let message = format!("{node} is a member of the cluster and was not looked at");
            let at = Choice::Ssh.with(format_args!("{node}=ADDRESS"));
            let without = Choice::Without.with(&node);
            return Err(Failure::refused(message).hint(advice![
                "include it (",
                at,
                "); if it is gone for good: ",
                without,
                "; if ssh cannot reach it: ",
                Choice::ThisNodeOnly
            ]));
        } else {
            fences.push(Fence::ByHand { node });
        }
    }
    Ok(fences)
}
