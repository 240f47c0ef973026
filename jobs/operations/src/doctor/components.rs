//! What is wrong with the apiserver, the controller-manager and the scheduler of a host, and what was stopped there.

use super::member::Member;
use super::words;
use super::{Next, Notes, SituationKind as Kind};
use crate::failure::Answer;
use crate::look::{ContainerLook, ControlPlane, HealthAnswer, Manifests};
use crate::manifest::Why;
use crate::runtime::State;
use crate::shell::CommandLine;

pub(super) fn judge(notes: &mut Notes<'_>, member: Member) {
    stopped(notes);
    // Without etcd the others cannot work, and there is nothing to be mended about them.
    if member == Member::Serves && apiserver(notes) {
        for component in [ControlPlane::ControllerManager, ControlPlane::Scheduler] {
            controller(notes, component);
        }
    }
}

/// Components whose manifest was put aside, and is in the folder no more.
fn stopped(notes: &mut Notes<'_>) {
    let (look, node) = (notes.look, notes.node());
    let Some(manifests) = look.manifests.ok() else {
        return;
    };
    let Some(aside) = notes.answered("manifests that were put aside", &manifests.aside) else {
        return;
    };
    for component in ControlPlane::ALL {
        if manifests.of(component).is_some() {
            continue;
        }
        let name = format!("{component}.yaml");
        let mut kept = aside.iter().rev();
        let newest = kept.find(|kept| kept.why == Why::Stopped && kept.name == name);
        let Some(newest) = newest else {
            if belongs_here(manifests, component) {
                missing(notes, manifests, component);
            }
            continue;
        };
        notes.degraded(
            Kind::ComponentStopped,
            format!("{component} on {node} was stopped: its manifest was put aside"),
            vec![
                format!("{} has no manifest of it", manifests.folder.display()),
                format!("{} was put aside", newest.path.display()),
            ],
            Next::on(
                node,
                CommandLine::new("kubectl etcd manifest start").operand(component),
            ),
        );
    }
}

/// Whether a component's manifest is missing: where one of a master's own three runs, the others do. An etcd may be
/// elsewhere.
fn belongs_here(manifests: &Manifests, component: ControlPlane) -> bool {
    const OF_A_MASTER: [ControlPlane; 3] = [
        ControlPlane::Apiserver,
        ControlPlane::ControllerManager,
        ControlPlane::Scheduler,
    ];
    let runs = |one: &ControlPlane| manifests.of(*one).is_some();
    OF_A_MASTER.contains(&component) && OF_A_MASTER.iter().any(runs)
}

fn missing(notes: &mut Notes<'_>, manifests: &Manifests, component: ControlPlane) {
    let (node, folder) = (notes.node(), manifests.folder.display());
    let pattern = format!("{component}*.yaml*");
    let find = CommandLine::new("find / -xdev").option("-name", pattern);
    notes.degraded(
        Kind::ComponentStopped,
        format!("{component} does not run on {node}: it has no manifest there"),
        vec![format!(
            "{folder} has no manifest of it, and none was put aside by kubectl etcd"
        )],
        Next::on(node, find).note(format!(
            "if somebody moved it, it belongs into {folder}; else kubeadm init phase control-plane writes a new one"
        )),
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
    let ended = words::ended(look, ControlPlane::Apiserver);
    let mut all = vec![evidence];
    all.extend(ended.map(|one| words::ending(ControlPlane::Apiserver, one)));
    all.extend(ended.and_then(words::last_words));
    let (what, next) = match container {
        Some(one) if one.state == State::Running => (
            "is not ready",
            Next::on(node, "kubectl etcd doctor")
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

/// What shows a container's last words.
pub(super) fn logs_of(container: &ContainerLook) -> CommandLine {
    CommandLine::new("crictl logs --tail 50").operand(&container.id)
}

fn newest<'a>(notes: &Notes<'a>, component: ControlPlane) -> Option<&'a ContainerLook> {
    notes.look.runtime.ok()?.newest(component)
}
