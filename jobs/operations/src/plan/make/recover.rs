//! A new cluster formed of the best survivor, which the others then join.

use crate::advice;
use crate::advice::{Choice, Task};
use std::collections::BTreeSet;
use std::num::NonZeroU64;

use jiff::Timestamp;

use super::TakingPart;
use super::by_hand::{EtcdThere, by_hand, other_hosts, refused};
use super::cluster::{MARGIN, NewMember, edits_for_restored, list};
use super::join::{AskedMember, join};
use super::stages::{
    check_manifests, found, others, restart_watchers, start, start_apiservers, stop_all,
};
use super::{Fence, HostView, Loss, PlanPreview, plan};
use crate::control_plane::ControlPlane;
use crate::ending::stumbles_over_log;
use crate::failure::Failure;
use crate::look::{Fitness, Inspection, LogPosition};
use crate::plan::{
    Action, CopyData, Plan, PlanKind, Readiness, RemoveCopy, RestoreData, RestoreInput, RunAlone,
    Stages, SwapData,
};

/// What the log of a member may take, in bytes.
const WAL_ROOM: u64 = 320 << 20;

/// How a new cluster is made of a survivor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// Its log is whole: etcd applies it, on a copy.
    ByLog,
    /// Its log is not; what its database has.
    ByDatabase,
}

/// What recovering takes besides the hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovering {
    /// The token of the new cluster.
    pub token: String,
    /// The host to recover from; none: the best.
    pub from: Option<String>,
    /// The text of etcd's manifest on each host, in the order of the hosts; none: it could not be read.
    pub manifests: Vec<Option<String>>,
    /// Control-plane nodes that could not be looked at, and why.
    pub unreachable: Vec<(String, String)>,
    /// Members and apiservers that answer somewhere else than on the hosts.
    pub alive_elsewhere: Vec<String>,
    /// Whether the hosts are all that take part.
    pub taking_part: TakingPart,
}

/// The plan.
///
/// # Errors
/// `FailureKind::Refused` when a host is not fit for it, the quorum is not lost, no host's data can be used, or they are
/// of several clusters; the hint says what helps instead. See also [`PlanPreview::refused`].
pub fn recover(
    hosts: &[HostView],
    what: &Recovering,
    now: Timestamp,
) -> Result<PlanPreview, Failure> {
    for host in hosts {
        host.check_fit()?;
    }
    refuse_quorum(hosts)?;
    let brought_back = check_manifests(hosts)?;
    for host in hosts {
        host.etcd()?;
    }
    let (best, basis) = choose(hosts, what.from.as_deref())?;
    // The copy, and what is made of it. Its log is some 64 MiB a file.
    let bytes = inspection(best)
        .and_then(|found| found.db_bytes)
        .unwrap_or(0);
    best.check_room(bytes.saturating_mul(2).saturating_add(WAL_ROOM))?;
    let member = NewMember::of(best)?;
    let rest: Vec<&HostView> = hosts
        .iter()
        .filter(|host| host.node() != best.node())
        .collect();
    let mut stages = Stages::default();
    stop_all(&mut stages, hosts);
    let manifest = hosts
        .iter()
        .zip(&what.manifests)
        .find(|(host, _)| host.node() == best.node());
    let manifest = manifest.and_then(|(_, text)| text.clone());
    form(&mut stages, best, basis, manifest, &member, &what.token)?;
    start_apiservers(&mut stages, [best]);
    rejoin(&mut stages, best, &rest, member)?;
    restart_watchers(&mut stages, hosts);
    let copy = Action::RemoveCopy(RemoveCopy {
        target: best.etcd()?.target.clone(),
    });
    stages.stage("remove the copy", [(best.node().to_owned(), copy)]);
    let fences = fences(hosts, what);
    let by_hand = by_hand(&fences);
    let unreachable = what.unreachable.iter().map(|(node, _)| node);
    let unseen = unreachable.chain(&by_hand).cloned().collect();
    let made = plan(
        PlanKind::Recover,
        format!("a new cluster out of {}", best.node()),
        hosts.iter().map(HostView::host_ref).collect(),
        stages.done(),
        now,
    );
    Ok(PlanPreview {
        origin: None,
        refused: refused(what.taking_part, &by_hand, &what.alive_elsewhere),
        plan: Plan {
            other_hosts: other_hosts(hosts, by_hand, EtcdThere::LostQuorum),
            ..made
        },
        found: hosts
            .iter()
            .map(|host| found(host, host.node() == best.node()))
            .collect(),
        losses: losses(best, basis, &rest, unseen),
        fences,
        brought_back,
    })
}

