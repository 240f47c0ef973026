//! All members made anew from one snapshot.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use jiff::Timestamp;

use super::by_hand::{EtcdThere, by_hand, other_hosts, refused};
use super::cluster::{MARGIN, NewMember, edits_for_restored, list, newest_revision};
use super::origin::Origin;
use super::restoring::Restoring;
use super::{BroughtBack, Fence, Found, Looked, Loss, Prospect, TakingPart, plan};
use crate::control_plane::ControlPlane;
use crate::failure::{Answer, Failure, FailureKind};
use crate::look::{Fitness, LockState};
use crate::plan::{Action, Plan, PlanKind, Source, Stages, Until};
use crate::shell::CommandLine;
use crate::target;

/// The plan.
///
/// # Errors
/// [`FailureKind::Refused`] when a host is not fit for it, the snapshot is of another cluster, or a member that could not be
/// reached was not left out by name; the hint says what lifts it. See also [`Prospect::refused`].
pub fn restore(hosts: &[Looked], what: &Restoring, now: Timestamp) -> Result<Prospect, Failure> {
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
        let message = format!("{} is to be left out, and takes part", host.node());
        return Err(Failure::new(FailureKind::Refused, message)
            .hint("leave it out of --without, or say with --master which hosts take part"));
    }
    let fences = fences(hosts, what, &origin)?;
    let by_hand = by_hand(&fences);
    let newest = newest_revision(hosts);
    let stages = stages(hosts, &members, what, bump(&newest, what.snapshot.revision))?;
    let nodes: Vec<&str> = hosts.iter().map(Looked::node).collect();
    let mut losses = vec![Loss::Outage, lost(what, &origin, newest)];
    if !by_hand.is_empty() {
        losses.push(Loss::MaybeNewerElsewhere {
            nodes: by_hand.clone(),
        });
    }
    let made = plan(
        PlanKind::Restore,
        format!("restore {} on {}", what.name, nodes.join(", ")),
        hosts.iter().map(Looked::host_ref).collect(),
        stages,
        now,
    );
    Ok(Prospect {
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

/// What is brought back of the hosts' etcds and apiservers. An apiserver of which there is nothing is started by nobody.
pub(super) fn check_manifests(hosts: &[Looked]) -> Result<Vec<BroughtBack>, Failure> {
    let mut brought_back = Vec::new();
    for host in hosts {
        brought_back.extend(host.check_manifest(ControlPlane::Etcd)?);
        if host.has_apiserver() {
            brought_back.extend(host.check_manifest(ControlPlane::Apiserver)?);
        }
    }
    Ok(brought_back)
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
    hosts: &[Looked],
    members: &[NewMember],
    what: &Restoring,
    bump_revision: Option<NonZeroU64>,
) -> Result<Vec<crate::plan::Stage>, Failure> {
    let all = |action: &dyn Fn(&Looked) -> Result<Action, Failure>| {
        let steps = hosts
            .iter()
            .map(|host| Ok((host.node().to_owned(), action(host)?)));
        steps.collect::<Result<Vec<_>, Failure>>()
    };
    let receive = |_: &Looked| {
        Ok(Action::Receive {
            sha256: what.snapshot.sha256.clone(),
            bytes: what.snapshot.bytes,
        })
    };
    let restore = |host: &Looked| {
        Ok(Action::Restore {
            target: host.etcd()?.target.clone(),
            from: Source::Received,
            members: list(members),
            token: what.token.clone(),
            bump_revision,
        })
    };
    let swap = |host: &Looked| {
        Ok(Action::SwapData {
            target: host.etcd()?.target.clone(),
            restored: true,
        })
    };
    let start = |host: &Looked| {
        Ok(Action::Start {
            component: ControlPlane::Etcd.name().to_owned(),
            manifest: host.manifest_to_start(ControlPlane::Etcd),
            edits: edits_for_restored(host.etcd()?, members)?,
            until: Until::Answers,
        })
    };
    let wait = |_: &Looked| {
        Ok(Action::Await {
            component: ControlPlane::Etcd.name().to_owned(),
            until: Until::Ready,
        })
    };
    let mut stages = Stages::default();
    stages
        .stage("bring the snapshot there", all(&receive)?)
        .stage("restore it beside the data in use", all(&restore)?);
    stop_all(&mut stages, hosts);
    let moves = "move the old data aside, the restored data in";
    stages
        .stage(moves, all(&swap)?)
        .stage("start etcd", all(&start)?)
        .stage("wait for the quorum", all(&wait)?);
    start_apiservers(&mut stages, hosts);
    make_notice(&mut stages, hosts);
    Ok(stages.done())
}

/// The apiservers first, then etcd: one whose apiserver is gone ends at once.
pub(super) fn stop_all(stages: &mut Stages, hosts: &[Looked]) {
    stop(stages, hosts, ControlPlane::Apiserver);
    stop(stages, hosts, ControlPlane::Etcd);
}

pub(super) fn stop<'a>(
    stages: &mut Stages,
    hosts: impl IntoIterator<Item = &'a Looked>,
    component: ControlPlane,
) {
    let runs = hosts.into_iter().filter(|host| host.has(component));
    stages.stage(
        format!("stop {component}"),
        runs.map(|host| {
            let component = component.name().to_owned();
            (host.node().to_owned(), Action::Stop { component })
        }),
    );
}

/// They are up again, those too that somebody had stopped before.
pub(super) fn start_apiservers<'a>(
    stages: &mut Stages,
    hosts: impl IntoIterator<Item = &'a Looked>,
) {
    let apiserver = ControlPlane::Apiserver;
    let runs = hosts.into_iter().filter(|host| host.has_apiserver());
    stages.stage(
        format!("start {apiserver}"),
        runs.map(|host| {
            let action = Action::Start {
                component: apiserver.name().to_owned(),
                manifest: host.manifest_to_start(apiserver),
                edits: Vec::new(),
                until: Until::Ready,
            };
            (host.node().to_owned(), action)
        }),
    );
}

