//! What is wrong with the apiserver, the controller-manager and the scheduler of a host, and what was stopped there.

use super::cluster::working_elsewhere;
use super::member::Member;
use super::words::{self, logs_of};
use super::{Next, Notes, Severity, SituationKind as Kind};
use crate::advice::{Choice, Task};
use crate::control_plane::ControlPlane;
use crate::ending::ended;
use crate::failure::{Answer, FailureKind};
use crate::look::{ArchivedManifest, ContainerLook, HealthAnswer, Look, Manifests};
use crate::manifest::ANEW;
use crate::runtime::State;
use crate::shell::CommandLine;
use crate::utc::to_the_second;

pub(super) fn judge(notes: &mut Notes<'_>, member: Member, looks: &[Look]) {
    stopped(notes, looks);
    // Without etcd the others cannot work, and there is nothing to be mended about them.
    if member == Member::Serves && apiserver(notes) {
        for component in [ControlPlane::ControllerManager, ControlPlane::Scheduler] {
            controller(notes, component);
        }
    }
}

/// Components whose manifest is in the folder no more.
fn stopped(notes: &mut Notes<'_>, looks: &[Look]) {
    let look = notes.look;
    let Some(manifests) = look.manifests.ok() else {
        return;
    };
    if let Answer::Failed(failure) = &manifests.aside {
        notes.unseen("archived manifests", failure);
    }
    for component in ControlPlane::ALL {
        if manifests.of(component).is_some() {
            continue;
        }
        match manifests.archived(component) {
            Some(archived) => archived_one(notes, manifests, component, archived),
            None if component == ControlPlane::Etcd => no_etcd(notes, manifests, looks),
            None if belongs_here(manifests, component) => missing(notes, manifests, component),
            None => {}
        }
    }
}

/// A component that was stopped: its manifest was archived, and may not be what ran last.
fn archived_one(
    notes: &mut Notes<'_>,
    manifests: &Manifests,
    component: ControlPlane,
    archived: &ArchivedManifest,
) {
    let node = notes.node();
    let (path, since) = (archived.path.display(), archived.since());
    let mut evidence = vec![
        format!("{} has no manifest of it", manifests.folder.display()),
        format!("{path} is the archived manifest"),
    ];
    let data_dir = archived.data_dir.as_ref();
    evidence.extend(data_dir.map(|path| format!("its data directory is {}", path.display())));
    evidence.extend(archived.doubts.iter().map(ToString::to_string));
    if archived.last_ran.is_none() {
        evidence.push("the container runtime has no record of what ran last".to_owned());
    }
    let bars = archived.bars().next().is_some();
    let (summary, next) = match bars {
        false => (
            format!("{component} on {node} was stopped: its manifest{since} is archived"),
            Next::on(node, Task::StartComponent.of(component)),
        ),
        true => (
            format!(
                "{component} on {node} has no manifest, and the archived one{since} is not what ran last"
            ),
            Next::on(
                node,
                Task::StartComponent
                    .of(component)
                    .with(Choice::Manifest, "FILE"),
            )
            .note(format!(
                "FILE is the manifest that ran last; {path} is the archived one"
            )),
        ),
    };
    notes.degraded(Kind::ComponentStopped, summary, evidence, next);
}