/// A cluster that has its quorum needs no new one.
fn refuse_quorum(hosts: &[HostView]) -> Result<(), Failure> {
    for host in hosts {
        let Some(live) = host.look.live.ok() else {
            continue;
        };
        if live.status.leader.is_some() {
            let message = format!(
                "{}: etcd has a leader, so the quorum is not lost",
                host.node()
            );
            return Err(Failure::refused(message).hint(advice![
                Task::ReplaceMember.of("NODE"),
                " replaces a member that is broken; ",
                Task::Diagnose,
                " says which one is"
            ]));
        }
    }
    Ok(())
}

/// The host to recover from: raft's own order of logs, among those that can be used.
fn choose<'a>(hosts: &'a [HostView], from: Option<&str>) -> Result<(&'a HostView, Basis), Failure> {
    let clusters: BTreeSet<String> = hosts
        .iter()
        .filter_map(|host| Some(inspection(host)?.cluster_id?.to_string()))
        .collect();
    if clusters.len() > 1 && from.is_none() {
        let ids: Vec<String> = clusters.into_iter().collect();
        let message = format!(
            "the data of these hosts is of {} clusters: {}",
            ids.len(),
            ids.join(", ")
        );
        return Err(Failure::refused(message).hint(advice![
            Task::Diagnose,
            " says whose is whose; ",
            Choice::From.with("NODE"),
            " chooses the one to recover from"
        ]));
    }
    let usable = hosts.iter().filter_map(|host| Some((host, basis(host)?)));
    let mut usable: Vec<_> = usable
        .filter(|(host, _)| from.is_none_or(|from| host.node() == from))
        .collect();
    usable.sort_by_key(|(host, basis)| {
        let reach = match basis {
            Basis::ByLog => reach(host),
            // A log that is whole and not got over counts for nothing here.
            Basis::ByDatabase => inspection(host).and_then(|found| found.database),
        };
        (
            reach,
            *basis == Basis::ByLog,
            inspection(host).and_then(|found| found.revision),
        )
    });
    usable.pop().ok_or_else(|| {
        let message = match from {
            Some(from) => format!("the data of {from} cannot be used"),
            None => "no host has data that can be used".to_owned(),
        };
        Failure::refused(message).hint(advice![
            Task::Restore.of("FILE"),
            " makes the cluster anew from a snapshot; ",
            Task::ListSnapshots,
            " shows those on this host"
        ])
    })
}

fn inspection(host: &HostView) -> Option<&Inspection> {
    host.look.cold.ok()?.inspection.as_ref()?.ok()
}

fn basis(host: &HostView) -> Option<Basis> {
    match inspection(host)?.fitness {
        Fitness::Starts | Fitness::StartsWithLoss | Fitness::Running => {
            // On a copy it would end in the same way.
            match stumbles_over_log(&host.look) {
                true => Some(Basis::ByDatabase),
                false => Some(Basis::ByLog),
            }
        }
        Fitness::RestoreFrom => Some(Basis::ByDatabase),
        Fitness::Empty | Fitness::BeyondUse => None,
    }
}

/// How far a host's data goes. Of one that runs without a leader, the log as it is: it gets no longer.
fn reach(host: &HostView) -> Option<LogPosition> {
    let found = inspection(host)?;
    found.reach.or(found.wal_end).or(found.database)
}

