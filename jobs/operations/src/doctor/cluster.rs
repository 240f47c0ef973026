//! What is wrong with the cluster as a whole, from what its members answered.

use std::collections::{BTreeMap, BTreeSet};

use super::{Diagnosis, Evidence, Next, Severity, Situation, SituationKind as Kind};
use crate::advice;
use crate::advice::{Choice, Task};
use crate::amounts::{bytes, revision};
use crate::failure::Answer;
use crate::ids::{ClusterId, MemberId};
use crate::look::{ColdMember, Inspection, LiveEtcd, Look, PeerLook};
use crate::report::{AlarmKind, EndpointStatus, Member};

/// What a learner that has never started costs.
pub const LEARNER_NOT_STARTED: &str =
    "or start it: it has no vote and costs nothing, but etcd adds no other learner meanwhile";

/// What a voting member that has never started costs.
pub const VOTER_NOT_STARTED: &str =
    "or start it: it counts as a member that is down until it starts or is removed";

/// A member that answered, and who asked it.
pub(super) struct Heard<'a> {
    /// The node that asked, which may be its own.
    pub(super) by: &'a str,
    /// How people know it.
    pub(super) name: String,
    /// What it said.
    pub(super) live: &'a LiveEtcd,
}

/// All members that answered clients, asked from a host.
pub(super) fn heard(look: &Look) -> impl Iterator<Item = Heard<'_>> {
    let own = look.live.ok().map(|live| Heard {
        by: look.name(),
        name: own_name(look),
        live,
    });
    let peers = look.peers.ok().map(Vec::as_slice).unwrap_or_default();
    let peers = peers.iter().filter_map(|peer| {
        Some(Heard {
            by: look.name(),
            name: peer_name(peer),
            live: peer.answer.ok()?,
        })
    });
    own.into_iter().chain(peers)
}

/// A member that knows of a leader, other than this host's own: an own one that has none does not keep the others from
/// working.
pub(super) fn working_elsewhere<'a>(look: &'a Look, looks: &'a [Look]) -> Option<Heard<'a>> {
    let by_others = looks.iter().filter(|other| !std::ptr::eq(*other, look));
    let own = own_name(look);
    heard(look)
        .chain(by_others.flat_map(heard))
        .find(|heard| heard.name != own && heard.live.status.leader.is_some())
}

/// What the data directory says, where it was read.
pub(super) fn inspection(look: &Look) -> Option<&Inspection> {
    look.cold.ok()?.inspection.as_ref()?.ok()
}

/// The cluster of this host's member: as it says itself, else as its data does.
pub(super) fn own_cluster(look: &Look) -> Option<ClusterId> {
    let live = look.live.ok().map(|live| live.status.cluster_id);
    let port = look.peer_port.ok().map(|port| port.cluster_id);
    live.or(port)
        .or(inspection(look).and_then(|cold| cold.cluster_id))
}

/// The id of this host's member, told in the same way.
pub(super) fn own_id(look: &Look) -> Option<MemberId> {
    let live = look.live.ok().map(|live| live.status.member_id);
    live.or(inspection(look).and_then(|cold| cold.member_id))
}

/// The name of this host's member.
pub(super) fn own_name(look: &Look) -> String {
    let target = look.etcd.ok().map(|etcd| etcd.target.member_name.clone());
    target.unwrap_or_else(|| look.name().to_owned())
}

/// How people know a member.
pub(super) fn peer_name(peer: &PeerLook) -> String {
    let id = || peer.member_id.map(|id| id.to_string());
    let url = || peer.peer_urls.first().cloned();
    let name = peer.name.clone().or_else(id).or_else(url);
    name.unwrap_or_else(|| "a member without a name".to_owned())
}

/// A member by a list.
pub(super) struct Listed {
    /// Its name, or its id before it has started.
    pub(super) name: String,
    /// Whether it has no vote.
    pub(super) is_learner: bool,
}

/// The names of the members with a vote, by the best source there is.
pub(super) fn voters(look: &Look) -> Vec<String> {
    let voters = members(look).into_iter().filter(|one| !one.is_learner);
    voters.map(|one| one.name).collect()
}