/// There is no manifest of the etcd that the apiserver uses.
fn no_etcd(notes: &mut Notes<'_>, manifests: &Manifests, looks: &[Look]) {
    let (look, node, folder) = (notes.look, notes.node(), manifests.folder.display());
    let of_master = OF_A_MASTER.iter().any(|one| manifests.of(*one).is_some());
    let belongs_here = of_master || look.control_plane_files;
    // Which etcd is meant is a situation of its own.
    let unclear = look
        .etcd
        .failure()
        .is_some_and(|one| one.kind != FailureKind::Missing);
    if manifests.etcd_is_external || !belongs_here || unclear || is_no_pod(notes, manifests) {
        return;
    }
    let mut evidence = vec![manifests.none_of(ControlPlane::Etcd)];
    evidence.extend(manifests.elsewhere(ControlPlane::Etcd).map(|found| {
        let path = found.path.display();
        let written = found.modified.map_or_else(String::new, |at| {
            format!(", last written {}", to_the_second(at))
        });
        format!("{path} is one{written}")
    }));
    evidence.extend(manifests.etcd_data.iter().map(ToString::to_string));
    let mut elsewhere = manifests.elsewhere(ControlPlane::Etcd);
    let next = match elsewhere.next() {
        Some(found) => {
            let back = CommandLine::new("mv -n").operand(found.path.display());
            Next::on(node, back.operand(format!("{folder}/")))
                .note("if it is what ran last; kubelet starts it at once")
        }
        None => Next::on(node, "kubeadm init phase etcd local --config FILE").note(format!(
            "it writes a new manifest; {ANEW}. Without FILE kubeadm puts the data in /var/lib/etcd. If the old manifest lies elsewhere, move it into {folder}"
        )),
    };
    let still_runs = container_runs(notes);
    let severity = match working_elsewhere(look, looks) {
        None if !is_ready(notes) => Severity::Lost,
        _ => Severity::Degraded,
    };
    let then = match still_runs {
        true => "its container runs still, and nothing starts it again",
        false => "so it does not run",
    };
    let summary = format!("there is no manifest of etcd on {node}, {then}");
    notes.situation(Kind::NoEtcdManifest, severity, summary, evidence, next);
}

/// Whether the etcd of this host runs all the same, though no static pod is it: systemd or docker run it. A container of the
/// pod that is still there is of a manifest that went.
fn is_no_pod(notes: &mut Notes<'_>, manifests: &Manifests) -> bool {
    if container_runs(notes) {
        return false;
    }
    let node = notes.node();
    if manifests.etcd_is_no_pod {
        notes.in_order(format!(
            "etcd on {node} runs, not as a static pod: a process listens on the port that the apiserver uses; it was not looked at"
        ));
        return true;
    }
    let ready = is_ready(notes);
    if ready {
        let why = "the apiserver is ready, so an etcd runs, and not as a static pod of this host";
        notes.unseen("etcd", &why);
    }
    ready
}

fn is_ready(notes: &Notes<'_>) -> bool {
    let ready = notes
        .look
        .own_apiserver
        .ok()
        .and_then(|health| health.readyz.ok());
    ready.is_some_and(HealthAnswer::is_ok)
}

/// Whether the runtime still runs a container of etcd's pod.
fn container_runs(notes: &Notes<'_>) -> bool {
    newest(notes, ControlPlane::Etcd).is_some_and(|one| one.state == State::Running)
}

/// What a control-plane node has of its own beside etcd, which may be elsewhere.
const OF_A_MASTER: [ControlPlane; 3] = [
    ControlPlane::Apiserver,
    ControlPlane::ControllerManager,
    ControlPlane::Scheduler,
];

/// Whether a component's manifest is missing: where one of a control-plane node's own three runs, the others do.
fn belongs_here(manifests: &Manifests, component: ControlPlane) -> bool {
    let runs = |one: &ControlPlane| manifests.of(*one).is_some();
    OF_A_MASTER.contains(&component) && OF_A_MASTER.iter().any(runs)
}

fn missing(notes: &mut Notes<'_>, manifests: &Manifests, component: ControlPlane) {
    let (node, folder) = (notes.node(), manifests.folder.display());
    let found = manifests.elsewhere(component).next();
    let next = match found {
        Some(found) => Next::on(
            node,
            CommandLine::new("mv -n")
                .operand(found.path.display())
                .operand(format!("{folder}/")),
        )
        .note("if it is what ran last; kubelet starts it at once"),
        None => Next::on(
            node,
            CommandLine::new("find / -xdev").option("-name", format!("{component}*.yaml*")),
        )
        .note(format!(
            "if somebody moved it, move it into {folder}; else {} writes a new one; {ANEW}",
            component.kubeadm_phase()
        )),
    };
    let mut evidence = vec![manifests.none_of(component)];
    evidence.extend(found.map(|found| format!("{} is one", found.path.display())));
    notes.degraded(
        Kind::ComponentStopped,
        format!("{component} does not run on {node}: it has no manifest there"),
        evidence,
        next,
    );
}

