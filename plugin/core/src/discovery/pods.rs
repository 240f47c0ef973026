//! From a pod of the API to what the flags' reader and the exec runner need.

use std::collections::BTreeSet;
use std::path::PathBuf;

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use etcd_operations::control_plane::ControlPlane;
use etcd_operations::flags::{ContainerFacts, Flags, HostVolume, Mount, PodFacts, target_from_pod};
use etcd_operations::instance::{Candidate, NotChosen, Wanted, choose, is_elsewhere};
use etcd_operations::target::TlsFiles;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::trust::is_mirror;
use super::{ComponentContainer, Etcd, Node};

/// What kubeadm calls container and label.
const ETCD: &str = "etcd";

/// What to run etcdctl with inside an etcd pod: paths as the container has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecTarget {
    pub pod: String,
    pub container: String,
    pub(crate) tls: Option<TlsFiles>,
}

/// The node a pod is on, by its own word.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Whether this pod says it is a node's etcd: by kubeadm's label, else a static pod that runs etcd or is named so.
pub(super) fn is_etcd(pod: &Pod) -> bool {
    if let Some(component) = component(pod) {
        return component == ETCD;
    }
    let named = pod
        .metadata
        .name
        .as_ref()
        .is_some_and(|name| name.starts_with("etcd-"));
    is_mirror(pod) && (named || etcd_container(pod).is_some())
}

fn component(pod: &Pod) -> Option<&str> {
    let labels = pod.metadata.labels.as_ref()?;
    labels.get("component").map(String::as_str)
}

/// The container of the component that a pod is labelled with.
pub(super) fn component_container(pod: Pod) -> Option<ComponentContainer> {
    let label = component(&pod)?;
    let component = ControlPlane::ALL
        .into_iter()
        .find(|one| one.name() == label)?;
    let spec = pod.spec?;
    let named = spec
        .containers
        .iter()
        .find(|one| one.name == component.name());
    Some(ComponentContainer {
        container: named.or(spec.containers.first())?.name.clone(),
        node: spec.node_name?,
        component,
        pod: pod.metadata.name?,
    })
}

/// Puts what the static pods of a node tell to it: which of them is the etcd that its apiserver uses, and which others run
/// one. `named` is the one that somebody has named.
pub(super) fn settle(node: &mut Node, pods: &[&Pod]) {
    let servers: Vec<String> = pods.iter().flat_map(|pod| etcd_servers(pod)).collect();
    let etcds: Vec<&Pod> = pods.iter().copied().filter(|pod| is_etcd(pod)).collect();
    let candidates: Vec<(Candidate, &Pod)> = etcds
        .iter()
        .filter_map(|pod| {
            let facts = facts(&node.name, pod);
            Some((Candidate::of_pod(&facts, component(pod))?, *pod))
        })
        .collect();
    let own: Vec<String> = node
        .api
        .addresses
        .iter()
        .chain([&node.name])
        .cloned()
        .collect();
    let wanted = Wanted {
        named: None,
        servers: &servers,
        own: &own,
    };
    let (told, running): (Vec<Candidate>, Vec<&Pod>) = candidates.into_iter().unzip();
    let chosen = choose(&told, &wanted);
    let index = chosen
        .as_ref()
        .ok()
        .and_then(|chosen| Some(chosen.as_ref()?.index));
    let others = told.iter().enumerate().filter(|(at, _)| Some(*at) != index);
    node.api.other_etcds = others.map(|(_, other)| other.name.clone()).collect();
    match (index.and_then(|index| running.get(index)), chosen) {
        (Some(pod), _) => put(node, pod),
        (None, Err(why)) => node.etcd = undecided(&why),
        // One that is labelled so, and runs none that is known.
        (None, Ok(_)) if told.is_empty() && !etcds.is_empty() => put(node, etcds[0]),
        (None, Ok(_)) => {
            if !told.is_empty() {
                node.etcd = not_used(&node.api.other_etcds);
            }
            // By the loopback addresses alone: an etcd at the node's own address that is no pod is out of reach as well.
            if is_elsewhere(&servers, &[]) {
                node.etcd = Etcd::External { servers };
            }
        }
    }
}

