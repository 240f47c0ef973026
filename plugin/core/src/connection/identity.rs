//! Which cluster a kubeconfig means, told without asking it.

use sha2::{Digest, Sha256};

use super::kubeconfig;
use crate::connection::options::ConnectionOptions;
use crate::error::Error;
use crate::host_name::{HostName, NotAHostName};
use etcd_operations::transfer::hex;

/// So many contexts are looked through for others of the same cluster.
const MOST_CONTEXTS: usize = 64;

/// A cluster: its server, and who signed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// The server's address as configured.
    pub server: String,
    /// The certificates of the authorities, as they are encoded.
    pub ca: Vec<Vec<u8>>,
}

impl ClusterIdentity {
    pub(super) fn of(config: &kube::Config) -> Self {
        Self {
            server: config.cluster_url.to_string(),
            ca: config.root_cert.clone().unwrap_or_default(),
        }
    }

    /// The same cluster, as it is known by another of its servers.
    pub(crate) fn at(&self, server: &str) -> Self {
        Self {
            server: server.to_owned(),
            ca: self.ca.clone(),
        }
    }

    /// What no other cluster has: hexadecimal digits.
    pub fn key(&self) -> String {
        let mut sha = Sha256::new();
        sha.update(self.server.as_bytes());
        for certificate in &self.ca {
            sha.update([0]);
            sha.update(certificate);
        }
        hex(&sha.finalize()[..16])
    }

    /// The host of the server's address.
    ///
    /// # Errors
    /// When it is no host name.
    pub fn host(&self) -> Result<HostName, NotAHostName> {
        HostName::of_url(&self.server)
    }
}

/// Which cluster the flags and the kubeconfig mean.
///
/// # Errors
/// As reading the kubeconfig.
pub fn identity(args: &ConnectionOptions) -> Result<ClusterIdentity, Error> {
    let loaded = kubeconfig::load(args)?;
    Ok(ClusterIdentity::of(&loaded.config))
}

/// The contexts of the same cluster, by who signed for its apiservers, whose server is another one: name and server.
pub(crate) fn contexts_beside(
    args: &ConnectionOptions,
    cluster: &ClusterIdentity,
) -> Vec<(String, String)> {
    let server = |name: String| {
        let args = ConnectionOptions {
            kubeconfig: args.kubeconfig.clone(),
            context: Some(name.clone()),
            ..ConnectionOptions::default()
        };
        let other = ClusterIdentity::of(&kubeconfig::load(&args).ok()?.config);
        let same = !other.ca.is_empty() && other.ca == cluster.ca;
        (same && other.server != cluster.server).then_some((name, other.server))
    };
    let names = kubeconfig::context_names(args)
        .into_iter()
        .take(MOST_CONTEXTS);
    names.filter_map(server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_host_is_what_ssh_takes() {
        for (server, host) in [
            ("https://10.0.0.9:6443/", "10.0.0.9"),
            ("https://[fd00::1]:6443/", "fd00::1"),
            ("https://api.example.com/clusters/x", "api.example.com"),
        ] {
            let cluster = ClusterIdentity {
                server: server.into(),
                ca: Vec::new(),
            };
            assert_eq!(cluster.host().unwrap().as_str(), host);
            assert_eq!(cluster.key().len(), 32);
        }
    }
}
