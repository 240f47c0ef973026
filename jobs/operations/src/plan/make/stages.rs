//! Stages and facts that plans of several kinds share.

use std::collections::BTreeSet;

use super::{BroughtBack, Found, HostView};
use crate::control_plane::ControlPlane;
use crate::failure::Failure;
use crate::look::{Fitness, LockState};
use crate::manifest::Edit;
use crate::plan::{Action, EndContainers, Readiness, Stages, StartComponent, StopComponent};
use crate::target;

/// What is brought back of the hosts' etcds and apiservers. An apiserver of which there is nothing is started by nobody.
pub(super) fn check_manifests(hosts: &[HostView]) -> Result<Vec<BroughtBack>, Failure> {
    let mut brought_back = Vec::new();
    for host in hosts {
        brought_back.extend(host.check_manifest(ControlPlane::Etcd)?);
        if host.has_apiserver() {
            brought_back.extend(host.check_manifest(ControlPlane::Apiserver)?);
        }
    }
    Ok(brought_back)
}

/// Stops the API servers first, then etcd: an etcd without clients ends at once.
pub(super) fn stop_all(stages: &mut Stages, hosts: &[HostView]) {
    stop(stages, hosts, ControlPlane::Apiserver);
    stop(stages, hosts, ControlPlane::Etcd);
}

fn stop<'a>(
    stages: &mut Stages,
    hosts: impl IntoIterator<Item = &'a HostView>,
    component: ControlPlane,
) {
    let runs = hosts.into_iter().filter(|host| host.has(component));
    stages.stage(
        format!("stop {component}"),
        runs.map(|host| {
            let component = component.name().to_owned();
            (
                host.node().to_owned(),
                Action::Stop(StopComponent { component }),
            )
        }),
    );
}

/// Starts a component from its manifest in kubelet's folder, or else from the one that is to be brought back.
pub(super) fn start(
    host: &HostView,
    component: ControlPlane,
    edits: Vec<Edit>,
    until: Readiness,
) -> Action {
    Action::Start(StartComponent {
        component: component.name().to_owned(),
        manifest: host.manifest_to_start(component),
        edits,
        until,
    })
}

/// Starts every API server, also one that was stopped before the plan.
pub(super) fn start_apiservers<'a>(
    stages: &mut Stages,
    hosts: impl IntoIterator<Item = &'a HostView>,
) {
    let apiserver = ControlPlane::Apiserver;
    let runs = hosts.into_iter().filter(|host| host.has_apiserver());
    stages.stage(
        format!("start {apiserver}"),
        runs.map(|host| {
            let action = start(host, apiserver, Vec::new(), Readiness::Ready);
            (host.node().to_owned(), action)
        }),
    );
}

/// Restarts what watches the API server, so that it forgets the state that is replaced.
pub(super) fn restart_watchers<'a>(
    stages: &mut Stages,
    hosts: impl IntoIterator<Item = &'a HostView>,
) {
    let components = [ControlPlane::ControllerManager, ControlPlane::Scheduler];
    let names: Vec<&str> = components.iter().map(|one| one.name()).collect();
    stages.stage(
        format!("start {} anew", names.join(", ")),
        hosts.into_iter().map(|host| {
            let components = names.iter().map(|&name| name.to_owned()).collect();
            (
                host.node().to_owned(),
                Action::EndContainers(EndContainers { components }),
            )
        }),
    );
}

/// The members that some host knows and that are none of the hosts, by their names. One that has not begun to serve has none
/// and goes by its address.
pub(super) fn others(hosts: &[HostView]) -> BTreeSet<String> {
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
pub(super) fn found(host: &HostView, best: bool) -> Found {
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
