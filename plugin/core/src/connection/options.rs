//! Which apiserver is meant, and as whom it is asked: what a command line may say over the kubeconfig.

use std::path::PathBuf;
use std::time::Duration;

use etcd_operations::manifest::Selection;

/// What is said over the kubeconfig. Each means what kubectl's flag of this name means.
#[derive(Debug, Clone, Default)]
pub struct ConnectionOptions {
    /// Path of the kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context to use.
    pub context: Option<String>,
    /// The kubeconfig cluster to use.
    pub cluster: Option<String>,
    /// The kubeconfig user to use.
    pub user: Option<String>,
    /// Address and port of the apiserver.
    pub server: Option<String>,
    /// Bearer token for the apiserver.
    pub token: Option<String>,
    /// User to impersonate.
    pub impersonate: Option<String>,
    /// Groups to impersonate.
    pub impersonate_groups: Vec<String>,
    /// Do not check the apiserver's certificate.
    pub insecure_skip_tls_verify: bool,
    /// Certificate of the authority that signed the apiserver's.
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate for the apiserver.
    pub client_certificate: Option<PathBuf>,
    /// Key of the client certificate.
    pub client_key: Option<PathBuf>,
    /// Name the apiserver's certificate is checked for, instead of the address's.
    pub tls_server_name: Option<String>,
    /// How long one request to the apiserver may take; zero for no limit.
    pub request_timeout: Option<Duration>,
    /// Pod whose etcd is meant, by its manifest's name, where several run one on a host.
    pub etcd: Option<String>,
    /// Namespace the Jobs run in.
    pub namespace: Option<String>,
}

impl ConnectionOptions {
    /// Whether somebody has said which apiserver is meant, besides by a whole kubeconfig.
    pub(crate) fn names_cluster(&self) -> bool {
        self.server.is_some() || self.context.is_some() || self.cluster.is_some()
    }

    /// Which manifests are meant on a host.
    pub fn selection(&self) -> Selection {
        Selection {
            etcd: self.etcd.clone(),
            ..Selection::default()
        }
    }
}