/// Several could be meant.
fn undecided(why: &NotChosen) -> Etcd {
    let choosing = Choice::Via.with("local").with(Choice::Etcd, "NAME");
    Etcd::Absent {
        why: why.to_string(),
        hint: Some(advice!["as root on that node: ", choosing]),
    }
}

/// None of those that run is the apiserver's.
fn not_used(others: &[String]) -> Etcd {
    Etcd::absent(format!(
        "its apiserver uses no etcd of this node's pods: {} left alone",
        others.join(", ")
    ))
}

/// The volumes of the node in which something lies that the pod's flags name.
pub(super) fn named_volumes(node: &str, pod: &Pod) -> BTreeSet<PathBuf> {
    etcd_operations::flags::named_volumes(&facts(node, pod))
}

/// Puts what an etcd pod tells to its node.
fn put(node: &mut Node, pod: &Pod) {
    let status = pod.status.clone().unwrap_or_default();
    node.api.pod_phase = status.phase;
    node.api.pod_waiting = status
        .container_statuses
        .into_iter()
        .flatten()
        .find_map(|container| container.state?.waiting?.reason);
    let facts = facts(&node.name, pod);
    node.exec = exec_target(pod);
    node.etcd = match target_from_pod(&facts) {
        Ok(target) => Etcd::Found(target),
        Err(error) => Etcd::absent(format!(
            "the pod {} tells too little of its etcd: {error}",
            facts.pod
        )),
    };
}

/// `--etcd-servers` of an apiserver.
fn etcd_servers(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut apiservers = containers.filter(|container| container.name == "kube-apiserver");
    let flags = apiservers.next().and_then(flags);
    let servers = flags.iter().flat_map(|flags| flags.list("etcd-servers"));
    servers.map(str::to_owned).collect()
}

fn exec_target(pod: &Pod) -> Option<ExecTarget> {
    let container = etcd_container(pod)?;
    let flags = flags(container)?;
    let file = |flag| {
        flags
            .get(flag)
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
    };
    let tls = file("cert-file")
        .zip(file("key-file"))
        .zip(file("trusted-ca-file"));
    Some(ExecTarget {
        pod: pod.metadata.name.clone()?,
        container: container.name.clone(),
        tls: tls.map(|((cert, key), ca)| TlsFiles {
            ca: ca.into(),
            cert: cert.into(),
            key: key.into(),
        }),
    })
}

fn etcd_container(pod: &Pod) -> Option<&Container> {
    let containers = &pod.spec.as_ref()?.containers;
    let runs_etcd = |container: &&Container| {
        let mut words = container.command.iter().chain(&container.args).flatten();
        words.any(|word| word == "etcd" || word.ends_with("/etcd"))
    };
    let named = containers.iter().find(|container| container.name == "etcd");
    named.or_else(|| containers.iter().find(runs_etcd))
}

fn flags(container: &Container) -> Option<Flags> {
    let facts = container_facts(container);
    Flags::parse(&facts.command, &facts.args, &facts.env).ok()
}

fn facts(node: &str, pod: &Pod) -> PodFacts {
    let spec = pod.spec.clone().unwrap_or_default();
    let volumes = spec.volumes.into_iter().flatten();
    PodFacts {
        node: node.to_owned(),
        pod: pod.metadata.name.clone().unwrap_or_default(),
        containers: spec.containers.iter().map(container_facts).collect(),
        host_volumes: volumes
            .filter_map(|volume| {
                Some(HostVolume {
                    name: volume.name,
                    path: volume.host_path?.path,
                })
            })
            .collect(),
    }
}

fn container_facts(container: &Container) -> ContainerFacts {
    let env = container.env.iter().flatten();
    let mounts = container.volume_mounts.iter().flatten();
    ContainerFacts {
        name: container.name.clone(),
        image: container.image.clone(),
        command: container.command.clone().unwrap_or_default(),
        args: container.args.clone().unwrap_or_default(),
        env: env
            .filter_map(|var| Some((var.name.clone(), var.value.clone()?)))
            .collect(),
        mounts: mounts
            .map(|mount| Mount {
                volume: mount.name.clone(),
                path: mount.mount_path.clone(),
                sub_path: mount.sub_path.clone(),
            })
            .collect(),
    }
}