/// What has watched the old past begins anew.
pub(super) fn make_notice<'a>(stages: &mut Stages, hosts: impl IntoIterator<Item = &'a Looked>) {
    let components = [ControlPlane::ControllerManager, ControlPlane::Scheduler];
    let names: Vec<&str> = components.iter().map(|one| one.name()).collect();
    stages.stage(
        format!("start {} anew", names.join(", ")),
        hosts.into_iter().map(|host| {
            let components = names.iter().map(|&name| name.to_owned()).collect();
            (host.node().to_owned(), Action::EndContainers { components })
        }),
    );
}

/// Everybody who may have a part in the cluster and is not among the hosts.
fn fences(hosts: &[Looked], what: &Restoring, origin: &Origin) -> Result<Vec<Fence>, Failure> {
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
            let at = CommandLine::flags().option("--ssh", format_args!("{node}=ADDRESS"));
            let without = CommandLine::flags().option("--without", &node);
            return Err(Failure::new(FailureKind::Refused, message).hint(format!(
                "have it take part ({at}); if it is gone for good: {without}; if ssh cannot reach it: --this-node-only"
            )));
        } else {
            fences.push(Fence::ByHand { node });
        }
    }
    Ok(fences)
}

/// The members that some host knows and that are none of the hosts, by their names. One that has not begun to serve has none
/// and goes by its address.
pub(super) fn others(hosts: &[Looked]) -> BTreeSet<String> {
    let own: BTreeSet<&String> = hosts
        .iter()
        .filter_map(|host| host.look.etcd.ok())
        .flat_map(|etcd| &etcd.target.peer_urls)
        .collect();
    let all = hosts.iter().flat_map(|host| host.look.known_members());
    let others = all.filter(|(_, urls)| !urls.iter().any(|url| own.contains(url)));
    others
        .map(|(name, urls)| match name.is_empty() {
            false => name,
            true => urls.first().map_or("", |url| target::host(url)).to_owned(),
        })
        .collect()
}

/// A host as people are told of it.
pub(super) fn found(host: &Looked, best: bool) -> Found {
    let cold = host.look.cold.ok();
    let inspection = cold.and_then(|cold| cold.inspection.as_ref()?.ok());
    let held = cold.is_some_and(|cold| matches!(cold.lock, LockState::Held { .. }));
    let fitness = inspection.map(|found| found.fitness);
    let why = match fitness {
        Some(Fitness::StartsWithLoss) => inspection.map(|found| found.losses.join("; ")),
        _ => inspection.and_then(|found| found.why.clone()),
    };
    Found {
        node: host.node().to_owned(),
        running: held,
        fitness,
        why,
        reach: inspection.and_then(|found| found.reach.or(found.wal_end)),
        revision: super::cluster::revision_of(host).map(|found| found.revision),
        best,
    }
}
