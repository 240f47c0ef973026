//! A control-plane node with what is known of its etcd. Paths are the node's own, not those inside a container.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::root;

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
        // What cannot be resolved is missing where it would be.
        let below = |path: &PathBuf| root::below(root, path).unwrap_or_else(|_| path.clone());
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

/// Whether a URL leads to the host it is used on.
pub(crate) fn is_loopback(url: &str) -> bool {
    let host = host(url);
    host.starts_with("127.") || host == "localhost" || host == "::1"
}

/// The host of a URL or of `host:port`, without a user and the brackets of IPv6: that is how certificates name it.
pub fn host(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or(authority);
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let host = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            &authority[..authority.len() - port.len() - 1]
        }
        _ => authority,
    };
    host.trim_start_matches('[').trim_end_matches(']')
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
    fn hosts_are_told_from_ports() {
        for (url, expected) in [
            ("https://10.0.0.2:2379/", "10.0.0.2"),
            ("https://[fd00::3]:2379", "fd00::3"),
            ("https://[fd00::3]", "fd00::3"),
            ("http://a.example", "a.example"),
            ("127.0.0.1:2379", "127.0.0.1"),
            ("a.example:2379", "a.example"),
            ("ssh://root@10.0.0.2:2222", "10.0.0.2"),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
        assert!(is_loopback("https://[::1]:2379") && is_loopback("http://localhost:2379"));
        assert!(!is_loopback("https://10.0.0.2:2379"));
    }
}
