//! One member replaced while the others hold the quorum. All of it is done on the member's own host: the others are asked
//! from there, with its own certificates.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::cluster::{NewMember, edits_for_joining};
use super::join::{AskedMember, join};
use super::stages::{check_manifests, found, restart_watchers, start_apiservers, stop_all};
use super::{HostView, Loss, PlanPreview, plan};
use crate::advice;
use crate::advice::{Advice, Choice, Command, Task};
use crate::control_plane::ControlPlane;
use crate::failure::{Answer, Failure, FailureKind};
use crate::look::{LiveEtcd, PeerLook};
use crate::manifest::{Edit, Manifest};
use crate::plan::{Action, PlanKind, RemoveMember, Stage, Stages};
use crate::report::{Member, MemberList};
use crate::target::Target;

/// How a member is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replacing {
    /// Also one that answers and follows a leader.
    pub although_well: bool,
    /// The client URL of the member that is asked, which the look was given too; none: one that answers and knows a leader.
    pub endpoint: Option<String>,
    /// The text of etcd's manifest on the host, to see whether it can be changed as it has to be; none: that is not looked at.
    pub manifest: Option<String>,
}

/// The plan. The host may be a member of that cluster, or of none, or of another one: then nothing is removed.
///
/// # Errors
/// [`FailureKind::Refused`] when the host is not fit for it, the others do not hold the quorum without the member, are of
/// several clusters, or the member is well and that is not to be passed over; [`FailureKind::NoQuorum`] when no other member
/// answers that knows a leader. The hint says what lifts it.
pub fn replace(host: &HostView, what: &Replacing, now: Timestamp) -> Result<PlanPreview, Failure> {
    if host.look.manifests.ok().is_some() {
        refuse_new_machine(host)?;
    }
    host.check_fit()?;
    let brought_back = check_manifests(std::slice::from_ref(host))?;
    let new = NewMember::of(host)?;
    let cluster = Cluster::seen_from(host, what.endpoint.as_deref())?;
    cluster.check_quorum(&new)?;
    if !what.although_well && is_well(host) {
        return Err(Failure::refused(cluster.well(host))
            .hint(advice![Choice::EvenIfHealthy, " replaces it all the same"]));
    }
    let stages = stages(host, &new, &cluster, what.manifest.as_deref())?;
    Ok(PlanPreview {
        origin: None,
        plan: plan(
            PlanKind::Replace,
            format!("replace the member of {}", host.node()),
            vec![host.host_ref()],
            stages,
            now,
        ),
        found: vec![found(host, false)],
        losses: cluster.elsewhere(host).into_iter().collect(),
        fences: Vec::new(),
        brought_back,
        refused: None,
    })
}

/// The old member stops and is removed, and the new one joins; `manifest` is etcd's on the host, where that is looked at.
fn stages(
    host: &HostView,
    new: &NewMember,
    cluster: &Cluster<'_>,
    manifest: Option<&str>,
) -> Result<Vec<Stage>, Failure> {
    let own = &host.etcd()?.target;
    let target = Target {
        client_urls: vec![cluster.url.clone()],
        ..own.clone()
    };
    let by = AskedMember {
        node: host.node(),
        target: &target,
    };
    let mut stages = Stages::default();
    stop_all(&mut stages, std::slice::from_ref(host));
    if let Some(old) = cluster.of_urls(&new.peer_urls) {
        let action = Action::RemoveMember(RemoveMember {
            target: target.clone(),
            peer_urls: old.peer_urls.clone(),
            name: new.name.clone(),
        });
        stages.stage(
            format!("remove the old member {}", new.name),
            [(host.node().to_owned(), action)],
        );
    }
    let others = cluster.list.members.iter();
    let others = others.filter(|member| !same(member, &new.peer_urls));
    let mut members: Vec<NewMember> = others
        .map(|member| NewMember {
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
        })
        .collect();
    members.push(new.clone());
    if let Some(text) = manifest {
        // Not seen when the old member is gone already.
        check_edits(host, text, &edits_for_joining(host.etcd()?, &members)?)?;
    }
    join(&mut stages, by, host, new, &members)?;
    start_apiservers(&mut stages, [host]);
    if cluster.of_urls(&new.peer_urls).is_none() {
        // It was another cluster's, or nobody's: what watched that past begins anew.
        restart_watchers(&mut stages, [host]);
    }
    Ok(stages.done())
}

