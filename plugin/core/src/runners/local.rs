//! This host as a control-plane node: the operations in the plugin's own process, on what the static pod manifests say.

use std::path::Path;
use std::sync::OnceLock;

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use etcd_operations::failure::Failure;
use etcd_operations::local::{Host, has_control_plane_files, host_at};
use etcd_operations::manifest::Selection;
use etcd_operations::report::Report;
use etcd_operations::run::run;
use etcd_operations::shell::CommandLine;
use etcd_operations::state::ARCHIVE;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::{Results, Runner, Task, within};
use crate::discovery::{ApiView, Etcd, Node};
use crate::error::{Error, ErrorKind};
use crate::outcome::{Notice, NoticeSink, RunError, RunErrorKind};
use crate::via::Via;

/// Where kubelet finds static pods on a node made by kubeadm.
const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// This host, when it is a control-plane node and we may work on it. Etcds beside the one that is meant are told of.
///
/// # Errors
/// Why not: no manifests, or not root.
pub fn host(selection: &Selection, notices: &NoticeSink) -> Result<Node, Error> {
    as_root()?;
    node_at(Path::new("/"), selection, notices)
}

/// This host's name as a node, when it is a control-plane node and we may work on it. Its manifests may say what they
/// want.
///
/// # Errors
/// As [`host`].
pub fn node_name() -> Result<String, Error> {
    as_root()?;
    Ok(host_at(Path::new("/"), &Selection::default())
        .map_err(|failure| not_one(Path::new("/"), &failure))?
        .node)
}

/// The static pods of this host cannot be read: it is no control-plane node, or their folder is gone.
fn not_one(root: &Path, failure: &Failure) -> Error {
    if has_control_plane_files(root) {
        return failure.clone().into();
    }
    let message = &failure.message;
    Error::usage(format!("this host is not a control-plane node: {message}"))
        .hint("run it on a control-plane node")
}

/// Whether we may work on this host.
///
/// # Errors
/// When we are not root.
pub fn as_root() -> Result<(), Error> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(
        Error::usage("working on this host needs root: etcd's keys and manifests are root's")
            .hint(advice!["sudo ", advice::Task::Same, " …"]),
    )
}

/// Whether this may be a control-plane node, perhaps one whose static pods were stopped, and we may look at it.
pub fn may_be_looked_at() -> bool {
    let root = Path::new("/");
    let traces = [MANIFESTS, ARCHIVE].map(Path::new);
    rustix::process::geteuid().is_root()
        && (traces.into_iter().any(Path::is_dir) || has_control_plane_files(root))
}

/// Whether this host is a control-plane node, whatever became of its manifests: whether working on it is worth offering.
pub fn is_control_plane() -> bool {
    etcd_operations::look::is_control_plane(Path::new("/"))
}

fn node_at(root: &Path, selection: &Selection, notices: &NoticeSink) -> Result<Node, Error> {
    let host = host_at(root, selection).map_err(|failure| not_one(root, &failure))?;
    for stray in &host.strays {
        tracing::warn!("{}: {}", stray.path.display(), stray.problem);
    }
    for keys in &host.keys_twice {
        notices(Notice::Told(keys.as_str().into()));
    }
    let others = host.other_etcds.iter();
    for other in others.filter(|_| selection.etcd.is_none()) {
        let flag = Choice::Etcd.with(&other.pod);
        notices(Notice::Told(advice![
            format!("{other}; "),
            flag,
            " works on it"
        ]));
    }
    Ok(Node {
        etcd: etcd_of(root, &host)?,
        name: host.node,
        api: ApiView::default(),
        // Nothing runs etcdctl in a container here.
        exec: None,
    })
}

fn etcd_of(root: &Path, host: &Host) -> Result<Etcd, Error> {
    let etcd = host.etcd.as_ref();
    match etcd.map_err(|failure| Error::of_failure(&host.node, failure))? {
        Some(found) => match &found.target {
            Ok(target) => Ok(Etcd::Found(target.clone())),
            Err(error) => Err(Error::failed(format!(
                "{}: {error}",
                found.manifest.display()
            ))),
        },
        // On other hosts, or on this one by systemd or docker: what is done by manifests does not reach it.
        None if host.etcd_is_external || host.etcd_is_no_pod => Ok(Etcd::External {
            servers: host.etcd_servers.clone().unwrap_or_default(),
        }),
        None => Err(without_manifest(root, host)),
    }
}

