//! From an etcd pod to a [`Target`]: which container, what its flags mean, and where its paths lie on the node.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{FlagError, Flags, base_name, parts};
use crate::failure::Failure;
use crate::target::{Target, TlsFiles, is_loopback};

/// What a target is made from: an etcd pod, taken from the API or from a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// The node's name.
    pub node: String,
    /// The pod's name as the API has it: with the node's name behind it for a static pod.
    pub pod: String,
    /// Its containers.
    pub containers: Vec<ContainerFacts>,
    /// Those of its volumes that are folders or files of the node.
    pub host_volumes: Vec<HostVolume>,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: Option<String>,
    /// `command`.
    pub command: Vec<String>,
    /// `args`.
    pub args: Vec<String>,
    /// `env`, those with a plain value.
    pub env: Vec<(String, String)>,
    /// `volumeMounts`.
    pub mounts: Vec<Mount>,
}

/// One of `volumeMounts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// Where it is inside the container: `mountPath`.
    pub path: String,
    /// The part of the volume that is mounted: `subPath`.
    pub sub_path: Option<String>,
}

/// A volume of the kind `hostPath`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostVolume {
    /// The volume's name.
    pub name: String,
    /// The path on the node.
    pub path: String,
}

/// Why a pod gives no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No container looks like etcd.
    #[error("no container of the pod is named `etcd` or runs it")]
    NoContainer,
    /// The command line cannot be read.
    #[error(transparent)]
    Flags(#[from] FlagError),
    /// etcd ignores its flags when it has a configuration file.
    #[error("etcd is configured by a file, `--config-file={0}`, which is not read")]
    ConfigFile(String),
    /// A flag without which the target cannot be told.
    #[error("etcd's command line has no `--{flag}`, which is needed to {purpose}")]
    MissingFlag {
        /// Which, without dashes.
        flag: &'static str,
        /// What for.
        purpose: &'static str,
    },
    /// A path that depends on the container's working directory.
    #[error("`--{flag}={path}` is not an absolute path")]
    Relative {
        /// Which flag, without dashes.
        flag: &'static str,
        /// Its value.
        path: String,
    },
    /// A path that no volume brings in.
    #[error("`--{flag}={path}` is inside the container alone: no volume is mounted there")]
    NotMounted {
        /// Which flag, without dashes.
        flag: &'static str,
        /// Its value.
        path: String,
    },
    /// A path on a volume that is no folder of the node.
    #[error("`--{flag}={path}` lies on the volume `{volume}`, which is not a hostPath")]
    NotOnHost {
        /// Which flag, without dashes.
        flag: &'static str,
        /// Its value.
        path: String,
        /// The volume.
        volume: String,
    },
    /// No address a client on the node could use.
    #[error("`--listen-client-urls={0}` has no http or https address")]
    NoClientUrl(String),
    /// A number was expected.
    #[error("`--{flag}={value}` is not a number of bytes")]
    NotANumber {
        /// Which flag, without dashes.
        flag: &'static str,
        /// Its value.
        value: String,
    },
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Failure::missing(error.to_string())
    }
}

/// The target an etcd pod describes.
///
/// The client certificate is the server's own, `--cert-file`: etcd itself uses it as a client (for its gateway), and
/// kubeadm makes it for both uses.
///
/// # Errors
/// What is missing or cannot be reached from the node, by the name of the flag.
pub fn target_from_pod(facts: &PodFacts) -> Result<Target, TargetError> {
    let container = etcd_container(facts).ok_or(TargetError::NoContainer)?;
    let flags = Flags::parse(&container.command, &container.args, &container.env)?;
    if let Some(file) = flags.get("config-file") {
        return Err(TargetError::ConfigFile(file.to_owned()));
    }
    let node_path =
        |flag: &'static str, path: &str| path_on_node(flag, path, container, &facts.host_volumes);
    let client_urls = client_urls(flags.get("listen-client-urls"))?;
    let tls = match client_urls.iter().any(|url| url.starts_with("https:")) {
        true => Some(tls_files(&flags, node_path)?),
        false => None,
    };
    let data_dir = need(&flags, "data-dir", "find its data on the node")?;
    let wal_dir = flags.get("wal-dir").filter(|path| !path.is_empty());
    Ok(Target {
        node: facts.node.clone(),
        pod: facts.pod.clone(),
        member_name: flags.get("name").unwrap_or("default").to_owned(),
        client_urls,
        peer_urls: flags
            .get("initial-advertise-peer-urls")
            .map(|urls| parts(urls).map(str::to_owned).collect())
            .unwrap_or_default(),
        tls,
        data_dir: node_path("data-dir", data_dir)?,
        wal_dir: wal_dir.map(|path| node_path("wal-dir", path)).transpose()?,
        quota_bytes: quota(&flags)?,
        image: container.image.clone(),
    })
}

