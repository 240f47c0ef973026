//! Which pods and nodes are believed.
//!
//! A kubelet may create mirror pods that are bound to its own node, in any namespace, with any labels and any flags in them.
//! So a pod that says it is an etcd is believed only of a node that the cluster's administrator has made a control-plane
//! node: by a label that the admission plugin `NodeRestriction` lets no kubelet set. And it has to be a mirror pod: whoever
//! else creates pods in `kube-system` with a label of etcd runs no member of the cluster with it.

use std::fmt;

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice, Task};
use etcd_operations::shell::CommandLine;
use k8s_openapi::api::core::v1::{Node as ApiNode, Pod};

/// Both generations of the label on control-plane nodes.
pub(super) const CONTROL_PLANE: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// The label of nodes on which RKE2 runs etcd without an apiserver. A kubelet cannot set it either.
const ETCD_ALONE: &str = "node-role.kubernetes.io/etcd";

/// The annotation of the API's picture of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether static pods of this node are believed to be the control plane's.
pub(super) fn is_trusted(node: &ApiNode) -> bool {
    let labels = node.metadata.labels.as_ref();
    let mut trusted = CONTROL_PLANE.iter().chain([&ETCD_ALONE]);
    labels.is_some_and(|labels| trusted.any(|label| labels.contains_key(*label)))
}

/// Whether a pod is the picture that the kubelet of its node makes of a static pod.
pub(super) fn is_mirror(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let Some(node) = spec.and_then(|spec| spec.node_name.as_ref()) else {
        return false;
    };
    let annotations = pod.metadata.annotations.as_ref();
    let owners = pod.metadata.owner_references.as_deref();
    annotations.is_some_and(|all| all.contains_key(MIRROR))
        && owners.is_some_and(|owners| {
            let mut owners = owners.iter();
            owners.any(|owner| owner.kind == "Node" && owner.name == *node)
        })
}

/// A pod that says it is an etcd, and is not taken for one of the cluster's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftAlone {
    /// The pod, in `kube-system`.
    pub pod: String,
    /// The node it is on, by its own word.
    pub node: String,
    /// Why.
    pub why: NotBelieved,
}

/// Why a pod that says it is an etcd is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotBelieved {
    /// Its node has no Node object.
    NoNode,
    /// Its node has no label of a control-plane node.
    NoControlPlaneNode,
    /// Its node was not looked up: so many pods say that they are an etcd, or the name is none of a node.
    NotLookedUp,
    /// It is no static pod.
    NoStaticPod,
}

impl LeftAlone {
    /// Whether something may be wrong with the cluster: somebody poses as its etcd, or a member of it is not seen.
    pub fn is_suspect(&self) -> bool {
        match self.why {
            NotBelieved::NoNode | NotBelieved::NoControlPlaneNode | NotBelieved::NotLookedUp => {
                true
            }
            NotBelieved::NoStaticPod => false,
        }
    }

    /// What to do where the pod is the cluster's etcd all the same.
    pub fn hint(&self) -> Option<Advice> {
        let node = &self.node;
        match self.why {
            NotBelieved::NoNode => Some(advice![
                format!("as root on {node}: "),
                Task::ShowStatus.with(Choice::Via, "local"),
                "; from anywhere: ",
                Task::ShowStatus.choosing(Choice::Ssh),
            ]),
            NotBelieved::NoControlPlaneNode => {
                let [label, _] = CONTROL_PLANE;
                let command = CommandLine::new("kubectl label node")
                    .operand(node)
                    .operand(format!("{label}="));
                Some(format!("if {node} is a control-plane node: {command}").into())
            }
            NotBelieved::NotLookedUp | NotBelieved::NoStaticPod => None,
        }
    }
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, node, why } = self;
        match why {
            NotBelieved::NoNode => write!(
                f,
                "pod {pod} says it is an etcd of {node}, which has no Node object: it is not seen through the API"
            ),
            NotBelieved::NoControlPlaneNode => write!(
                f,
                "pod {pod} says it is an etcd of {node}, which is no control-plane node: left alone"
            ),
            NotBelieved::NotLookedUp => write!(
                f,
                "pod {pod} says it is an etcd of {node}, which was not looked up: left alone"
            ),
            NotBelieved::NoStaticPod => write!(
                f,
                "pod {pod} on {node} has the label of an etcd and is no static pod: left alone"
            ),
        }
    }
}