/// No manifest runs the etcd of this host, and it is not another host's.
fn without_manifest(root: &Path, host: &Host) -> Error {
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
        .hint(advice::Task::StartComponent.of("etcd")),
        (None, Some(servers)) => put_it_back(
            host,
            format!(
                "no manifest in {folder} runs etcd, which the apiserver of {} uses: {}",
                host.node,
                servers.join(", ")
            ),
        ),
        (None, None) if etcd_operations::look::is_control_plane(root) => {
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
            "if it lies elsewhere, move it into {folder}; else kubeadm init phase etcd local --config FILE writes a new one"
        )),
    }
}

/// This host as a runner.
pub(crate) struct Local {
    /// It as a node, if it is one; looked at when it is first needed.
    node: OnceLock<Option<Node>>,
    notices: NoticeSink,
}

impl Local {
    /// This host, which is that node.
    pub(crate) fn of(node: Node, notices: NoticeSink) -> Self {
        Self {
            node: OnceLock::from(Some(node)),
            notices,
        }
    }

    /// This host, which may be a control-plane node.
    pub(crate) fn perhaps(notices: NoticeSink) -> Self {
        Self {
            node: OnceLock::new(),
            notices,
        }
    }

    /// This host as that node, which it may be.
    fn as_node(&self, node: &Node) -> Option<&Node> {
        let here = self.node.get_or_init(|| {
            let found = is_control_plane().then(|| host(&Selection::default(), &self.notices));
            found.and_then(Result::ok)
        });
        here.as_ref().filter(|here| here.name == node.name)
    }

    async fn operate(&self, node: &Node, task: Task<'_>) -> Result<Report, RunError> {
        let target = self.as_node(node).and_then(Node::target);
        let target =
            target.ok_or_else(|| RunError::new(RunErrorKind::NoEtcd, "no etcd on this host"))?;
        let mut progress = |progress| (task.progress)(&node.name, progress);
        Ok(run(task.operation, target, &mut progress).await?)
    }
}

impl Runner for Local {
    fn via(&self) -> Via {
        Via::Local
    }

    fn can_run(&self, task: &Task<'_>, node: &Node) -> bool {
        task.receiver.is_none() && self.as_node(node).is_some()
    }

