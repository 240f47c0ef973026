//! This host as a control-plane node, without an apiserver: what its static pod manifests say.
//!
//! kubelet runs every file in its folder whose name does not begin with a dot, whatever its ending: a backup beside
//! `etcd.yaml` is a second etcd. So all of them are read (see [`crate::manifest`]), and what does not belong there is told.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::flags::{Flags, TargetError, named_paths, target_from_pod};
use crate::kubelet::{manifests_folder, node_name};
use crate::manifest::{
    Known, Manifest, ManifestFile, Place, Selection, Stray, elsewhere, is_renamed,
};
use crate::root;
use crate::target::Target;

/// What a host's manifests say.
#[derive(Debug)]
pub struct Host {
    /// The node's name, as kubelet registers it.
    pub node: String,
    /// The folder of the static pods, as the node knows it.
    pub folder: PathBuf,
    /// Its etcd, if a manifest has one: of several the one that the apiserver uses. An error when that cannot be told.
    pub etcd: Result<Option<LocalEtcd>, Failure>,
    /// The manifest of its etcd, which was moved aside to stop it; none: it was not.
    pub stopped_etcd: Option<PathBuf>,
    /// Manifests of an etcd where kubelet does not look, the newest first, where there is none to be started.
    pub etcd_elsewhere: Vec<PathBuf>,
    /// Other pods that run an etcd.
    pub other_etcds: Vec<OtherEtcd>,
    /// Whether the apiserver uses an etcd of other hosts.
    pub etcd_is_external: bool,
    /// Whether no manifest runs the etcd that the apiserver uses, and somebody listens on this host where it shall be.
    pub etcd_is_no_pod: bool,
    /// kube-apiserver's `--etcd-servers`, if a manifest has one.
    pub etcd_servers: Option<Vec<String>>,
    /// kube-apiserver's `--etcd-prefix`, if a manifest gives one.
    pub etcd_prefix: Option<String>,
    /// The files and folders of the host that the static pods' flags name, in the order of their paths.
    pub named_paths: BTreeSet<PathBuf>,
    /// Files that kubelet reads and that should not be there.
    pub strays: Vec<Stray>,
    /// What is said of manifests that give a key twice ([`ManifestFile::key_twice`]).
    pub keys_twice: Vec<String>,
}

/// The manifest of an etcd and what it means.
#[derive(Debug)]
pub struct LocalEtcd {
    /// The manifest, as the node knows it.
    pub manifest: PathBuf,
    /// The target, or why it cannot be told.
    pub target: Result<Target, TargetError>,
    /// The peer URLs in `--initial-cluster`: the members there were when this one was added.
    pub founders: Vec<String>,
}

/// A pod that runs an etcd which is not the one that the apiserver uses: it is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherEtcd {
    /// The manifest, as the node knows it.
    pub manifest: PathBuf,
    /// The pod's name as the manifest has it.
    pub pod: String,
}

impl OtherEtcd {
    fn of(file: &ManifestFile) -> Self {
        Self {
            manifest: file.path.clone(),
            pod: file.manifest.pod().name,
        }
    }
}

impl LocalEtcd {
    fn of(file: &ManifestFile, node: &str) -> Self {
        Self {
            manifest: file.path.clone(),
            target: target_from_pod(&file.manifest.facts(node)),
            founders: founders(&file.manifest),
        }
    }
}

impl fmt::Display for OtherEtcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, pod) = (self.manifest.display(), &self.pod);
        write!(f, "{path} runs another etcd ({pod}): it is left alone")
    }
}

/// Looks at this host.
///
/// # Errors
/// [`FailureKind::Missing`](crate::failure::FailureKind::Missing) when it is not a control-plane node, or its folder of manifests cannot be read.
pub fn host(selection: &Selection) -> Result<Host, Failure> {
    host_at(Path::new("/"), selection)
}

/// Looks at a host whose file system is found at `root`.
///
/// # Errors
/// As [`host`].
pub fn host_at(root: &Path, selection: &Selection) -> Result<Host, Failure> {
    let node = node_name(root)?;
    let known = Known::read_below(root, &manifests_folder(root), selection)?;
    let etcd = known.of("etcd");
    let others = known.other_etcds().into_iter();
    let other_etcds = others.map(OtherEtcd::of).collect();
    let stopped = etcd.as_ref().ok().copied().flatten();
    let stopped = stopped.filter(|found| found.place == Place::Aside);
    let stopped_etcd = stopped.map(|found| found.file.path.clone());
    let etcd = etcd.map(|found| {
        let in_folder = found.filter(|found| found.place == Place::Folder);
        in_folder.map(|found| LocalEtcd::of(found.file, &node))
    });
    let etcd_is_external = known.etcd_is_external();
    let etcd_is_no_pod = known.etcd_is_no_pod();
    let is_missing =
        matches!(&etcd, Ok(None)) && stopped_etcd.is_none() && !etcd_is_external && !etcd_is_no_pod;
    let etcd_elsewhere = match is_missing {
        true => etcd_manifests_elsewhere(root, &known.folder.path),
        false => Vec::new(),
    };
    let found = known.folder;
    let apiserver = found
        .of_component("kube-apiserver")?
        .map(|file| &file.manifest);
    Ok(Host {
        etcd,
        stopped_etcd,
        etcd_elsewhere,
        other_etcds,
        etcd_is_external,
        etcd_is_no_pod,
        etcd_servers: apiserver.and_then(etcd_servers),
        etcd_prefix: apiserver.and_then(etcd_prefix),
        named_paths: found
            .pods
            .iter()
            .flat_map(|file| named_paths(&file.manifest.facts(&node)))
            .collect(),
        node,
        folder: found.path,
        keys_twice: found
            .pods
            .iter()
            .filter_map(ManifestFile::key_twice)
            .collect(),
        strays: found.strays,
    })
}