/// Refuses a manifest that cannot be changed as it has to be.
fn check_edits(host: &HostView, text: &str, edits: &[Edit]) -> Result<(), Failure> {
    let on_host = |failure: Failure| host.on(&failure);
    let mut manifest = Manifest::parse(text.as_bytes()).map_err(on_host)?;
    for edit in edits {
        let component = ControlPlane::Etcd.name();
        manifest = manifest.edit(component, edit).map_err(on_host)?.manifest;
    }
    Ok(())
}

/// A machine that was set up anew has no manifest to go on from.
fn refuse_new_machine(host: &HostView) -> Result<(), Failure> {
    let Some(missing) = host.look.etcd.failure() else {
        return Ok(());
    };
    if missing.kind != FailureKind::Missing {
        return Ok(());
    }
    let node = host.node();
    let message = format!("{node}: {}", missing.message);
    let outdated = missing.hint.clone();
    let outdated = outdated.map_or_else(Advice::default, |hint| hint.and(". "));
    let remove = Task::RemoveMember.of(node);
    Err(Failure::refused(message).hint(advice![
        outdated,
        "if its manifest lies elsewhere, move it there, or ",
        Choice::Manifest.with("FILE"),
        format!(". If this machine was set up anew, kubeadm makes it a control-plane node: where {node} is a member still, "),
        remove,
        " on another control-plane node; there, kubeadm init phase upload-certs --upload-certs and kubeadm token create \
         --print-join-command; here, that kubeadm join with --control-plane and --certificate-key",
    ]))
}

/// The rest of the cluster as it answers a host.
struct Cluster<'a> {
    /// Where a member with a leader answers.
    url: String,
    /// The members it lists.
    list: &'a MemberList,
    /// Those of this cluster that know a leader.
    led: Vec<(&'a PeerLook, &'a LiveEtcd)>,
}

impl<'a> Cluster<'a> {
    fn seen_from(host: &'a HostView, endpoint: Option<&str>) -> Result<Self, Failure> {
        let peers = host.look.peers.ok().map(Vec::as_slice).unwrap_or_default();
        let led: Vec<_> = peers.iter().filter_map(led).collect();
        let asked = match endpoint {
            Some(url) => asked_at(url, peers)?,
            None => {
                refuse_several(&led)?;
                led.first().copied().ok_or_else(|| nobody(host))?
            }
        };
        let (peer, answered) = asked;
        let list = match &answered.members {
            Answer::Ok(list) => list,
            Answer::Failed(failure) => return Err(failure.clone()),
        };
        let same_cluster = |one: &LiveEtcd| one.status.cluster_id == answered.status.cluster_id;
        Ok(Self {
            url: peer.client_url.clone().unwrap_or_default(),
            list,
            led: led
                .into_iter()
                .filter(|(_, one)| same_cluster(one))
                .collect(),
        })
    }

    /// That a host's member is well: in this cluster, or in another one, whose writes would go out of service with it.
    fn well(&self, host: &HostView) -> String {
        let node = host.node();
        match self.elsewhere(host) {
            Some(Loss::OtherCluster {
                cluster_id,
                revision,
                ..
            }) => format!(
                "the member of {node} follows a leader in another cluster, {cluster_id}, at revision {revision}: what was written there and not here would go out of service"
            ),
            _ => format!("the member of {node} answers and follows a leader"),
        }
    }

    /// What a host's member serves as one of another cluster.
    fn elsewhere(&self, host: &HostView) -> Option<Loss> {
        let own = host.look.live.ok().map(|live| &live.status)?;
        (own.leader.is_some() && own.cluster_id != self.list.cluster_id).then(|| {
            Loss::OtherCluster {
                node: host.node().to_owned(),
                cluster_id: own.cluster_id,
                revision: own.revision,
            }
        })
    }

