//! Which control-plane nodes there are, and what their pods' own flags say of their etcd.

mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use etcd_operations::report::Member;
use etcd_operations::target::Target;
use k8s_openapi::api::core::v1::{Node as ApiNode, Pod};
use kube::api::{ListParams, ObjectList};
use kube::{Api, Client};

use crate::masters::host_of;
pub(crate) use pods::ExecTarget;

/// Where static pods of the control plane live.
const SYSTEM: &str = "kube-system";
/// Both generations of the label on control-plane nodes.
const CONTROL_PLANE: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// A control-plane node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its etcd.
    pub etcd: Etcd,
    /// What the API says of it.
    pub api: ApiView,
    /// How to run etcdctl inside the etcd pod.
    pub(crate) exec: Option<ExecTarget>,
}

impl Node {
    /// Whether a member's addresses are this node's.
    pub fn is_of(&self, member: &Member) -> bool {
        let mut urls = member.peer_urls.iter();
        match &self.etcd {
            Etcd::Found(target) => urls.any(|url| target.peer_urls.contains(url)),
            Etcd::Unknown { addresses, .. } => urls.any(|url| {
                let host = host_of(url);
                host.is_some_and(|host| addresses.iter().any(|one| host.is_same(one)))
            }),
            Etcd::Absent { .. } | Etcd::External { .. } => false,
        }
    }

    /// Its etcd, where it has one that can be worked with.
    pub fn target(&self) -> Option<&Target> {
        match &self.etcd {
            Etcd::Found(target) => Some(target),
            Etcd::Absent { .. } | Etcd::Unknown { .. } | Etcd::External { .. } => None,
        }
    }
}

/// What a control-plane node has of an etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful of nodes, and nearly all of them have one"
)]
pub enum Etcd {
    /// A static pod.
    Found(Target),
    /// None that is known.
    Absent {
        /// Why, as a lower-case fragment.
        why: String,
    },
    /// Nobody could look: the host was not reached.
    Unknown {
        /// Where it was looked for.
        addresses: Vec<String>,
        /// Why, as a lower-case fragment.
        why: String,
        /// What would help.
        hint: Option<String>,
    },
    /// Its apiserver uses an etcd that runs elsewhere.
    External {
        /// `--etcd-servers`.
        servers: Vec<String>,
    },
}

/// What the API says of a node and its etcd pod. It is often wrong just when something is: never evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiView {
    /// The node's `Ready` condition.
    pub node_ready: Option<bool>,
    /// The etcd pod's phase.
    pub pod_phase: Option<String>,
    /// Why the etcd container waits, such as `CrashLoopBackOff`.
    pub pod_waiting: Option<String>,
    /// The node's address inside the cluster.
    pub address: Option<String>,
    /// All of its addresses and names, those inside the cluster first.
    pub addresses: Vec<String>,
}

/// Asks the apiserver, all at once, from its cache (`resourceVersion=0`): that is faster, and still answers just after
/// etcd lost its quorum.
///
/// # Errors
/// The first request that failed.
pub(crate) async fn discover(client: &Client) -> kube::Result<Vec<Node>> {
    let system = Api::<Pod>::namespaced(client.clone(), SYSTEM);
    let nodes = Api::<ApiNode>::all(client.clone());
    let (nodes, pods) =
        futures::try_join!(control_plane_nodes(&nodes), control_plane_pods(&system))?;
    let mut found = assemble(nodes.items, &pods.items);
    if !found
        .iter()
        .any(|node| matches!(node.etcd, Etcd::Found(_) | Etcd::External { .. }))
    {
        // Not kubeadm's labels: look at every pod's command.
        let all = system.list(&ListParams::default().match_any()).await?;
        let nodes = found
            .into_iter()
            .map(|node| (node.name.clone(), node))
            .collect();
        found = place(nodes, &all.items);
    }
    Ok(found)
}

/// The volumes of static pods, by node, in which something lies that their flags name.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn named_volumes(
    client: &Client,
) -> kube::Result<BTreeMap<String, BTreeSet<PathBuf>>> {
    let system = Api::<Pod>::namespaced(client.clone(), SYSTEM);
    let all = system.list(&ListParams::default().match_any()).await?;
    let mut named: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for pod in all.items.iter().filter(|pod| pods::is_static(pod)) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        if let Some(node) = node {
            let volumes = pods::named_volumes(&node, pod);
            named.entry(node).or_default().extend(volumes);
        }
    }
    Ok(named)
}

async fn control_plane_nodes(nodes: &Api<ApiNode>) -> kube::Result<ObjectList<ApiNode>> {
    // A label selector cannot say "one or the other label", and masters are few among many nodes: ask for the label of
    // today first.
    let [today, before] = CONTROL_PLANE;
    let list = nodes
        .list(&ListParams::default().labels(today).match_any())
        .await?;
    if list.items.is_empty() {
        return nodes
            .list(&ListParams::default().labels(before).match_any())
            .await;
    }
    Ok(list)
}

async fn control_plane_pods(pods: &Api<Pod>) -> kube::Result<ObjectList<Pod>> {
    let labels = "component in (etcd,kube-apiserver)";
    pods.list(&ListParams::default().labels(labels).match_any())
        .await
}

fn assemble(nodes: Vec<ApiNode>, pods: &[Pod]) -> Vec<Node> {
    let nodes = nodes
        .into_iter()
        .filter_map(bare_node)
        .map(|node| (node.name.clone(), node));
    place(nodes.collect(), pods)
}

