//! From a pod of the API to what the flags' reader and the exec runner need.

use std::collections::BTreeSet;
use std::path::PathBuf;

use etcd_operations::flags::{ContainerFacts, Flags, HostVolume, Mount, PodFacts, target_from_pod};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::{Etcd, Node};

/// What to run etcdctl with inside an etcd pod: paths as the container has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecTarget {
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) tls: Option<ContainerTls>,
}

/// Certificate files inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerTls {
    pub(crate) ca: String,
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// The annotation of the API's picture of a static pod.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether this pod is a node's etcd: by kubeadm's label, else a static pod that runs etcd or is named so.
pub(super) fn is_etcd(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    if let Some(component) = labels.and_then(|labels| labels.get("component")) {
        return component == "etcd";
    }
    let named = pod
        .metadata
        .name
        .as_ref()
        .is_some_and(|name| name.starts_with("etcd-"));
    is_static(pod) && (named || etcd_container(pod).is_some())
}

/// Whether this is the API's picture of a static pod.
pub(super) fn is_static(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(MIRROR))
}

/// The volumes of the node in which something lies that the pod's flags name.
pub(super) fn named_volumes(node: &str, pod: &Pod) -> BTreeSet<PathBuf> {
    etcd_operations::flags::named_volumes(&facts(node, pod))
}

/// Puts what an etcd pod tells to its node.
pub(super) fn put(node: &mut Node, pod: &Pod) {
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
        Err(error) => Etcd::Absent {
            why: format!(
                "the pod {} tells too little of its etcd: {error}",
                facts.pod
            ),
        },
    };
}

/// `--etcd-servers` of an apiserver, when they are on other machines than its own.
pub(super) fn external_servers(pod: &Pod) -> Option<Vec<String>> {
    let container = pod
        .spec
        .as_ref()?
        .containers
        .iter()
        .find(|container| container.name == "kube-apiserver")?;
    let flags = flags(container)?;
    let servers: Vec<String> = flags
        .get("etcd-servers")?
        .split(',')
        .map(|server| server.trim().to_owned())
        .filter(|server| !server.is_empty())
        .collect();
    let here = |server: &String| {
        server.contains("://127.") || server.contains("://localhost") || server.contains("://[::1]")
    };
    (!servers.is_empty() && !servers.iter().all(here)).then_some(servers)
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
        tls: tls.map(|((cert, key), ca)| ContainerTls { ca, cert, key }),
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