    fn run<'a>(&'a self, nodes: &'a [&'a Node], task: Task<'a>) -> Results<'a> {
        let work = nodes
            .iter()
            .enumerate()
            .map(move |(position, node)| async move {
                (position, within(task.limit, self.operate(node, task)).await)
            });
        work.collect::<FuturesUnordered<_>>().boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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

    fn seen(root: &Path) -> Result<Node, Error> {
        told(root, &Selection::default()).0
    }

    /// The host, and what is told of it.
    fn told(root: &Path, selection: &Selection) -> (Result<Node, Error>, Vec<String>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let notices: NoticeSink = Arc::new(move |notice| {
            if let Notice::Told(line) = notice {
                sink.lock().unwrap().push(line.written());
            }
        });
        let node = node_at(root, selection, &notices);
        let lines = lines.lock().unwrap().clone();
        (node, lines)
    }

    #[test]
    fn another_etcd_is_told_of_unless_somebody_chose() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/kubernetes/manifests");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        std::fs::write(root.path().join("proc/sys/kernel/hostname"), "cp-1\n").unwrap();
        let events = ETCD
            .replace("  name: etcd\n", "  name: etcd-events\n")
            .replace("/var/lib/etcd", "/var/lib/etcd-events")
            .replace("2379", "2383");
        std::fs::write(folder.join("etcd-events.yaml"), events).unwrap();
        std::fs::write(folder.join("etcd.yaml"), ETCD).unwrap();
        let (node, lines) = told(root.path(), &Selection::default());
        let target = node.unwrap().target().unwrap().clone();
        assert_eq!(target.data_dir, Path::new("/var/lib/etcd"));
        assert_eq!(
            lines,
            [
                "/etc/kubernetes/manifests/etcd-events.yaml runs another etcd (etcd-events): it is left alone; \
                 {+etcd=etcd-events} works on it"
            ]
        );
        let named = Selection {
            etcd: Some("etcd-events".to_owned()),
            ..Selection::default()
        };
        let (node, lines) = told(root.path(), &named);
        let target = node.unwrap().target().unwrap().clone();
        assert_eq!(target.data_dir, Path::new("/var/lib/etcd-events"));
        assert_eq!(lines, Vec::<String>::new());
    }

    #[test]
    fn an_etcd_that_listens_here_and_is_no_pod_is_external() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/kernel/hostname", "m1\n");
        write(
            "proc/net/fib_trie",
            "Local:\n  |-- 10.0.0.1\n     /32 host LOCAL\n",
        );
        let servers = ["https://10.0.0.1:2379", "https://10.0.0.2:2379"];
        let apiserver = ETCD
            .replace("etcd, --name=cp-1", "kube-apiserver, '--etcd-servers=URLS'")
            .replace("URLS", &servers.join(","))
            .replace("--data-dir=/var/lib/etcd", "--v=2")
            .replace("name: etcd\n", "name: kube-apiserver\n")
            .replace("component: etcd", "component: kube-apiserver");
        write("etc/kubernetes/manifests/kube-apiserver.yaml", &apiserver);
        // Nobody listens: it has lost its manifest.
        let error = seen(root.path()).err().unwrap();
        assert!(error.message.contains("runs etcd"), "{error}");
        let word = format!("{:08X}", u32::from_ne_bytes([10, 0, 0, 1]));
        let tcp = format!("head\n 0: {word}:094B 00000000:0000 0A 0\n");
        write("proc/net/tcp", &tcp);
        match seen(root.path()).unwrap().etcd {
            Etcd::External { servers: found } => assert_eq!(found, servers),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_control_plane_node_whose_folder_was_renamed_is_told_how_to_bring_it_back() {
        let root = tempfile::tempdir().unwrap();
        let renamed = root.path().join("etc/kubernetes/manifests.bak");
        std::fs::create_dir_all(&renamed).unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        std::fs::write(root.path().join("proc/sys/kernel/hostname"), "cp-1\n").unwrap();
        std::fs::write(renamed.join("etcd.yaml"), ETCD).unwrap();
        let error = seen(root.path()).err().unwrap();
        assert_eq!(
            error.message,
            "kubelet's folder /etc/kubernetes/manifests is not there; /etc/kubernetes/manifests.bak has etcd.yaml"
        );
        assert_eq!(
            error.hints,
            ["mv -T /etc/kubernetes/manifests.bak /etc/kubernetes/manifests"]
        );
    }

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
            seen(root.path())
                .err()
                .unwrap()
                .message
                .contains("not a control-plane node")
        );
        write("etc/kubernetes/manifests/.etcd.yaml", "half written");
        write("etc/kubernetes/manifests/other.yaml", "kind: [");
        let none = seen(root.path()).err().unwrap();
        assert!(none.message.contains("has no etcd"), "{none}");
        assert!(
            none.hints
                .iter()
                .any(|hint| hint.written().contains("other.yaml")),
            "{none:?}"
        );
        write("etc/kubernetes/manifests/etcd.yaml", ETCD);
        let node = seen(root.path()).unwrap();
        assert_eq!(node.name, "cp-1", "as kubelet registers it");
        let target = node.target().unwrap();
        assert_eq!(target.pod, "etcd-cp-1");
        assert_eq!(target.client_urls, ["http://127.0.0.1:2379"]);
        let twice = ETCD.replace("kind: Pod\n", "kind: Pod\nkind: Pod\n");
        write("etc/kubernetes/manifests/etcd.yaml", &twice);
        let (node, lines) = told(root.path(), &Selection::default());
        let data_dir = node.unwrap().target().unwrap().data_dir.clone();
        assert_eq!(data_dir, Path::new("/var/lib/etcd"));
        assert_eq!(
            lines,
            [
                "/etc/kubernetes/manifests/etcd.yaml gives kind twice: kubelet takes the last one, and so does kubectl etcd"
            ]
        );
    }
}