/// A node of which only the Node object is known.
fn bare_node(node: ApiNode) -> Option<Node> {
    let status = node.status.unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    let address = status
        .addresses
        .iter()
        .flatten()
        .find(|address| address.type_ == "InternalIP");
    let mut addresses: Vec<String> = Vec::new();
    for kind in ["InternalIP", "ExternalIP", "Hostname"] {
        let told = status.addresses.iter().flatten();
        for found in told.filter(|address| address.type_ == kind) {
            if !addresses.contains(&found.address) {
                addresses.push(found.address.clone());
            }
        }
    }
    Some(Node {
        name: node.metadata.name?,
        etcd: Etcd::Absent {
            why: "no etcd pod on this node".into(),
        },
        api: ApiView {
            node_ready: ready.map(|condition| condition.status == "True"),
            address: address.map(|address| address.address.clone()),
            addresses,
            ..ApiView::default()
        },
        exec: None,
    })
}

/// Puts the pods' facts to their nodes. A node that only a pod tells of (its Node object was deleted) is one as well.
fn place(mut nodes: BTreeMap<String, Node>, pods: &[Pod]) -> Vec<Node> {
    for pod in pods {
        let Some(name) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else {
            continue;
        };
        if !pods::is_etcd(pod) {
            continue;
        }
        let node = nodes.entry(name.clone()).or_insert_with(|| Node {
            name,
            etcd: Etcd::Absent { why: String::new() },
            api: ApiView::default(),
            exec: None,
        });
        // Two pods claim to be this node's etcd: the one that is an etcd to work with wins.
        if !matches!(node.etcd, Etcd::Found(_)) {
            pods::put(node, pod);
        }
    }
    for pod in pods {
        let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let node = name.and_then(|name| nodes.get_mut(name));
        if let Some(node) = node.filter(|node| matches!(node.etcd, Etcd::Absent { .. }))
            && let Some(servers) = pods::external_servers(pod)
        {
            node.etcd = Etcd::External { servers };
        }
    }
    nodes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, ready: &str) -> ApiNode {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "status": {
                "conditions": [{"type": "Ready", "status": ready}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            }
        }))
        .unwrap()
    }

    fn pod(name: &str, node: &str, component: &str, command: &[&str]) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"component": component}},
            "spec": {
                "nodeName": node,
                "containers": [{
                    "name": component, "image": "registry.k8s.io/etcd:3.6.6-0", "command": command,
                    "volumeMounts": [
                        {"name": "d", "mountPath": "/var/lib/etcd"}, {"name": "c", "mountPath": "/pki"}],
                }],
                "volumes": [
                    {"name": "d", "hostPath": {"path": "/srv/etcd"}},
                    {"name": "c", "hostPath": {"path": "/etc/kubernetes/pki/etcd"}}],
            },
            "status": {"phase": "Running", "containerStatuses": [
                {"name": component, "ready": false, "restartCount": 3, "image": "", "imageID": "",
                 "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
        }))
        .unwrap()
    }

    const ETCD: &[&str] = &[
        "etcd",
        "--name=a",
        "--data-dir=/var/lib/etcd",
        "--listen-client-urls=https://127.0.0.1:2379",
        "--cert-file=/pki/server.crt",
        "--key-file=/pki/server.key",
        "--trusted-ca-file=/pki/ca.crt",
    ];

    #[test]
    fn masters_without_an_etcd_pod_are_listed_too() {
        let nodes = vec![node("cp-1", "True"), node("cp-2", "False")];
        let found = assemble(nodes, &[pod("etcd-cp-1", "cp-1", "etcd", ETCD)]);
        assert_eq!(found.len(), 2);
        let target = found[0].target().unwrap();
        assert_eq!(target.data_dir.to_str(), Some("/srv/etcd"));
        assert_eq!(
            found[0].api.pod_waiting.as_deref(),
            Some("CrashLoopBackOff")
        );
        assert_eq!(found[0].api.address.as_deref(), Some("10.0.0.1"));
        let exec = found[0].exec.as_ref().unwrap();
        assert_eq!(
            (exec.pod.as_str(), exec.container.as_str()),
            ("etcd-cp-1", "etcd")
        );
        // Inside the container its own paths count, not the node's.
        assert_eq!(exec.tls.as_ref().unwrap().ca, "/pki/ca.crt");
        assert_eq!(
            found[1].etcd,
            Etcd::Absent {
                why: "no etcd pod on this node".into()
            }
        );
        assert_eq!(found[1].api.node_ready, Some(false));
    }

    #[test]
    fn an_apiserver_with_a_distant_etcd_is_recognised() {
        let servers = "--etcd-servers=https://10.9.0.1:2379,https://10.9.0.2:2379";
        let apiserver = pod(
            "kube-apiserver-cp-1",
            "cp-1",
            "kube-apiserver",
            &["kube-apiserver", servers],
        );
        let found = assemble(vec![node("cp-1", "True")], &[apiserver]);
        assert_eq!(
            found[0].etcd,
            Etcd::External {
                servers: vec![
                    "https://10.9.0.1:2379".into(),
                    "https://10.9.0.2:2379".into()
                ]
            }
        );
    }

    #[test]
    fn an_etcd_whose_flags_cannot_be_read_says_why() {
        let found = assemble(
            vec![node("cp-1", "True")],
            &[pod(
                "etcd-cp-1",
                "cp-1",
                "etcd",
                &["sh", "-c", "etcd --name=a"],
            )],
        );
        let Etcd::Absent { why } = &found[0].etcd else {
            panic!("{:?}", found[0].etcd)
        };
        assert!(why.contains("etcd-cp-1"), "{why}");
    }

    #[test]
    fn a_node_known_by_its_pod_alone_counts() {
        let found = assemble(Vec::new(), &[pod("etcd-cp-9", "cp-9", "etcd", ETCD)]);
        assert_eq!(found[0].name, "cp-9");
    }
}
