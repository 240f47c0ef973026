//! A control-plane node with what is known of its etcd. Paths are the node's own, not those inside a container.

use std::path::PathBuf;

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