/// The container that runs etcd: named so, or else the one whose program it is.
pub(crate) fn etcd_container(facts: &PodFacts) -> Option<&ContainerFacts> {
    let runs_etcd = |container: &&ContainerFacts| {
        let mut words = container
            .command
            .iter()
            .chain(&container.args)
            .take_while(|word| !word.starts_with("--") || *word == "--");
        words.any(|word| base_name(word) == "etcd")
    };
    let named = facts
        .containers
        .iter()
        .find(|container| container.name == "etcd");
    named.or_else(|| facts.containers.iter().find(runs_etcd))
}

fn need<'f>(
    flags: &'f Flags,
    flag: &'static str,
    purpose: &'static str,
) -> Result<&'f str, TargetError> {
    flags
        .get(flag)
        .filter(|value| !value.is_empty())
        .ok_or(TargetError::MissingFlag { flag, purpose })
}

fn tls_files(
    flags: &Flags,
    node_path: impl Fn(&'static str, &str) -> Result<PathBuf, TargetError>,
) -> Result<TlsFiles, TargetError> {
    let file = |flag, purpose| need(flags, flag, purpose).and_then(|path| node_path(flag, path));
    Ok(TlsFiles {
        ca: file("trusted-ca-file", "trust its certificate")?,
        cert: file("cert-file", "have a certificate to show it")?,
        key: file("key-file", "have a certificate to show it")?,
    })
}

/// A quota that is given and in force: 0 and less mean etcd's default and no limit.
fn quota(flags: &Flags) -> Result<Option<u64>, TargetError> {
    const FLAG: &str = "quota-backend-bytes";
    let Some(text) = flags.get(FLAG) else {
        return Ok(None);
    };
    let number: i64 = text.parse().map_err(|_| TargetError::NotANumber {
        flag: FLAG,
        value: text.to_owned(),
    })?;
    Ok(u64::try_from(number).ok().filter(|bytes| *bytes > 0))
}

/// The addresses at which a client on the node reaches etcd, loopback first, each once.
fn client_urls(listen: Option<&str>) -> Result<Vec<String>, TargetError> {
    let listen = listen.unwrap_or("http://localhost:2379");
    let mut urls: Vec<String> = Vec::new();
    for url in parts(listen).filter_map(reachable) {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    if urls.is_empty() {
        return Err(TargetError::NoClientUrl(listen.to_owned()));
    }
    // Stable: apart from that, the order is the administrator's.
    urls.sort_by_key(|url| !is_loopback(url));
    Ok(urls)
}

/// The URL to use for one that is listened on; none for sockets and what is no URL. Go listens for IPv4 as well
/// when told `[::]`, so loopback of IPv4 stands for both.
fn reachable(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
    if !matches!(scheme, "http" | "https") || port.parse::<u16>().is_err() || host.contains('$') {
        return None;
    }
    let host = match host {
        "" | "0.0.0.0" | "[::]" => "127.0.0.1",
        other => other,
    };
    Some(format!("{scheme}://{host}:{port}"))
}

/// Where a path inside the container lies on the node: through the mount with the longest path that leads to it.
fn path_on_node(
    flag: &'static str,
    path: &str,
    container: &ContainerFacts,
    volumes: &[HostVolume],
) -> Result<PathBuf, TargetError> {
    if !path.starts_with('/') {
        return Err(TargetError::Relative {
            flag,
            path: path.to_owned(),
        });
    }
    let inside = clean(path);
    let mount = container
        .mounts
        .iter()
        .filter(|mount| inside.starts_with(clean(&mount.path)))
        .max_by_key(|mount| clean(&mount.path).components().count())
        .ok_or_else(|| TargetError::NotMounted {
            flag,
            path: path.to_owned(),
        })?;
    let on_node = path_of_mount(mount, volumes).ok_or_else(|| TargetError::NotOnHost {
        flag,
        path: path.to_owned(),
        volume: mount.volume.clone(),
    })?;
    let mounted_at = clean(&mount.path);
    let below = inside.strip_prefix(&mounted_at).unwrap_or(Path::new(""));
    // `join("")` would add a slash, and a mounted file is not a folder.
    if below.as_os_str().is_empty() {
        return Ok(on_node);
    }
    Ok(on_node.join(below))
}

/// What is mounted, as a path on the node; nothing when the volume is none of the node's.
pub(crate) fn path_of_mount(mount: &Mount, volumes: &[HostVolume]) -> Option<PathBuf> {
    let volume = volumes.iter().find(|volume| volume.name == mount.volume)?;
    let mut on_node = clean(&volume.path);
    if let Some(sub_path) = &mount.sub_path {
        on_node.push(sub_path.trim_start_matches('/'));
    }
    Some(on_node)
}

/// Parts of the names of flags that name other things than configuration.
const NOT_READ: [&str; 4] = ["log", "data-dir", "wal-dir", "plugin-dir"];

/// The paths on the node that the words of the pod's containers name: certificates, configuration, folders of them. What
/// is not mounted from the node is not there, and neither are data, logs and programs.
pub(crate) fn named_paths(facts: &PodFacts) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for container in &facts.containers {
        for word in container.command.iter().chain(&container.args) {
            let (flag, value) = word.split_once('=').unwrap_or(("", word));
            if NOT_READ.iter().any(|part| flag.contains(part)) {
                continue;
            }
            let on_node = |part| path_on_node("", part, container, &facts.host_volumes).ok();
            paths.extend(value.split(',').filter_map(on_node));
        }
    }
    paths
}

/// The volumes from the node, by their paths there, in which something lies that [`named_paths`] finds.
pub fn named_volumes(facts: &PodFacts) -> BTreeSet<PathBuf> {
    let named = named_paths(facts);
    let volumes = facts.host_volumes.iter().map(|volume| clean(&volume.path));
    volumes
        .filter(|volume| named.iter().any(|path| path.starts_with(volume)))
        .collect()
}

/// An absolute path without `.`, `..` and doubled slashes, by its text alone, as Go's `path.Clean` does it.
fn clean(path: &str) -> PathBuf {
    let mut out = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => {
                out.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KUBEADM: &str = "etcd --advertise-client-urls=https://10.0.0.1:2379 \
        --cert-file=/etc/kubernetes/pki/etcd/server.crt --client-cert-auth=true --data-dir=/var/lib/etcd \
        --initial-advertise-peer-urls=https://10.0.0.1:2380 --initial-cluster=cp-1=https://10.0.0.1:2380 \
        --key-file=/etc/kubernetes/pki/etcd/server.key \
        --listen-client-urls=https://10.0.0.1:2379,https://127.0.0.1:2379 \
        --listen-metrics-urls=http://127.0.0.1:2381 --name=cp-1 \
        --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt";

    fn mount(volume: &str, path: &str) -> Mount {
        Mount {
            volume: volume.into(),
            path: path.into(),
            sub_path: None,
        }
    }

    fn volume(name: &str, path: &str) -> HostVolume {
        HostVolume {
            name: name.into(),
            path: path.into(),
        }
    }

    fn pod(line: &str) -> PodFacts {
        PodFacts {
            node: "cp-1".into(),
            pod: "etcd-cp-1".into(),
            containers: vec![ContainerFacts {
                name: "etcd".into(),
                image: Some("registry.k8s.io/etcd:3.6.6-0".into()),
                command: line.split_whitespace().map(str::to_owned).collect(),
                mounts: vec![
                    mount("etcd-data", "/var/lib/etcd"),
                    mount("etcd-certs", "/etc/kubernetes/pki/etcd"),
                ],
                ..ContainerFacts::default()
            }],
            host_volumes: vec![
                volume("etcd-certs", "/etc/kubernetes/pki/etcd"),
                volume("etcd-data", "/var/lib/etcd"),
            ],
        }
    }

    #[test]
    fn kubeadms_pod_gives_its_target() {
        let target = target_from_pod(&pod(KUBEADM)).unwrap();
        assert_eq!(
            target,
            Target {
                node: "cp-1".into(),
                pod: "etcd-cp-1".into(),
                member_name: "cp-1".into(),
                client_urls: vec![
                    "https://127.0.0.1:2379".into(),
                    "https://10.0.0.1:2379".into()
                ],
                peer_urls: vec!["https://10.0.0.1:2380".into()],
                tls: Some(TlsFiles {
                    ca: "/etc/kubernetes/pki/etcd/ca.crt".into(),
                    cert: "/etc/kubernetes/pki/etcd/server.crt".into(),
                    key: "/etc/kubernetes/pki/etcd/server.key".into(),
                }),
                data_dir: "/var/lib/etcd".into(),
                wal_dir: None,
                quota_bytes: None,
                image: Some("registry.k8s.io/etcd:3.6.6-0".into()),
            }
        );
    }

    #[test]
    fn unusual_paths_go_through_the_longest_mount() {
        let mut facts = pod("etcd --data-dir=/data/./etcd/ --wal-dir /data/etcd/fast/wal");
        facts.containers[0].mounts = vec![
            mount("all", "/data"),
            Mount {
                sub_path: Some("x".into()),
                ..mount("fast", "/data/etcd/fast/")
            },
        ];
        facts.host_volumes = vec![volume("all", "/mnt/all"), volume("fast", "/mnt/nvme")];
        let target = target_from_pod(&facts).unwrap();
        assert_eq!(target.data_dir, PathBuf::from("/mnt/all/etcd"));
        assert_eq!(target.wal_dir, Some(PathBuf::from("/mnt/nvme/x/wal")));
        assert_eq!(target.client_urls, ["http://localhost:2379"]);
        assert_eq!(target.tls, None, "plain http");
    }

    #[test]
    fn a_file_that_is_mounted_itself_keeps_its_name() {
        let mut facts = pod(&KUBEADM.replace("/etc/kubernetes/pki/etcd/ca.crt", "/ca.crt"));
        facts.containers[0].mounts.push(mount("ca", "/ca.crt"));
        facts.host_volumes.push(volume("ca", "/srv/pki/root.pem"));
        let tls = target_from_pod(&facts).unwrap().tls.unwrap();
        assert_eq!(tls.ca.as_os_str(), "/srv/pki/root.pem");
    }

    #[test]
    fn addresses_for_every_network_become_loopback() {
        let urls = |listen| client_urls(Some(listen));
        assert_eq!(
            urls("https://0.0.0.0:2379").unwrap(),
            ["https://127.0.0.1:2379"]
        );
        assert_eq!(
            urls("https://[::]:2379,https://0.0.0.0:2379").unwrap(),
            ["https://127.0.0.1:2379"]
        );
        assert_eq!(
            urls("http://[fd00::1]:2379, http://[::1]:2379/").unwrap(),
            ["http://[::1]:2379", "http://[fd00::1]:2379"]
        );
        for none in ["unix://x:0", "", "https://$(POD_IP):2379", "2379"] {
            assert_eq!(urls(none), Err(TargetError::NoClientUrl(none.into())));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |facts: &PodFacts| target_from_pod(facts).unwrap_err().to_string();
        assert_eq!(
            error(&pod("etcd --name=a")),
            "etcd's command line has no `--data-dir`, which is needed to find its data on the node"
        );
        assert_eq!(
            error(&pod("etcd --data-dir=data")),
            "`--data-dir=data` is not an absolute path"
        );
        assert_eq!(
            error(&pod("etcd --data-dir=/var/lib/etcd-2")),
            "`--data-dir=/var/lib/etcd-2` is inside the container alone: no volume is mounted there"
        );
        let without_ca = KUBEADM.replace("--trusted-ca-file", "--x");
        assert_eq!(
            error(&pod(&without_ca)),
            "etcd's command line has no `--trusted-ca-file`, which is needed to trust its certificate"
        );
        let mut no_host = pod(KUBEADM);
        no_host.host_volumes.pop();
        assert_eq!(
            error(&no_host),
            "`--data-dir=/var/lib/etcd` lies on the volume `etcd-data`, which is not a hostPath"
        );
        assert!(error(&pod("etcd --config-file=/c.yaml")).contains("/c.yaml"));
        assert!(
            error(&pod(
                "etcd --data-dir=/var/lib/etcd --quota-backend-bytes=8G"
            ))
            .contains("8G")
        );
        assert_eq!(
            target_from_pod(&PodFacts::default()),
            Err(TargetError::NoContainer)
        );
    }

    #[test]
    fn etcd_is_found_beside_other_containers_and_in_args() {
        let mut facts = pod("x");
        facts.containers[0].name = "server".into();
        facts.containers[0].command = vec!["/usr/local/bin/etcd".into()];
        facts.containers[0].args = vec![
            "--data-dir=/var/lib/etcd".into(),
            "--quota-backend-bytes".into(),
            "8589934592".into(),
        ];
        facts.containers.insert(
            0,
            ContainerFacts {
                command: vec!["watcher".into(), "--of=etcd".into()],
                ..ContainerFacts::default()
            },
        );
        assert_eq!(target_from_pod(&facts).unwrap().quota_bytes, Some(8 << 30));
    }

    proptest! {
        #[test]
        fn any_command_line_gives_a_target_or_an_error(line in prop::collection::vec(
            prop_oneof!["--(data-dir|listen-client-urls|wal-dir|name|cert-file)(=[a-z/.:0-9]{0,20})?", "[a-z/.:]{0,12}"], 0..10)) {
            let mut facts = pod("etcd");
            facts.containers[0].command.extend(line);
            if let Ok(target) = target_from_pod(&facts) {
                prop_assert!(target.data_dir.is_absolute());
                prop_assert!(!target.client_urls.is_empty());
            }
        }

        #[test]
        fn a_path_below_a_mount_stays_below_its_volume(below in "([a-z.]{1,3}/){0,6}[a-z]{1,4}") {
            let facts = pod(&format!("etcd --data-dir=/var/lib/etcd/{below}"));
            if let Ok(target) = target_from_pod(&facts) {
                prop_assert!(target.data_dir.starts_with("/var/lib/etcd") || target.data_dir.starts_with("/etc/kubernetes"));
            }
        }
    }
}
