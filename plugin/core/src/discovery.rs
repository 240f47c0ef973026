//! Which control-plane nodes there are, and what their pods' own flags say of their etcd.

mod pods;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use etcd_operations::advice::Advice;
use etcd_operations::control_plane::ControlPlane;
use etcd_operations::report::Member;
use etcd_operations::target::Target;
use k8s_openapi::api::core::v1::{Node as ApiNode, Pod};
use kube::api::{ListParams, ObjectList};
use kube::{Api, Client};

use crate::host_name::{HostName, is_node_name};
pub(crate) use pods::ExecTarget;
pub use trust::LeftAlone;
pub(crate) use trust::NotBelieved;

/// Where static pods of the control plane live.
const SYSTEM: &str = "kube-system";

/// So many nodes that pods name are looked up. Each of them takes a request, and there are few control-plane nodes.
const MOST_LOOKED_UP: usize = 32;

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
    pub exec: Option<ExecTarget>,
}

impl Node {
    /// Whether a member's addresses are this node's.
    pub fn is_of(&self, member: &Member) -> bool {
        let mut urls = member.peer_urls.iter();
        match &self.etcd {
            Etcd::Found(target) => urls.any(|url| target.peer_urls.contains(url)),
            Etcd::Unknown { addresses, .. } => urls.any(|url| {
                let host = HostName::of_url(url).ok();
                host.is_some_and(|host| addresses.iter().any(|one| host.is_same(one)))
            }),
            Etcd::Absent { .. } | Etcd::External { .. } => false,
        }
    }

    /// Whether it is known to have an etcd, or to use one elsewhere.
    fn has_some_etcd(&self) -> bool {
        matches!(self.etcd, Etcd::Found(_) | Etcd::External { .. })
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
        /// What would help.
        hint: Option<Advice>,
    },
    /// Nobody could look: the host was not reached.
    Unknown {
        /// Where it was looked for.
        addresses: Vec<String>,
        /// Why, as a lower-case fragment.
        why: String,
        /// What would help.
        hint: Option<Advice>,
    },
    /// Its apiserver uses an etcd that runs elsewhere.
    External {
        /// `--etcd-servers`.
        servers: Vec<String>,
    },
}

impl Etcd {
    /// None that is known, and nothing that would help.
    pub fn absent(why: impl Into<String>) -> Self {
        Self::Absent {
            why: why.into(),
            hint: None,
        }
    }
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
    /// The static pods that run an etcd which is not the cluster's, by their manifests' names. They are left alone.
    pub other_etcds: Vec<String>,
}

/// What the apiserver tells of the control-plane nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Discovered {
    /// The control-plane nodes.
    pub nodes: Vec<Node>,
    /// The pods that say they are an etcd and are not believed.
    pub left_alone: Vec<LeftAlone>,
}

/// Asks the apiserver, all at once, from its cache (`resourceVersion=0`): that is faster, and still answers just after
/// etcd lost its quorum.
///
/// # Errors
/// The first request that failed.
pub(crate) async fn discover(client: &Client) -> kube::Result<Discovered> {
    let system = Api::<Pod>::namespaced(client.clone(), SYSTEM);
    let nodes = Api::<ApiNode>::all(client.clone());
    let (known, pods) =
        futures::try_join!(control_plane_nodes(&nodes), control_plane_pods(&system))?;
    let mut known = KnownNodes::new(known.items);
    known.look_up(&nodes, &pods.items).await?;
    let found = place(&known, &pods.items);
    if found.nodes.iter().any(Node::has_some_etcd) {
        return Ok(found);
    }
    // Not kubeadm's labels: look at every pod's command.
    let all = system.list(&ListParams::default().match_any()).await?;
    known.look_up(&nodes, &all.items).await?;
    Ok(place(&known, &all.items))
}

/// The volumes of static pods, by node, in which something lies that their flags name.
///
/// # Errors
/// What the apiserver says.
pub async fn named_volumes(client: &Client) -> kube::Result<BTreeMap<String, BTreeSet<PathBuf>>> {
    let system = Api::<Pod>::namespaced(client.clone(), SYSTEM);
    let all = system.list(&ListParams::default().match_any()).await?;
    let mut named: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for pod in all.items.iter().filter(|pod| trust::is_mirror(pod)) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        if let Some(node) = node {
            let volumes = pods::named_volumes(&node, pod);
            named.entry(node).or_default().extend(volumes);
        }
    }
    Ok(named)
}

/// A container of a component of the control plane.
pub(crate) struct ComponentContainer {
    pub node: String,
    pub component: ControlPlane,
    pub pod: String,
    pub container: String,
}

