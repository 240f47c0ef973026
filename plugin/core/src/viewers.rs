//! What lets people look and do nothing else: a role for Jobs, and the admission policy that holds those Jobs to reading.
//!
//! A Job of this plugin is a pod on a control-plane node that reads etcd's key. RBAC cannot say "such Jobs only", so
//! without the policy the role would be root on these nodes. Both are printed together, made for exactly the program that
//! this plugin carries, by the names it has in this cluster.

mod policy;

use std::collections::BTreeMap;

use etcd_operations::operation::{Operation, SnapshotList};
use etcd_operations::target::Target;
use serde_json::{Value, json};

use crate::runners::podspec::{APP, node_files};
use crate::runners::program::CarriedProgram;

/// Whom the role is given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A group.
    Group(String),
    /// A user.
    User(String),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Subject {
    fn value(&self) -> Value {
        let of_rbac = "rbac.authorization.k8s.io";
        match self {
            Self::Group(name) => json!({"apiGroup": of_rbac, "kind": "Group", "name": name}),
            Self::User(name) => json!({"apiGroup": of_rbac, "kind": "User", "name": name}),
            Self::ServiceAccount { namespace, name } => {
                json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
            }
        }
    }
}

/// What the role and the policy are made for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The namespace of the Jobs.
    pub namespace: String,
    /// The program, as it lies in that namespace.
    pub program: CarriedProgram,
    /// The etcds that may be looked at.
    pub targets: Vec<Target>,
    /// Who may look.
    pub subjects: Vec<Subject>,
    /// The command that prints the policy anew, as it is typed.
    pub renewed_by: String,
}

/// The operations that look, by the names they have in an assignment.
const OPERATIONS: [&str; 5] = ["status", "members", "health", "alarm-list", "snapshot-list"];

/// What these operations mount of a node: the path and the kind that is asked for there.
fn files(targets: &[Target]) -> BTreeMap<String, &'static str> {
    let list = Operation::SnapshotList(SnapshotList {
        folder: etcd_operations::stored::FOLDER.into(),
    });
    let looking = [Operation::Status, list];
    let files = targets
        .iter()
        .flat_map(|target| looking.iter().flat_map(|one| node_files(one, target)));
    files
        .map(|(path, kind)| (path.to_string_lossy().into_owned(), kind))
        .collect()
}

/// The namespace that cannot be used for it: whoever may read the logs of its pods and its ConfigMaps sees much of the
/// cluster, and others who may create Jobs there would be held to reading, too.
pub const REFUSED_NAMESPACE: &str = "kube-system";

/// The name of the policy of a namespace.
pub(crate) fn policy_name(namespace: &str) -> String {
    if namespace == crate::connection::OWN_NAMESPACE {
        format!("{APP}-viewers")
    } else {
        format!("{APP}-viewers-{namespace}")
    }
}

/// Annotation of the policy: the ConfigMaps it is made for, so that cleaning up leaves them.
pub(crate) const PROGRAM_ANNOTATION: &str = "kubectl-etcd/program";

/// The objects, in the order in which they are applied: the policy before the role.
pub fn manifests(grant: &Grant) -> Vec<Value> {
    let mut objects = policy::policies(grant);
    objects.extend(roles(grant));
    objects
}

fn roles(grant: &Grant) -> Vec<Value> {
    let name = policy_name(&grant.namespace);
    let subjects: Vec<Value> = grant.subjects.iter().map(Subject::value).collect();
    let read = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let role = |kind: &str, namespace: Option<&str>, rules: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": metadata(&name, namespace), "rules": rules})
    };
    let binding = |kind: &str, namespace: Option<&str>| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
            "metadata": metadata(&name, namespace), "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}})
    };
    let own = Some(grant.namespace.as_str());
    let system = Some("kube-system");
    vec![
        // Which nodes are control-plane nodes, and whether the namespace is there.
        role(
            "ClusterRole",
            None,
            json!([read("", &["nodes"], &["get", "list"]),
                {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": [grant.namespace], "verbs": ["get"]}]),
        ),
        binding("ClusterRole", None),
        // The static pods of etcd and the apiserver, whose own flags say where etcd listens and where its files are.
        role(
            "Role",
            system,
            json!([read("", &["pods"], &["get", "list"])]),
        ),
        binding("Role", system),
        // Jobs, which the policy holds to reading; their pods and output; what the program lies in. Jobs that ended are
        // removed by the cluster: who may delete Jobs could end an operator's.
        role(
            "Role",
            own,
            json!([
                read("batch", &["jobs"], &["create", "get", "list", "watch"]),
                read("batch", &["cronjobs"], &["get", "list"]),
                read("", &["pods"], &["get", "list", "watch"]),
                read("", &["pods/log"], &["get"]),
                read("", &["events"], &["list"]),
                read("", &["configmaps"], &["get", "list"]),
            ]),
        ),
        binding("Role", own),
    ]
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let mut metadata = json!({"name": name, "labels": {"app.kubernetes.io/name": APP}});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

#[cfg(test)]
#[path = "viewers/tests.rs"]
mod tests;
