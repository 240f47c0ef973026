//! A control-plane node with what is known of its etcd. Paths are the node's own, not those inside a container.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One node's etcd: where it answers, with which certificates, where its data lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The node's name in Kubernetes (the host's own name when there is no apiserver to ask).
    pub node: String,
    /// The static pod's name, such as `etcd-cp-1`.
    pub pod: String,
    /// The member's name, `--name`.
    pub member_name: String,
    /// Where a client on this node reaches the member: addresses of the node's network, loopback first.
    pub client_urls: Vec<String>,
    /// What other members are told to reach it at, `--initial-advertise-peer-urls`.
    pub peer_urls: Vec<String>,
    /// The client certificate, its key and the CA; absent when etcd speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// `--data-dir` on the node.
    pub data_dir: PathBuf,
    /// `--wal-dir` on the node, when it is not inside the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_dir: Option<PathBuf>,
    /// `--quota-backend-bytes`, when it is given. etcd before 3.6 does not tell it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// The image etcd runs from; the one image that is certainly on the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl Target {
    /// Where the member is reached from other nodes; none when it listens on loopback only.
    pub fn url_beyond_the_node(&self) -> Option<&str> {
        let mut urls = self.client_urls.iter();
        urls.find(|url| !is_loopback(url)).map(String::as_str)
    }

    /// The same, where the node's file system is found at `root`.
    #[must_use]
    pub fn below(&self, root: &Path) -> Self {
        let below = |path: &PathBuf| below(root, path);
        Self {
            tls: self.tls.as_ref().map(|tls| TlsFiles {
                ca: below(&tls.ca),
                cert: below(&tls.cert),
                key: below(&tls.key),
            }),
            data_dir: below(&self.data_dir),
            wal_dir: self.wal_dir.as_ref().map(below),
            ..self.clone()
        }
    }
}

/// How often symbolic links may lead on before that is given up, as in Linux.
const MOST_LINKS: usize = 40;

/// A path of the node, where its file system is found at `root`: a symbolic link that begins with `/` means the node's.
fn below(root: &Path, path: &Path) -> PathBuf {
    let mut links = 0;
    let mut ahead: Vec<PathBuf> = parts(path);
    let mut found = PathBuf::new();
    while let Some(part) = ahead.pop() {
        if part == Path::new("..") {
            found.pop();
            continue;
        }
        found.push(&part);
        if let Ok(leads_to) = root.join(&found).read_link()
            && links < MOST_LINKS
        {
            links += 1;
            found.pop();
            if leads_to.is_absolute() {
                found = PathBuf::new();
            }
            ahead.extend(parts(&leads_to));
        }
    }
    root.join(found)
}

/// The parts of a path, the last one first, without `/` and `.`.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().into())
        .rev()
        .collect()
}

/// Whether a URL leads to the host it is used on.
pub(crate) fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.starts_with("127.") || host.starts_with("localhost:") || host.starts_with("[::1]:")
}

/// Certificate files on the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsFiles {
    /// Who signed the servers: `--trusted-ca-file`.
    pub ca: PathBuf,
    /// What a client shows: the server's own, `--cert-file`, which kubeadm makes for both uses.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_node_lead_to_the_nodes_files() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("srv/pki/etcd")).unwrap();
        std::fs::create_dir_all(at("etc")).unwrap();
        std::os::unix::fs::symlink("/srv", at("etc/kubernetes")).unwrap();
        std::os::unix::fs::symlink("../pki/./etcd", at("srv/pki/other")).unwrap();
        std::os::unix::fs::symlink("round", at("round")).unwrap();
        let found = |path: &str| below(root.path(), Path::new(path));
        assert_eq!(
            found("/etc/kubernetes/pki/other/ca.crt"),
            at("srv/pki/etcd/ca.crt")
        );
        assert_eq!(found("/../../srv/none"), at("srv/none"));
        assert!(found("/round/x").starts_with(root.path()));
        assert_eq!(
            below(Path::new("/"), Path::new("/no/such")),
            Path::new("/no/such")
        );
    }
}