/// The containers of etcd and the apiserver in static pods.
///
/// # Errors
/// What the apiserver says.
pub(crate) async fn component_containers(client: &Client) -> kube::Result<Vec<ComponentContainer>> {
    let system = Api::<Pod>::namespaced(client.clone(), SYSTEM);
    let pods = control_plane_pods(&system).await?;
    let mirrors = pods.items.into_iter().filter(trust::is_mirror);
    Ok(mirrors.filter_map(pods::component_container).collect())
}

async fn control_plane_nodes(nodes: &Api<ApiNode>) -> kube::Result<ObjectList<ApiNode>> {
    // A label selector cannot say "one or the other label", and control-plane nodes are few among many nodes: ask for the label of
    // today first.
    let [today, before] = trust::CONTROL_PLANE;
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

/// The nodes that are known, by name.
#[derive(Default)]
struct KnownNodes {
    /// The control-plane nodes.
    trusted: BTreeMap<String, ApiNode>,
    /// Nodes that some pod names: whether there is a Node object of this name.
    others: BTreeMap<String, bool>,
}

impl KnownNodes {
    /// These are control-plane nodes: they were listed by the label.
    fn new(listed: Vec<ApiNode>) -> Self {
        let named = listed
            .into_iter()
            .filter_map(|node| Some((node.metadata.name.clone()?, node)));
        Self {
            trusted: named.collect(),
            others: BTreeMap::new(),
        }
    }

    /// Looks at the nodes of pods that say they are an etcd where the label has not told of the node: it may have the other
    /// generation's label, or RKE2's of nodes with etcd alone.
    async fn look_up(&mut self, nodes: &Api<ApiNode>, pods: &[Pod]) -> kube::Result<()> {
        let claims = pods.iter().filter(|pod| pods::is_etcd(pod));
        let named = claims
            .filter(|pod| trust::is_mirror(pod))
            .filter_map(pods::node_of);
        let unknown: BTreeSet<&str> = named
            // What else a pod says must not become another selector.
            .filter(|name| !self.knows(name) && is_node_name(name))
            .collect();
        let asked = unknown.into_iter().take(MOST_LOOKED_UP).map(async |name| {
            let params = ListParams::default().fields(&format!("metadata.name={name}"));
            let found = nodes.list(&params.match_any()).await?;
            let found = found.items.into_iter().next();
            Ok::<_, kube::Error>((name.to_owned(), found))
        });
        for (name, node) in futures::future::try_join_all(asked).await? {
            match node {
                Some(node) if trust::is_trusted(&node) => drop(self.trusted.insert(name, node)),
                node => drop(self.others.insert(name, node.is_some())),
            }
        }
        Ok(())
    }

    fn knows(&self, name: &str) -> bool {
        self.trusted.contains_key(name) || self.others.contains_key(name)
    }

    /// Why a pod that says it is an etcd is not believed; none: it is.
    fn doubts(&self, pod: &Pod, node: &str) -> Option<NotBelieved> {
        if !trust::is_mirror(pod) {
            return Some(NotBelieved::NoStaticPod);
        }
        if self.trusted.contains_key(node) {
            return None;
        }
        Some(match self.others.get(node) {
            Some(false) => NotBelieved::NoNode,
            Some(true) => NotBelieved::NoControlPlaneNode,
            None => NotBelieved::NotLookedUp,
        })
    }
}

/// A node of which only the Node object is known.
fn bare_node(name: String, node: ApiNode) -> Node {
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
    Node {
        name,
        etcd: Etcd::absent("no etcd pod on this node"),
        api: ApiView {
            node_ready: ready.map(|condition| condition.status == "True"),
            address: address.map(|address| address.address.clone()),
            addresses,
            ..ApiView::default()
        },
        exec: None,
    }
}

/// Puts the pods' facts to their nodes. A pod alone makes no node.
fn place(known: &KnownNodes, pods: &[Pod]) -> Discovered {
    let mut found = Discovered::default();
    let claims = pods.iter().filter(|pod| pods::is_etcd(pod));
    for (pod, node) in claims.filter_map(|pod| Some((pod, pods::node_of(pod)?))) {
        if let Some(why) = known.doubts(pod, node) {
            found.left_alone.push(LeftAlone {
                pod: pod.metadata.name.clone().unwrap_or_default(),
                node: node.to_owned(),
                why,
            });
        }
    }
    found.left_alone.sort();
    for (name, node) in &known.trusted {
        let of_node = |pod: &&Pod| pods::node_of(pod) == Some(name) && trust::is_mirror(pod);
        let of_node: Vec<&Pod> = pods.iter().filter(of_node).collect();
        let mut node = bare_node(name.clone(), node.clone());
        pods::settle(&mut node, &of_node);
        found.nodes.push(node);
    }
    found
}
