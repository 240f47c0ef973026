//! A component stopped, started, or started with a changed manifest, on one host.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{BroughtBack, Fence, HostView, Loss, PlanPreview, plan};
use crate::advice;
use crate::advice::Task;
use crate::control_plane::ControlPlane;
use crate::failure::Failure;
use crate::look::LiveEtcd;
use crate::manifest::Edit;
use crate::plan::{Action, PlanKind, Readiness, Stages, StartComponent, StopComponent};

/// What is to become of a component.
#[derive(Debug, Clone, PartialEq)]
pub enum ManifestChange {
    /// It is stopped and stays so.
    Stopped,
    /// It is started with the manifest that was taken out.
    Started,
    /// It runs with a changed manifest.
    Changed(Vec<Edit>),
}

/// The plan for a component of one host.
///
/// # Errors
/// `FailureKind::Refused` when the host is not fit for it; the hint says what helps.
pub fn manifest(
    host: &HostView,
    component: &str,
    wanted: &ManifestChange,
    now: Timestamp,
) -> Result<PlanPreview, Failure> {
    host.check_fit()?;
    let node = host.node();
    let is_etcd = component == ControlPlane::Etcd.name();
    let of = |name: &str| ControlPlane::ALL.into_iter().find(|one| one.name() == name);
    let mut stages = Stages::default();
    let mut brought_back = Vec::new();
    let title = match wanted {
        ManifestChange::Stopped => {
            stages.stage(format!("stop {component}"), stop(host, component));
            format!("stop {component} on {node}")
        }
        ManifestChange::Started => {
            let manifest = match of(component) {
                Some(known) => {
                    brought_back.extend(to_start(host, known)?);
                    host.manifest_to_start(known)
                }
                None => None,
            };
            let start = start(host, component, &[], manifest);
            stages.stage(format!("start {component}"), start);
            format!("start {component} on {node}")
        }
        ManifestChange::Changed(edits) => {
            if let Some(known) = of(component) {
                to_change(host, known)?;
            }
            let told: Vec<String> = edits.iter().map(ToString::to_string).collect();
            let told = told.join(", ");
            change(&mut stages, host, component, edits, &told);
            format!("{component} on {node}: {told}")
        }
    };
    let takes_down = is_etcd && *wanted != ManifestChange::Started;
    let losses = match takes_down && !holds_without(host) {
        true => vec![Loss::Outage],
        false => Vec::new(),
    };
    Ok(PlanPreview {
        origin: None,
        plan: plan(
            PlanKind::Manifest,
            title,
            vec![host.host_ref()],
            stages.done(),
            now,
        ),
        found: Vec::new(),
        losses,
        fences: fences(host, component, wanted),
        brought_back,
        refused: None,
    })
}

/// What to know of it beside what it costs the cluster.
fn fences(host: &HostView, component: &str, wanted: &ManifestChange) -> Vec<Fence> {
    let (apiserver, etcd) = (ControlPlane::Apiserver, ControlPlane::Etcd);
    let node = || host.node().to_owned();
    let is_etcd = component == etcd.name();
    let changes = matches!(wanted, ManifestChange::Changed(_));
    let with_apiserver = component == apiserver.name() || (is_etcd && host.has(apiserver));
    let stops = changes && with_apiserver;
    let starts = is_etcd && *wanted != ManifestChange::Stopped;
    let lost = || {
        let live = host.look.live.ok();
        live.is_some_and(|live| is_lost(host, live))
    };
    let stops = stops.then(|| Fence::ApiserverStops { node: node() });
    let no_quorum = (starts && lost()).then(|| Fence::NoQuorum { node: node() });
    stops.into_iter().chain(no_quorum).collect()
}

/// The component stops and starts with these edits, which are `told` in words.
fn change(stages: &mut Stages, host: &HostView, component: &str, edits: &[Edit], told: &str) {
    // An etcd whose own apiserver is gone ends at once and is started at once.
    let apiserver = ControlPlane::Apiserver;
    let with_apiserver = component == ControlPlane::Etcd.name() && host.has(apiserver);
    if with_apiserver {
        stages.stage(format!("stop {apiserver}"), stop(host, apiserver.name()));
    }
    stages.stage(format!("stop {component}"), stop(host, component));
    let changed = start(host, component, edits, None);
    stages.stage(format!("start {component} with {told}"), changed);
    if with_apiserver {
        let start = start(host, apiserver.name(), &[], None);
        stages.stage(format!("start {apiserver}"), start);
    }
}

fn stop(host: &HostView, component: &str) -> [(String, Action); 1] {
    let component = component.to_owned();
    let action = Action::Stop(StopComponent { component });
    [(host.node().to_owned(), action)]
}

fn start(
    host: &HostView,
    component: &str,
    edits: &[Edit],
    manifest: Option<PathBuf>,
) -> [(String, Action); 1] {
    let action = Action::Start(StartComponent {
        component: component.to_owned(),
        manifest,
        edits: edits.to_vec(),
        until: Readiness::Ready,
    });
    [(host.node().to_owned(), action)]
}

/// What is brought back of a component that is to be started.
fn to_start(host: &HostView, component: ControlPlane) -> Result<Option<BroughtBack>, Failure> {
    let manifests = host.look.manifests.ok();
    if let Some(pod) = manifests.and_then(|found| found.of(component)) {
        let message = format!(
            "{}: {} is in kubelet's folder already",
            host.node(),
            pod.path.display()
        );
        return Err(Failure::refused(message)
            .hint(advice![Task::Diagnose, " says what keeps it from running"]));
    }
    host.check_manifest(component)
}

/// Refuses a component that is not in the folder: it would have to be stopped first, with others stopped for it before.
fn to_change(host: &HostView, component: ControlPlane) -> Result<(), Failure> {
    if host.has(component) {
        return Ok(());
    }
    host.check_manifest(component)?;
    let message = format!("{}: {component} was stopped", host.node());
    let start = Task::StartComponent.of(component);
    Err(Failure::refused(message).hint(advice![start, " comes first"]))
}

/// Whether the cluster keeps what quorum it has without this host's member. Where the member does not answer, or the quorum
/// is lost already, there is nothing to lose.
pub fn holds_without(host: &HostView) -> bool {
    let Some(live) = host.look.live.ok() else {
        return true;
    };
    if is_lost(host, live) {
        return true;
    }
    let Some(members) = live.members.ok() else {
        return false;
    };
    let voters = members.members.iter().filter(|member| !member.is_learner);
    let needed = voters.count() / 2 + 1;
    let own = members
        .members
        .iter()
        .find(|member| member.id == live.status.member_id);
    if own.is_some_and(|own| own.is_learner) {
        return true;
    }
    let others = host.look.peers.ok().into_iter().flatten();
    let healthy = others.filter(|peer| {
        let status = peer.answer.ok().map(|asked| &asked.status);
        status.is_some_and(|status| status.leader.is_some() && !status.is_learner)
    });
    healthy.count() >= needed
}

/// Whether the quorum is lost: nobody knows a leader, and too few voters answer for an election to bring one.
fn is_lost(host: &HostView, live: &LiveEtcd) -> bool {
    let Some(list) = live.members.ok() else {
        return false;
    };
    let peers = host.look.peers.ok().into_iter().flatten();
    let answers: Vec<_> = peers
        .filter_map(|peer| Some(&peer.answer.ok()?.status))
        .chain([&live.status])
        .collect();
    let voters = list.members.iter().filter(|member| !member.is_learner);
    let needed = voters.count() / 2 + 1;
    let up = answers.iter().filter(|status| !status.is_learner).count();
    answers.iter().all(|status| status.leader.is_none()) && up < needed
}