/// Whether the apiserver works.
fn apiserver(notes: &mut Notes<'_>) -> bool {
    let (look, node) = (notes.look, notes.node());
    let Some(manifests) = look.manifests.ok() else {
        return false;
    };
    if manifests.of(ControlPlane::Apiserver).is_none() {
        return false;
    }
    let evidence = match &look.own_apiserver {
        Answer::Ok(health) => match &health.readyz {
            Answer::Ok(ready) if ready.is_ok() => {
                notes.in_order(format!(
                    "kube-apiserver answers at {} and is ready",
                    health.url
                ));
                return true;
            }
            Answer::Ok(ready) => format!("{}/readyz: {}", health.url, said(ready)),
            Answer::Failed(failure) => failure.to_string(),
        },
        Answer::Failed(failure) => failure.to_string(),
    };
    let container = newest(notes, ControlPlane::Apiserver);
    let ended = ended(look, ControlPlane::Apiserver);
    let mut all = vec![evidence];
    all.extend(ended.map(|one| words::ending(ControlPlane::Apiserver, one)));
    all.extend(ended.and_then(words::last_words));
    let (what, next) = match container {
        Some(one) if one.state == State::Running => (
            "is not ready",
            Next::on(node, Task::Diagnose)
                .note("an apiserver that was just started takes some seconds; if it is still so: crictl logs of its container"),
        ),
        Some(one) if is_about_etcd(ended) => {
            let _ = one;
            (
                "waits to be started again",
                Next::on(node, "systemctl restart kubelet")
                    .note("it ended while etcd was away; kubelet, restarted, starts it at once"),
            )
        }
        Some(one) => (
            "does not run",
            Next::on(node, logs_of(one)),
        ),
        None => (
            "does not run: kubelet has not started it",
            Next::on(node, "systemctl restart kubelet"),
        ),
    };
    let summary = format!("etcd on {node} works, and kube-apiserver {what}");
    notes.degraded(Kind::ApiserverDown, summary, all, next);
    false
}

/// Whether an apiserver ended because it had no etcd.
fn is_about_etcd(ended: Option<&ContainerLook>) -> bool {
    let words = ended
        .and_then(|one| one.last_words.as_deref())
        .unwrap_or("");
    [
        "Error creating leases",
        "storage factory",
        "2379",
        "context deadline exceeded",
    ]
    .into_iter()
    .any(|text| words.contains(text))
}

fn said(answer: &HealthAnswer) -> String {
    match answer.failing.is_empty() {
        true => format!("answers {}", answer.status),
        false => format!(
            "answers {}, failing: {}",
            answer.status,
            answer.failing.join(", ")
        ),
    }
}

fn controller(notes: &mut Notes<'_>, component: ControlPlane) {
    let (look, node) = (notes.look, notes.node());
    let wanted = look
        .manifests
        .ok()
        .is_some_and(|all| all.of(component).is_some());
    let Some(container) = newest(notes, component).filter(|_| wanted) else {
        return;
    };
    if container.state == State::Running {
        notes.in_order(format!("{component} runs"));
        return;
    }
    let mut evidence = vec![words::ending(component, container)];
    evidence.extend(words::last_words(container));
    notes.degraded(
        Kind::ControllerDown,
        format!("{component} on {node} does not run"),
        evidence,
        Next::on(node, logs_of(container)),
    );
}

fn newest<'a>(notes: &Notes<'a>, component: ControlPlane) -> Option<&'a ContainerLook> {
    notes.look.runtime.ok()?.newest(component)
}
