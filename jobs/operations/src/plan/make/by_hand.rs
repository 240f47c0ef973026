//! What is done by hand: on hosts of the cluster that no plan reaches, the commands for each, and when.

use std::collections::BTreeSet;

use super::{Fence, HostView, TakingPart};
use crate::advice;
use crate::advice::{Advice, Choice, Command, Task};
use crate::control_plane::ControlPlane;
use crate::failure::Failure;
use crate::plan::OtherHost;

/// What etcd does on the other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EtcdThere {
    /// It may serve: the last ones that are stopped take the quorum away.
    Serves,
    /// It serves nobody: where stopping it would take a quorum away, it is not as it was thought to be.
    LostQuorum,
}

/// The hosts on which everything is done by hand.
pub(super) fn by_hand(fences: &[Fence]) -> Vec<String> {
    let by_hand = fences.iter().filter_map(|fence| match fence {
        Fence::ByHand { node } => Some(node.clone()),
        Fence::Unreachable { .. }
        | Fence::ApiserverStops { .. }
        | Fence::NoQuorum { .. }
        | Fence::LeftOut { .. } => None,
    });
    by_hand.collect()
}

/// The commands for hosts on which everything is done by hand, while the cluster is made anew on a single one.
pub(super) fn other_hosts(
    hosts: &[HostView],
    by_hand: Vec<String>,
    there: EtcdThere,
) -> Vec<OtherHost> {
    let target = hosts.iter().find_map(|host| host.look.etcd.ok());
    let endpoint = target.and_then(|etcd| etcd.target.url_beyond_the_node());
    let members = hosts.iter().flat_map(|host| host.look.known_members());
    let names: BTreeSet<String> = members.map(|(name, _)| name).collect();
    let all = by_hand.into_iter();
    all.map(|node| OtherHost {
        before: stop(there),
        after: vec![join(names.get(&node), endpoint)],
        node,
    })
    .collect()
}

/// The apiserver first: an etcd whose own apiserver is gone ends at once.
fn stop(there: EtcdThere) -> Vec<Advice> {
    let command = |component: ControlPlane| Task::StopComponent.of(component);
    let etcd = command(ControlPlane::Etcd);
    let etcd = match there {
        EtcdThere::Serves => etcd.choosing(Choice::AcceptOutage),
        EtcdThere::LostQuorum => etcd,
    };
    vec![command(ControlPlane::Apiserver).into(), etcd.into()]
}

/// The node is named where its name is known: the command refuses on another one.
fn join(node: Option<&String>, endpoint: Option<&str>) -> Advice {
    let mut command = Command::from(Task::ReplaceMember);
    if let Some(node) = node {
        command = command.of(node);
    }
    command = command.choosing(Choice::ThisNodeOnly);
    if let Some(url) = endpoint {
        command = command.with(Choice::Endpoint, url);
    }
    command.into()
}

/// Why a plan is not to be begun: nothing was said of the other hosts, or somebody serves the old past there.
pub(super) fn refused(
    taking_part: TakingPart,
    by_hand: &[String],
    alive: &[String],
) -> Option<Failure> {
    if taking_part == TakingPart::Unsaid && !by_hand.is_empty() {
        let (nodes, are) = (by_hand.join(", "), are(by_hand.len()));
        let message = format!("{nodes} {are} of the cluster too, and would take no part");
        return Some(Failure::refused(message).hint(advice![
            Choice::Ssh,
            " includes them; where ssh is not possible, ",
            Choice::ThisNodeOnly,
            " works on this host alone and leaves to you what has to be run on each of the others",
        ]));
    }
    if alive.is_empty() {
        return None;
    }
    let message = format!("the old cluster is alive elsewhere: {}", alive.join("; "));
    Some(Failure::refused(message).hint(advice![
        "include that host (",
        Choice::Ssh,
        "), or stop it there: ",
        Task::StopComponent.of("kube-apiserver"),
        ", then ",
        Task::StopComponent.of("etcd")
    ]))
}

fn are(count: usize) -> &'static str {
    match count {
        1 => "is a member",
        _ => "are members",
    }
}