    /// The others have to be a majority of all, so that the member can be removed, and hold the quorum afterwards.
    fn check_quorum(&self, new: &NewMember) -> Result<(), Failure> {
        let voters = self.list.members.iter().filter(|member| !member.is_learner);
        let needed = voters.clone().count() / 2 + 1;
        let others = voters
            .clone()
            .filter(|member| !same(member, &new.peer_urls));
        let healthy = others.filter(|member| self.answers(member)).count();
        if healthy >= needed {
            return Ok(());
        }
        let message = format!(
            "of {} voting members {healthy} others are healthy, and {needed} are needed",
            voters.count()
        );
        Err(Failure::refused(message).hint(advice![
            "mend another member first; if the quorum is lost for good, ",
            Task::Recover,
            " makes a new cluster of what is left"
        ]))
    }

    fn answers(&self, member: &Member) -> bool {
        self.led.iter().any(|(peer, answered)| {
            same(member, &peer.peer_urls) || answered.status.member_id == member.id
        })
    }

    fn of_urls(&self, urls: &[String]) -> Option<&Member> {
        self.list.members.iter().find(|member| same(member, urls))
    }
}

/// A member that can be asked as a client and knows a leader, and what it answered.
fn led(peer: &PeerLook) -> Option<(&PeerLook, &LiveEtcd)> {
    let answered = peer.answer.ok()?;
    (answered.status.leader.is_some() && peer.client_url.is_some()).then_some((peer, answered))
}

/// The member at a URL that somebody named.
fn asked_at<'a>(url: &str, peers: &'a [PeerLook]) -> Result<(&'a PeerLook, &'a LiveEtcd), Failure> {
    let of_others = || {
        advice![
            Choice::Endpoint,
            " is the client URL of another member, such as https://10.0.0.3:2379"
        ]
    };
    let asked = peers
        .iter()
        .find(|peer| peer.client_url.as_deref() == Some(url));
    let peer = asked.ok_or_else(|| {
        let message = format!("{url} is this host's own etcd");
        Failure::refused(message).hint(of_others())
    })?;
    match &peer.answer {
        Answer::Failed(failure) => {
            let message = format!("{url} does not answer: {}", failure.message);
            Err(Failure::new(failure.kind, message).hint(of_others()))
        }
        Answer::Ok(_) => led(peer).ok_or_else(|| {
            let message = format!("the member at {url} knows no leader");
            Failure::new(FailureKind::NoQuorum, message).hint(advice![
                "name another one; if the quorum is lost for good, ",
                Task::Recover,
                " makes a new cluster of what is left"
            ])
        }),
    }
}

/// Members of the old cluster and of one that was made anew may both answer. Which of them is meant is not guessed.
fn refuse_several(led: &[(&PeerLook, &LiveEtcd)]) -> Result<(), Failure> {
    let ids = led.iter().map(|(_, answered)| answered.status.cluster_id);
    let ids: BTreeSet<String> = ids.map(|id| id.to_string()).collect();
    if ids.len() < 2 {
        return Ok(());
    }
    let each = led.iter().map(|(peer, answered)| {
        let url = peer.client_url.as_deref().unwrap_or_default();
        format!("{url} of {}", answered.status.cluster_id)
    });
    let each: Vec<String> = each.collect();
    let message = format!(
        "members of {} clusters answer: {}",
        ids.len(),
        each.join(", ")
    );
    Err(Failure::refused(message).hint(advice![
        Command::from(Choice::ThisNodeOnly).with(Choice::Endpoint, "URL"),
        " names a member of the one that it is to join"
    ]))
}

fn nobody(host: &HostView) -> Failure {
    let message = format!("no other member answers {} and knows a leader", host.node());
    Failure::new(FailureKind::NoQuorum, message).hint(advice![
        "if this host does not know where they are: ",
        Command::from(Choice::ThisNodeOnly).with(Choice::Endpoint, "URL"),
        ", with the client URL of one; if the quorum is lost for good, ",
        Task::Recover,
        " makes a new cluster of what is left",
    ])
}

fn is_well(host: &HostView) -> bool {
    host.look
        .live
        .ok()
        .is_some_and(|live| live.status.leader.is_some())
}

fn same(member: &Member, urls: &[String]) -> bool {
    member.peer_urls.iter().any(|url| urls.contains(url))
}