/// The members by the best source there is.
fn members(look: &Look) -> Vec<Listed> {
    let of = |members: &[Member]| -> Vec<Listed> { members.iter().map(listed).collect() };
    if let Some(list) = look.live.ok().and_then(|live| live.members.ok()) {
        return of(&list.members);
    }
    if let Some(port) = look.peer_port.ok() {
        return of(&port.members);
    }
    let peers = look.peers.ok().map(Vec::as_slice).unwrap_or_default();
    let by_peer = peers.iter().find_map(|peer| {
        let list = peer.answer.ok().and_then(|live| live.members.ok());
        let port = peer.peer_port.as_ref().and_then(|port| port.ok());
        list.map(|list| of(&list.members))
            .or(port.map(|port| of(&port.members)))
    });
    if let Some(members) = by_peer {
        return members;
    }
    let stored = inspection(look).map(|cold| cold.members.as_slice());
    if let Some(members) = stored.filter(|members| !members.is_empty()) {
        let of_data = |member: &ColdMember| Listed {
            name: member.name.clone().unwrap_or_else(|| member.id.to_string()),
            is_learner: member.is_learner,
        };
        return members.iter().map(of_data).collect();
    }
    let named = look.etcd.ok().map(|etcd| etcd.initial_cluster.iter());
    let named = named.into_iter().flatten().map(|one| one.name.clone());
    // One with several peer URLs is there several times.
    let named: BTreeSet<String> = named.collect();
    let of_manifest = |name| Listed {
        name,
        is_learner: false,
    };
    named.into_iter().map(of_manifest).collect()
}

fn listed(member: &Member) -> Listed {
    Listed {
        name: match member.started() {
            true => member.name.clone(),
            false => member.id.to_string(),
        },
        is_learner: member.is_learner,
    }
}

pub(super) fn judge(looks: &[Look], found: &mut Diagnosis) {
    if !looks.iter().any(|look| look.etcd.ok().is_some()) {
        return;
    }
    let leading: Vec<Heard<'_>> = looks
        .iter()
        .flat_map(heard)
        .filter(|heard| heard.live.status.leader.is_some())
        .collect();
    if leading.is_empty() {
        without_leader(looks, found);
    } else {
        two_clusters(&leading, found);
        silent(looks, found);
        members_in_order(looks, found);
    }
    alarms(looks, found);
}

