//! This host as a control-plane node: the operations in the plugin's own process, on what the static pod manifests say.

use std::path::Path;

use etcd_operations::operation::{Assignment, Operation};
use etcd_operations::report::Report;
use etcd_operations::run::{Cancel, run};
use etcd_operations::wire::{self, Progress};
use k8s_openapi::api::core::v1::Pod;

use crate::discovery::{self, Node};
use crate::error::Error;
use crate::outcome::{RunError, RunErrorKind};
use crate::owner;

/// Where kubelet finds static pods on a node made by kubeadm.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// This host, when it is a control-plane node and we may work on it.
///
/// # Errors
/// Why not: no manifests, or not root.
pub(crate) fn host() -> Result<Node, Error> {
    host_at(Path::new(MANIFESTS))
}

/// Whether this host has static pod manifests, that is, whether working on it is worth offering.
pub(crate) fn is_control_plane() -> bool {
    Path::new(MANIFESTS).join("etcd.yaml").exists()
}

fn host_at(folder: &Path) -> Result<Node, Error> {
    let shown = folder.display();
    if !rustix::process::geteuid().is_root() {
        return Err(Error::usage("working on this host needs root: etcd's keys are root's").hint("sudo kubectl etcd …"));
    }
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Error::usage(format!("this host is not a control-plane node: {shown} cannot be read"))
            .caused_by(error)
            .hint("run it on a control-plane node")
    })?;
    let mut pods = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        // kubelet runs every file that does not begin with a dot.
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.is_dir() {
            continue;
        }
        match read_pod(&path) {
            Ok(pod) => pods.push(pod),
            Err(error) if path.file_name().is_some_and(|name| name == "etcd.yaml") => return Err(error),
            Err(error) => tracing::debug!(%error, "not read"),
        }
    }
    discovery::local_node(&owner::host(), pods).ok_or_else(|| {
        Error::usage(format!("this host has no etcd: no manifest in {shown} runs one"))
            .hint("run it on a control-plane node with an etcd of its own")
    })
}

fn read_pod(path: &Path) -> Result<Pod, Error> {
    let failed = |what: &str| Error::failed(format!("{} cannot be {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed("read").caused_by(error))?;
    // Over `Value` first: it refuses keys given twice, of which the typed reader would keep the last.
    let value: serde_yaml::Value = serde_yaml::from_str(&text).map_err(|error| failed("understood").caused_by(error))?;
    serde_yaml::from_value(value).map_err(|error| failed("understood").caused_by(error))
}

/// Runs an operation here.
pub(crate) async fn operate(
    node: &Node,
    operation: &Operation,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, RunError> {
    let target = node
        .target()
        .ok_or_else(|| RunError::new(RunErrorKind::NoEtcd, "no etcd on this host"))?;
    let assignment = Assignment {
        version: wire::VERSION,
        operation: operation.clone(),
        target: target.clone(),
    };
    Ok(run(&assignment, progress, &Cancel::never()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETCD: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: etcd
  namespace: kube-system
  labels: {component: etcd, tier: control-plane}
spec:
  hostNetwork: true
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.6.6-0
    command: [etcd, --name=cp-1, --data-dir=/var/lib/etcd, '--listen-client-urls=http://127.0.0.1:2379']
    volumeMounts: [{mountPath: /var/lib/etcd, name: d}]
  volumes: [{name: d, hostPath: {path: /var/lib/etcd, type: DirectoryOrCreate}}]
";

    #[test]
    fn the_manifest_tells_the_target() {
        if !rustix::process::geteuid().is_root() {
            let error = host_at(Path::new("/nowhere")).err().unwrap();
            assert!(error.message.contains("needs root"), "{error}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(host_at(folder.path()).err().unwrap().message.contains("has no etcd"));
        std::fs::write(folder.path().join(".etcd.yaml"), "half written").unwrap();
        std::fs::write(folder.path().join("other.yaml"), "kind: [").unwrap();
        std::fs::write(folder.path().join("etcd.yaml"), ETCD).unwrap();
        let node = host_at(folder.path()).unwrap();
        assert_eq!(node.name, owner::host());
        let target = node.target().unwrap();
        assert_eq!(target.pod, format!("etcd-{}", owner::host()));
        assert_eq!(target.client_urls, ["http://127.0.0.1:2379"]);
        std::fs::write(folder.path().join("etcd.yaml"), format!("{ETCD}kind: Pod\n")).unwrap();
        assert!(host_at(folder.path()).is_err(), "a key given twice");
    }
}
