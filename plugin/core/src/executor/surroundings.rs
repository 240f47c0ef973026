//! The cluster around the hosts of a plan: its lock while the plan is carried out, and how it is when that is done.

use std::path::PathBuf;

use etcd_operations::plan::make::HostView;

use super::Hosts;
use super::check::{Checked, check};
use super::gather::own_apiserver;
use super::lock::{Locked, lock};
use crate::connection::ADMIN_CONF;
use crate::connection::ConnectionOptions;
use crate::created::Created;
use crate::error::Error;
use crate::outcome::NoticeSink;

/// What a plan needs of the cluster around its hosts.
#[expect(async_fn_in_trait, reason = "nobody spawns it")]
pub trait Surroundings {
    /// Takes the cluster's lock for `what`, as far as an apiserver takes it. `looked`: the hosts as they were found, the first
    /// of them the one on which this runs; none where that is not known.
    ///
    /// # Errors
    /// When somebody else holds it.
    async fn lock(&self, looked: &[HostView], what: &str) -> Result<Locked, Error>;

    /// Looks at the members, the nodes and the pods of a cluster whose plan is done.
    async fn check(
        &self,
        hosts: &Hosts,
        looked: Option<&HostView>,
        least_revision: Option<u64>,
    ) -> Checked;
}

/// By its apiservers.
pub struct Apiservers<'a> {
    /// Where warnings go.
    pub notices: NoticeSink,
    /// What this run makes in the cluster.
    pub created: &'a Created,
    /// The connection flags.
    pub given: &'a ConnectionOptions,
    /// Whether the plan works on this host alone.
    pub this_node_only: bool,
}

impl Apiservers<'_> {
    /// The connection to use. On one host alone its own apiserver's, unless flags say otherwise: the one that a kubeconfig
    /// names may be another host's, which is still stopped.
    fn connection(&self, looked: Option<&HostView>) -> ConnectionOptions {
        let given = self.given;
        let own = looked.filter(|_| self.is_alone());
        let admin = || Some(PathBuf::from(ADMIN_CONF)).filter(|path| path.exists());
        let own = own
            .and_then(own_apiserver)
            .zip(given.kubeconfig.clone().or_else(admin));
        match own {
            None => given.clone(),
            Some((server, kubeconfig)) => ConnectionOptions {
                server: Some(server),
                kubeconfig: Some(kubeconfig),
                ..given.clone()
            },
        }
    }

    fn is_alone(&self) -> bool {
        self.this_node_only && !self.given.names_cluster()
    }
}

impl Surroundings for Apiservers<'_> {
    async fn lock(&self, looked: &[HostView], what: &str) -> Result<Locked, Error> {
        // Elsewhere apiservers go on while those of a host that is worked on alone are down.
        let alone = match self.is_alone() {
            true => looked,
            false => &[],
        };
        let connection = self.connection(looked.first());
        let taken = lock(&self.notices, self.created, &connection, alone, what);
        Box::pin(taken).await
    }

    async fn check(
        &self,
        hosts: &Hosts,
        looked: Option<&HostView>,
        least_revision: Option<u64>,
    ) -> Checked {
        let connection = self.connection(looked);
        Box::pin(check(hosts, &connection, least_revision)).await
    }
}