/// What only a control-plane node has: the administrator's kubeconfig, the cluster CA's key, etcd's data where kubeadm puts it.
/// A worker has a folder for static pods and kubelet's own files.
const CONTROL_PLANE_FILES: [&str; 3] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/pki/ca.key",
    "/var/lib/etcd/member",
];

/// Whether files are on a host that only a control-plane node has, whatever became of its manifests. Their folder under
/// another name is one of these.
pub fn has_control_plane_files(root: &Path) -> bool {
    let is_there = |path: &str| root::below(root, Path::new(path)).is_ok_and(|path| path.exists());
    CONTROL_PLANE_FILES.iter().any(|path| is_there(path))
        || is_renamed(root, &manifests_folder(root))
}

fn etcd_manifests_elsewhere(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let all = elsewhere(root, folder).into_iter();
    let etcds = all.filter(|found| found.file.manifest.has("etcd"));
    etcds.map(|found| found.file.path).collect()
}

fn etcd_servers(manifest: &Manifest) -> Option<Vec<String>> {
    of_flags(manifest, |flags| {
        let servers = flags.list("etcd-servers");
        (!servers.is_empty()).then(|| servers.into_iter().map(str::to_owned).collect())
    })
}

fn etcd_prefix(manifest: &Manifest) -> Option<String> {
    of_flags(manifest, |flags| {
        flags.get("etcd-prefix").map(str::to_owned)
    })
}

/// What the flags of the first container that has it say.
fn of_flags<T>(manifest: &Manifest, what: impl Fn(&Flags) -> Option<T>) -> Option<T> {
    let components = manifest.components();
    components.iter().find_map(|one| what(&one.flags().ok()?))
}

fn founders(manifest: &Manifest) -> Vec<String> {
    let urls = of_flags(manifest, |flags| {
        flags.get("initial-cluster")?;
        let members = flags.list("initial-cluster").into_iter();
        let urls = members.filter_map(|member| member.split_once('='));
        Some(urls.map(|(_, url)| url.to_owned()).collect())
    });
    urls.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;

    const ETCD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system}
spec:
  hostNetwork: on
  containers:
  - name: etcd
    image: registry.k8s.io/etcd:3.6.6-0
    command:
    - etcd
    - --name=cp-1
    - --data-dir=/var/lib/etcd
    - --listen-client-urls=https://$(IP):2379,https://127.0.0.1:2379
    - --cert-file=/pki/server.crt
    - --key-file=/pki/server.key
    - --trusted-ca-file=/pki/ca.crt
    - --initial-cluster=cp-2=https://10.0.0.2:2380,cp-1=https://10.0.0.1:2380
    env:
    - {name: IP, value: 10.0.0.1}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    volumeMounts:
    - {name: data, mountPath: /var/lib/etcd}
    - {name: pki, mountPath: /pki}
  volumes:
  - {name: data, hostPath: {path: /srv/etcd, type: DirectoryOrCreate}}
  - {name: pki, hostPath: {path: /etc/kubernetes/pki/etcd}}
  - {name: odd, configMap: {name: x, defaultMode: 0644}}
"#;

    const APISERVER: &str = r"
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  containers:
  - {name: kube-apiserver, command: [kube-apiserver, '--etcd-servers=https://127.0.0.1:2379']}
