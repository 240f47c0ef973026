//! This host as a control-plane node: the operations in the plugin's own process, on what the static pod manifests say.

use etcd_operations::shell::CommandLine;
use std::path::Path;

use etcd_operations::failure::Failure;
use etcd_operations::local::{Host, has_control_plane_files, host_at};
use etcd_operations::look::ASIDE;
use etcd_operations::manifest::Selection;
use etcd_operations::operation::{Assignment, Operation};
use etcd_operations::report::Report;
use etcd_operations::run::{Cancel, run};
use etcd_operations::wire::{self, Progress};

use crate::discovery::{ApiView, Etcd, Node};
use crate::error::{Error, ErrorKind};
use crate::outcome::{RunError, RunErrorKind};

/// Where kubelet finds static pods on a node made by kubeadm.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// This host, when it is a control-plane node and we may work on it.
///
/// # Errors
/// Why not: no manifests, or not root.
pub(crate) fn host(selection: &Selection) -> Result<Node, Error> {
    as_root()?;
    node_at(Path::new("/"), selection)
}

/// This host's name as a node, when it is a control-plane node and we may work on it. Its manifests may say what they
/// want.
///
/// # Errors
/// As [`host`].
pub(crate) fn node_name() -> Result<String, Error> {
    as_root()?;
    Ok(host_at(Path::new("/"), &Selection::default())
        .map_err(|failure| not_one(&failure))?
        .node)
}

/// The static pods of this host cannot be read: it is no control-plane node, or their folder is gone.
fn not_one(failure: &Failure) -> Error {
    if has_control_plane_files(Path::new("/")) {
        let mut error = Error::of_failure("", failure);
        error.message.clone_from(&failure.message);
        return error;
    }
    let message = &failure.message;
    Error::usage(format!("this host is not a control-plane node: {message}"))
        .hint("run it on a control-plane node")
}

/// Whether we may work on this host.
///
/// # Errors
/// When we are not root.
pub(crate) fn as_root() -> Result<(), Error> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(
        Error::usage("working on this host needs root: etcd's keys and manifests are root's")
            .hint("sudo kubectl etcd …"),
    )
}

/// Whether this may be a control-plane node, perhaps one whose static pods were stopped, and we may look at it.
pub(crate) fn may_be_looked_at() -> bool {
    let root = Path::new("/");
    let traces = [MANIFESTS, ASIDE].map(Path::new);
    rustix::process::geteuid().is_root()
        && (traces.into_iter().any(Path::is_dir) || has_control_plane_files(root))
}

/// Whether this host is a control-plane node, whatever became of its manifests: whether working on it is worth offering.
pub(crate) fn is_control_plane() -> bool {
    etcd_operations::look::is_control_plane(Path::new("/"))
}

fn node_at(root: &Path, selection: &Selection) -> Result<Node, Error> {
    let host = host_at(root, selection).map_err(|failure| not_one(&failure))?;
    for stray in &host.strays {
        tracing::warn!("{}: {}", stray.path.display(), stray.problem);
    }
    for other in &host.other_etcds {
        tracing::warn!("{other}; --etcd {} works on it", other.pod);
    }
    Ok(Node {
        etcd: etcd_of(&host)?,
        name: host.node,
        api: ApiView::default(),
        // Nothing runs etcdctl in a container here.
        exec: None,
    })
}

fn etcd_of(host: &Host) -> Result<Etcd, Error> {
    let etcd = host.etcd.as_ref();
    match etcd.map_err(|failure| Error::of_failure(&host.node, failure))? {
        Some(found) => match &found.target {
            Ok(target) => Ok(Etcd::Found(target.clone())),
            Err(error) => Err(Error::failed(format!(
                "{}: {error}",
                found.manifest.display()
            ))),
        },
        None if host.etcd_is_elsewhere => Ok(Etcd::External {
            servers: host.etcd_servers.clone().unwrap_or_default(),
        }),
        None => Err(without_manifest(host)),
    }
}

/// No manifest runs the etcd of this host, and it is not another host's.
fn without_manifest(host: &Host) -> Error {
    let folder = host.folder.display();
    let mut error = match (&host.stopped_etcd, &host.etcd_servers) {
        (Some(path), _) => Error::new(
            ErrorKind::NothingReached,
            format!(
                "etcd on {} was stopped: {} is its manifest",
                host.node,
                path.display()
            ),
        )
        .hint("kubectl etcd manifest start etcd"),
        (None, Some(servers)) => put_it_back(
            host,
            format!(
                "no manifest in {folder} runs etcd, which the apiserver of {} uses: {}",
                host.node,
                servers.join(", ")
            ),
        ),
        (None, None) if is_control_plane() => {
            put_it_back(host, format!("no manifest in {folder} runs etcd"))
        }
        (None, None) => Error::usage(format!(
            "this host has no etcd: no manifest in {folder} runs one"
        ))
        .hint("run it on a control-plane node with an etcd of its own"),
    };
    // A manifest that cannot be read may be etcd's.
    for stray in &host.strays {
        error = error.hint(format!("{}: {}", stray.path.display(), stray.problem));
    }
    error
}

/// There is no manifest of etcd, and what brings it back.
fn put_it_back(host: &Host, message: String) -> Error {
    let error = Error::new(ErrorKind::NothingReached, message);
    let folder = host.folder.display();
    match host.etcd_elsewhere.first() {
        Some(found) => {
            let found = found.display();
            let back = CommandLine::new("mv")
                .operand(&found)
                .operand(format!("{folder}/"));
            error.hint(format!("{found} is one: if it is what ran last, {back}"))
        }
        None => error.hint(format!(
            "if it lies elsewhere, move it into {folder}; else kubeadm init phase etcd local writes a new one"
        )),
    }
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
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/hostname", "CP-1\n");
        assert!(
            node_at(root.path(), &Selection::default())
                .err()
                .unwrap()
                .message
                .contains("not a control-plane node")
        );
        write("etc/kubernetes/manifests/.etcd.yaml", "half written");
        write("etc/kubernetes/manifests/other.yaml", "kind: [");
        let none = node_at(root.path(), &Selection::default()).err().unwrap();
        assert!(none.message.contains("has no etcd"), "{none}");
        assert!(
            none.hints.iter().any(|hint| hint.contains("other.yaml")),
            "{none:?}"
        );
        write("etc/kubernetes/manifests/etcd.yaml", ETCD);
        let node = node_at(root.path(), &Selection::default()).unwrap();
        assert_eq!(node.name, "cp-1", "as kubelet registers it");
        let target = node.target().unwrap();
        assert_eq!(target.pod, "etcd-cp-1");
        assert_eq!(target.client_urls, ["http://127.0.0.1:2379"]);
        write(
            "etc/kubernetes/manifests/etcd.yaml",
            &format!("{ETCD}kind: Pod\n"),
        );
        assert!(
            node_at(root.path(), &Selection::default()).is_err(),
            "a key given twice"
        );
    }
}