/// The survivor's data becomes that of a new cluster, of which it is the only member.
fn form(
    stages: &mut Stages,
    best: &HostView,
    basis: Basis,
    manifest: Option<String>,
    member: &NewMember,
    token: &str,
) -> Result<(), Failure> {
    let etcd = best.etcd()?;
    let target = &etcd.target;
    let step = |action: Action| [(best.node().to_owned(), action)];
    stages.stage(
        "copy the data",
        step(Action::CopyData(CopyData {
            target: target.clone(),
        })),
    );
    if basis == Basis::ByLog {
        let manifest = manifest.ok_or_else(|| {
            let message = format!("the manifest of etcd on {} could not be read", best.node());
            Failure::missing(message).hint("see whether that host still answers, then begin again")
        })?;
        stages.stage(
            "run etcd alone on the copy",
            step(Action::RunAlone(RunAlone {
                target: target.clone(),
                manifest,
            })),
        );
    }
    let members = std::slice::from_ref(member);
    stages
        .stage(
            "restore the copy as a new cluster",
            step(Action::Restore(RestoreData {
                target: target.clone(),
                from: match basis {
                    Basis::ByLog => RestoreInput::RanAlone,
                    Basis::ByDatabase => RestoreInput::Copied,
                },
                members: list(members),
                token: token.to_owned(),
                bump_revision: NonZeroU64::new(MARGIN),
            })),
        )
        .stage(
            "move the old data aside, the new data in",
            step(Action::SwapData(SwapData {
                target: target.clone(),
                restored: true,
            })),
        )
        .stage(
            "start etcd",
            step(start(
                best,
                ControlPlane::Etcd,
                edits_for_restored(etcd, members)?,
                Readiness::Ready,
            )),
        );
    Ok(())
}

/// The others, one after another: data aside, a learner, a voter.
fn rejoin(
    stages: &mut Stages,
    best: &HostView,
    rest: &[&HostView],
    first: NewMember,
) -> Result<(), Failure> {
    let mut members = vec![first];
    for host in rest {
        let new = NewMember::of(host)?;
        members.push(new.clone());
        let by = AskedMember {
            node: best.node(),
            target: &best.etcd()?.target,
        };
        join(stages, by, host, &new, &members)?;
    }
    start_apiservers(stages, rest.iter().copied());
    Ok(())
}

fn losses(best: &HostView, basis: Basis, rest: &[&HostView], unseen: Vec<String>) -> Vec<Loss> {
    let mut losses = vec![Loss::Outage];
    let of_best = inspection(best);
    if basis == Basis::ByDatabase {
        let end = of_best
            .and_then(|found| found.wal_end)
            .map_or(0, |end| end.index);
        let applied = of_best
            .and_then(|found| found.database)
            .map_or(0, |at| at.index);
        losses.push(Loss::LogBeyondDatabase {
            entries: end.saturating_sub(applied),
        });
    }
    let best_reach = reach(best);
    for host in rest {
        let Some((theirs, best)) = reach(host).zip(best_reach) else {
            continue;
        };
        let node = host.node().to_owned();
        let entries = theirs.index.saturating_sub(best.index);
        if theirs > best {
            // Its data cannot be used, or somebody chose another one.
            losses.push(Loss::FurtherLog { node, entries });
        } else if entries > 0 {
            // Longer and of an older term: who led later had not got it, so no majority had.
            losses.push(Loss::NeverAcknowledged { node, entries });
        }
    }
    let unread = rest.iter().filter(|host| reach(host).is_none());
    let mut nodes: Vec<String> = unread.map(|host| host.node().to_owned()).collect();
    let unseen_count = unseen.len();
    nodes.extend(unseen);
    // An acknowledged write is on a majority. The best of a majority has it.
    let seen = rest.len() + 1 - (nodes.len().min(rest.len()));
    let known = 1 + rest.len() + unseen_count;
    let voters = of_best.map_or(0, |found| {
        found
            .members
            .iter()
            .filter(|member| !member.is_learner)
            .count()
    });
    // Data that cannot be read names no members.
    if !nodes.is_empty() && seen < voters.max(known) / 2 + 1 {
        losses.push(Loss::MaybeNewerElsewhere { nodes });
    }
    losses
}

fn fences(hosts: &[HostView], what: &Recovering) -> Vec<Fence> {
    let unreachable = |(node, why): &(String, String)| Fence::Unreachable {
        node: node.clone(),
        why: why.clone(),
    };
    let mut fences: Vec<Fence> = what.unreachable.iter().map(unreachable).collect();
    let named: BTreeSet<&String> = what.unreachable.iter().map(|(node, _)| node).collect();
    let left = others(hosts)
        .into_iter()
        .filter(|node| !named.contains(node));
    fences.extend(left.map(|node| match what.taking_part {
        TakingPart::Reached => Fence::Unreachable {
            node,
            why: "it was not looked at".to_owned(),
        },
        TakingPart::Unsaid | TakingPart::ThisHost => Fence::ByHand { node },
    }));
    fences
}