";

    fn host_with(files: &[(&str, &str)]) -> Result<Host, Failure> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("proc/sys/kernel/hostname", "CP-1\n")].iter().chain(files) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        host_at(root.path(), &Selection::default())
    }

    #[test]
    fn kubeadms_folder_gives_the_target() {
        let host = host_with(&[
            ("etc/kubernetes/manifests/etcd.yaml", ETCD),
            ("etc/kubernetes/manifests/kube-apiserver.yaml", APISERVER),
            ("etc/kubernetes/manifests/.etcd.yaml", "half written"),
            ("etc/kubernetes/manifests/old/etcd.yaml", ETCD),
        ])
        .unwrap();
        assert_eq!(host.node, "cp-1");
        assert_eq!(host.strays, []);
        assert_eq!(host.etcd_servers.unwrap(), ["https://127.0.0.1:2379"]);
        let etcd = host.etcd.unwrap().unwrap();
        assert_eq!(
            etcd.founders,
            ["https://10.0.0.2:2380", "https://10.0.0.1:2380"]
        );
        let target = etcd.target.unwrap();
        assert_eq!(target.pod, "etcd-cp-1");
        assert_eq!(target.data_dir, Path::new("/srv/etcd"));
        assert_eq!(
            target.client_urls,
            ["https://127.0.0.1:2379", "https://10.0.0.1:2379"]
        );
        assert_eq!(
            target.tls.unwrap().ca,
            Path::new("/etc/kubernetes/pki/etcd/ca.crt")
        );
    }

    #[test]
    fn what_kubelet_would_stumble_over_is_told() {
        let host = host_with(&[
            ("etc/kubernetes/manifests/etcd.yaml", ETCD),
            ("etc/kubernetes/manifests/etcd.yaml.bak", ETCD),
            ("etc/kubernetes/manifests/notes.txt", "just text"),
            (
                "etc/kubernetes/manifests/twice.yaml",
                "kind: Pod\nkind: Pod\n",
            ),
        ])
        .unwrap();
        let strays: Vec<_> = host
            .strays
            .iter()
            .map(|stray| stray.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(strays, ["etcd.yaml.bak", "notes.txt"]);
        assert_eq!(
            host.keys_twice,
            [
                "/etc/kubernetes/manifests/twice.yaml gives kind twice: kubelet takes the last one, and so does kubectl etcd"
            ]
        );
        assert!(
            host.strays[0]
                .problem
                .to_string()
                .contains("second manifest of the pod kube-system/etcd")
        );
        assert!(host.etcd.unwrap().unwrap().manifest.ends_with("etcd.yaml"));
    }

    #[test]
    fn kubelets_own_settings_count() {
        let host = host_with(&[
            (
                "var/lib/kubelet/config.yaml",
                "kind: KubeletConfiguration\nstaticPodPath: /srv/pods\n",
            ),
            (
                "var/lib/kubelet/kubeadm-flags.env",
                "KUBELET_KUBEADM_ARGS=\"--hostname-override=master.example --x=y\"\n",
            ),
            ("srv/pods/etcd.yaml", ETCD),
        ])
        .unwrap();
        assert_eq!(host.node, "master.example");
        assert_eq!(
            host.etcd.unwrap().unwrap().target.unwrap().pod,
            "etcd-master.example"
        );
    }

    #[test]
    fn an_etcd_beside_the_main_one_is_told_and_left_alone() {
        let events = ETCD
            .replace("name: etcd,", "name: etcd-events,")
            .replace(":2379", ":2383");
        let host = host_with(&[
            ("etc/kubernetes/manifests/etcd-events.yaml", &events),
            ("etc/kubernetes/manifests/etcd.yaml", ETCD),
            ("etc/kubernetes/manifests/kube-apiserver.yaml", APISERVER),
        ])
        .unwrap();
        let etcd = host.etcd.unwrap().unwrap();
        assert_eq!(etcd.target.unwrap().pod, "etcd-cp-1");
        let others: Vec<String> = host.other_etcds.iter().map(ToString::to_string).collect();
        assert_eq!(
            others,
            [
                "/etc/kubernetes/manifests/etcd-events.yaml runs another etcd (etcd-events): it is left alone"
            ]
        );
        assert!(!host.etcd_is_external);
    }

    #[test]
    fn an_etcd_whose_manifest_is_gone_is_not_elsewhere() {
        let apiserver = |servers: &str| {
            let text = APISERVER.replace("https://127.0.0.1:2379", servers);
            let text = text.replace(
                "kube-apiserver, '",
                "kube-apiserver, --advertise-address=10.0.0.1, '",
            );
            host_with(&[("etc/kubernetes/manifests/kube-apiserver.yaml", &text)]).unwrap()
        };
        for here in [
            "https://127.0.0.1:2379",
            "https://10.0.0.1:2379,https://10.0.0.2:2379",
        ] {
            let host = apiserver(here);
            assert!(
                host.etcd.unwrap().is_none() && !host.etcd_is_external,
                "{here}"
            );
        }
        assert!(apiserver("https://10.9.0.1:2379").etcd_is_external);
    }

    #[test]
    fn a_host_without_manifests_is_no_control_plane_node() {
        let failure = host_with(&[]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        let host =
            host_with(&[("etc/kubernetes/manifests/kube-apiserver.yaml", APISERVER)]).unwrap();
        assert!(host.etcd.unwrap().is_none());
    }
}