fn two_clusters(leading: &[Heard<'_>], found: &mut Diagnosis) {
    let mut by_cluster: BTreeMap<ClusterId, Vec<&Heard<'_>>> = BTreeMap::new();
    for heard in leading {
        let of_cluster = by_cluster.entry(heard.live.status.cluster_id).or_default();
        of_cluster.push(heard);
    }
    if by_cluster.len() < 2 {
        return;
    }
    let summary = "members work in different clusters: each takes writes that the others never see"
        .to_owned();
    let next = Next::anywhere(Task::StopComponent.of("kube-apiserver")).note(
        "on each node of the cluster that shall not go on, so that nobody works with it any more; then its data can be compared, and its members replaced",
    );
    let mut situation = Situation::of_cluster(Kind::TwoClusters, Severity::Lost, summary, next);
    for (cluster, heard) in by_cluster {
        let mut seen = BTreeSet::new();
        for one in heard
            .into_iter()
            .filter(|one| seen.insert(one.name.clone()))
        {
            let revision = revision(one.live.status.revision);
            situation.evidence.push(Evidence {
                node: one.by.to_owned(),
                text: format!(
                    "{} works in cluster {cluster}, at revision {revision} and term {}",
                    one.name, one.live.status.raft_term
                ),
            });
        }
    }
    found.situations.push(situation);
}

/// Who runs, as all hosts have seen it, and what they have seen.
#[derive(Default)]
struct Running {
    names: BTreeSet<String>,
    evidence: BTreeMap<String, Evidence>,
}

impl Running {
    fn note(&mut self, look: &Look, name: &str, running: bool, text: String) {
        if running {
            self.names.insert(name.to_owned());
        }
        // What runs, whoever has seen it, outweighs who could not.
        if running || !self.evidence.contains_key(name) {
            let node = look.name().to_owned();
            self.evidence
                .insert(name.to_owned(), Evidence { node, text });
        }
    }

    /// Notes what a host has seen of its own member and of the others.
    fn note_all(&mut self, look: &Look) {
        const NO_CLIENTS: &str =
            "answers its peers and no clients: it has seen no leader since it was started";
        let own = own_name(look);
        let (running, text) = match (look.live.ok(), look.peer_port.ok()) {
            (Some(live), _) => (true, format!("{own} {}", without(&live.status))),
            (None, Some(_)) => (true, format!("{own} {NO_CLIENTS}")),
            (None, None) => (false, format!("{own} does not run, or does not answer")),
        };
        self.note(look, &own, running, text);
        for peer in look.peers.ok().map(Vec::as_slice).unwrap_or_default() {
            let name = peer_name(peer);
            let port = peer.peer_port.as_ref().and_then(|port| port.ok());
            let (running, text) = match (&peer.answer, port) {
                (Answer::Ok(live), _) => (true, format!("{name} {}", without(&live.status))),
                (_, Some(_)) => (true, format!("{name} {NO_CLIENTS}")),
                (Answer::Failed(failure), None) => {
                    (false, format!("{name} does not answer: {failure}"))
                }
            };
            self.note(look, &name, running, text);
        }
    }
}

/// Nobody who answered knows of a leader.
fn without_leader(looks: &[Look], found: &mut Diagnosis) {
    let mut voting: BTreeSet<String> = BTreeSet::new();
    let mut runs = Running::default();
    for look in looks.iter().filter(|look| look.etcd.ok().is_some()) {
        voting.extend(voters(look));
        runs.note_all(look);
    }
    let all = voting.len();
    let running = runs.names.intersection(&voting).count();
    let needed = all / 2 + 1;
    if all == 0 || (all == 1 && running == 0) {
        // What is wrong with the only member is told of the member.
        return;
    }
    let (kind, summary) = match running < needed {
        true => (
            Kind::QuorumLost,
            format!(
                "the quorum is lost: {running} of {all} members run, {needed} are needed. Nothing can be written"
            ),
        ),
        false => (
            Kind::NoLeader,
            format!(
                "{running} of {all} members run, and none knows of a leader: nothing can be written"
            ),
        ),
    };
    let next = match kind {
        Kind::QuorumLost => Next::anywhere(Task::Recover.choosing(Choice::Ssh)).note(
            "a control-plane node that is only switched off comes first: with a majority on, nothing has to be recovered",
        ),
        _ => Next::anywhere(Task::Diagnose).note(
            "an election takes seconds: if that lasts, check whether the control-plane nodes reach each other at etcd's peer port",
        ),
    };
    let mut situation = Situation::of_cluster(kind, Severity::Lost, summary, next);
    situation.evidence = runs.evidence.into_values().collect();
    found.situations.push(situation);
}

fn without(status: &EndpointStatus) -> String {
    format!(
        "runs and knows of no leader (term {}, revision {})",
        status.raft_term,
        revision(status.revision)
    )
}

/// Members that do not answer, while others work.
fn silent(looks: &[Look], found: &mut Diagnosis) {
    // A host whose own etcd was looked at speaks for itself; one that has no manifest of it does not.
    let speak = looks.iter().filter(|look| look.etcd.ok().is_some());
    let mut told: BTreeSet<String> = speak.map(own_name).collect();
    for look in looks {
        for peer in look.peers.ok().map(Vec::as_slice).unwrap_or_default() {
            let name = peer_name(peer);
            let Some(failure) = peer.answer.failure() else {
                continue;
            };
            // One who only the manifest of long ago names may be no member any more.
            let members = members(look);
            let Some(member) = members.iter().find(|member| member.name == name) else {
                continue;
            };
            if !told.insert(name.clone()) {
                continue;
            }
            let port = peer.peer_port.as_ref().and_then(|port| port.ok());
            let (summary, next) = if peer.client_url.is_none() {
                (
                    format!("member {name} was added and has never started"),
                    Next::anywhere(Task::RemoveMember.of(&name)).note(match member.is_learner {
                        true => LEARNER_NOT_STARTED,
                        false => VOTER_NOT_STARTED,
                    }),
                )
            } else if port.is_some() {
                (
                    format!("member {name} runs, but has found no leader"),
                    Next::on(&name, Task::Diagnose),
                )
            } else {
                (
                    format!("member {name} does not answer"),
                    Next::on(&name, Task::Diagnose)
                        .note("from here it is not seen whether the machine, its network or its etcd is down"),
                )
            };
            found.situations.push(Situation {
                kind: Kind::MemberSilent,
                node: Some(name.clone()),
                severity: Severity::Degraded,
                summary,
                evidence: vec![Evidence {
                    node: look.name().to_owned(),
                    text: failure.to_string(),
                }],
                next,
            });
        }
    }
}

fn members_in_order(looks: &[Look], found: &mut Diagnosis) {
    let Some(look) = looks.iter().find(|look| look.etcd.ok().is_some()) else {
        return;
    };
    let voters = voters(look);
    let working: BTreeSet<String> = looks
        .iter()
        .flat_map(heard)
        .filter(|heard| heard.live.status.leader.is_some())
        .map(|heard| heard.name)
        .collect();
    let answering = voters.iter().filter(|name| working.contains(*name)).count();
    let all = voters.len();
    if answering == all {
        found.in_order.push(Evidence {
            node: look.name().to_owned(),
            text: format!("all {all} members answer and know the leader"),
        });
    }
}

fn alarms(looks: &[Look], found: &mut Diagnosis) {
    let mut raised: BTreeMap<
        (MemberId, &'static str),
        (AlarmKind, String, String, &EndpointStatus),
    > = BTreeMap::new();
    let all: Vec<Heard<'_>> = looks.iter().flat_map(heard).collect();
    for heard in &all {
        for alarm in heard.live.status.alarms() {
            let owner = all
                .iter()
                .find(|one| one.live.status.member_id == alarm.member_id);
            let name = owner.map_or_else(|| alarm.member_id.to_string(), |one| one.name.clone());
            let status = owner.map_or(&heard.live.status, |one| &one.live.status);
            let word = match alarm.alarm {
                AlarmKind::NoSpace => "NOSPACE",
                AlarmKind::Corrupt => "CORRUPT",
                AlarmKind::Unknown => "an unknown one",
            };
            raised.entry((alarm.member_id, word)).or_insert((
                alarm.alarm,
                name,
                heard.by.to_owned(),
                status,
            ));
        }
    }
    let (mut space, mut corrupt) = (Vec::new(), Vec::new());
    for ((_, word), (kind, name, by, status)) in &raised {
        let evidence = Evidence {
            node: by.clone(),
            text: format!("alarm {word} of member {name}; {}", sizes(status)),
        };
        match kind {
            AlarmKind::NoSpace => space.push((evidence, *status)),
            AlarmKind::Corrupt => corrupt.push((evidence, name.clone())),
            AlarmKind::Unknown => {}
        }
    }
    if let Some((_, name)) = corrupt.first() {
        let summary = format!("the data of {name} differs from the others': alarm CORRUPT");
        let next = Next::anywhere(Task::ReplaceMember.of(name).choosing(Choice::Ssh));
        let mut situation =
            Situation::of_cluster(Kind::CorruptAlarm, Severity::Lost, summary, next);
        situation.evidence = corrupt.iter().map(|(seen, _)| seen.clone()).collect();
        found.situations.push(situation);
    }
    if !space.is_empty() {
        let summary = "etcd refuses every write but deletions: alarm NOSPACE".to_owned();
        let statuses: Vec<&EndpointStatus> = space.iter().map(|(_, status)| *status).collect();
        let mut situation = Situation::of_cluster(
            Kind::NoSpaceAlarm,
            Severity::Degraded,
            summary,
            out_of_space(&statuses),
        );
        situation.evidence = space.into_iter().map(|(seen, _)| seen).collect();
        found.situations.push(situation);
    }
}

fn sizes(status: &EndpointStatus) -> String {
    let mut text = format!("its database has {}", bytes(status.db_size_bytes));
    if let Some(used) = status.db_in_use_bytes {
        let free = status.db_size_bytes.saturating_sub(used);
        text.push_str(&format!(", of which {} can be freed", bytes(free)));
    }
    if let Some(quota) = status.quota_bytes {
        text.push_str(&format!(", the quota is {}", bytes(quota)));
    }
    text
}

/// The first step that is left of: free space, give it back, take the alarm back. Etcd's default quota is 2 GiB.
fn out_of_space(raised: &[&EndpointStatus]) -> Next {
    const DEFAULT: u64 = 2 << 30;
    let part = |bytes: u64, status: &EndpointStatus| {
        let quota = status.quota_bytes.unwrap_or(DEFAULT).max(1);
        u128::from(bytes) * 100 / u128::from(quota)
    };
    let full = raised.iter().any(|one| part(one.db_size_bytes, one) >= 90);
    let used = |one: &&EndpointStatus| one.db_in_use_bytes.unwrap_or(one.db_size_bytes);
    let in_use = raised.iter().any(|one| part(used(one), one) >= 80);
    if !full {
        Next::anywhere(Task::DisarmAlarms).note("there is space again")
    } else if in_use {
        Next::anywhere(Task::ShowUsage).note(advice![
            "it shows what fills the database: delete what is too much; then ",
            Task::Defragment,
            ", then ",
            Task::DisarmAlarms
        ])
    } else {
        Next::anywhere(Task::Defragment).note(advice![
            "it gives the free space back; then ",
            Task::DisarmAlarms
        ])
    }
}
