//! What a session does for a command beside operations: it takes the lock, reads the history, and removes leftovers.

use std::collections::BTreeSet;

use etcd_operations::logs::LogQuery;
use etcd_operations::operation::HashKv;
use jiff::SignedDuration;

use super::{Node, Session};
use crate::assess::same::MOST_BYTES;
use crate::cleanup::{Cleaned, clean_up, namespaces};
use crate::error::{Error, ErrorKind};
use crate::history::{History, history};
use crate::lease::{LeaseGuard, at_work, lock_cluster, lock_host};
use crate::logs::{NodeLog, of_nodes};

impl Session {
    /// Takes the lock for `what`, a fragment such as `defrag`.
    ///
    /// # Errors
    /// When somebody else holds it: who, what for, since when, and what lifts it.
    pub async fn lock(&self, what: &str) -> Result<LeaseGuard, Error> {
        match self.cluster() {
            Ok(cluster) => {
                let (connection, created) = (&cluster.connection, &cluster.created);
                lock_cluster(connection, created, what, self.notices()).await
            }
            Err(_) => lock_host(what),
        }
    }

    /// Why something was refused: members look ill while somebody else works on them, and then that is the reason.
    pub async fn refused_because(&self, refused: Error) -> Error {
        let Ok(cluster) = self.cluster() else {
            return refused;
        };
        if refused.kind != ErrorKind::Refused {
            return refused;
        }
        at_work(&cluster.connection).await.unwrap_or(refused)
    }

    /// What can still be read of the past, and how much of it is older than this.
    ///
    /// # Errors
    /// What the apiserver says; or that there is none.
    pub async fn history(&self, older_than: Option<SignedDuration>) -> Result<History, Error> {
        history(&self.cluster()?.connection, older_than).await
    }

    /// What the control plane's containers on these nodes logged, of all at once.
    ///
    /// # Errors
    /// What the apiserver says; or that there is none.
    pub async fn logs(&self, nodes: &[&Node], query: &LogQuery) -> Result<Vec<NodeLog>, Error> {
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        of_nodes(&self.cluster()?.connection, &names, query).await
    }

    /// Removes leftovers: Jobs and Pods of runs that are over, and the carried program where no Job or CronJob refers to
    /// it. With `dry_run` it only says what it would remove.
    ///
    /// # Errors
    /// What the apiserver says; or that there is none.
    pub async fn cleanup(&self, namespace: &str, dry_run: bool) -> Result<Cleaned, Error> {
        clean_up(&self.cluster()?.connection.control, namespace, dry_run).await
    }

    /// The namespaces in which there may be leftovers.
    ///
    /// # Errors
    /// What the apiserver says; or that there is none.
    pub async fn namespaces(&self) -> Result<BTreeSet<String>, Error> {
        namespaces(&self.cluster()?.connection.control).await
    }

    /// The oldest revision that a member with this revision and a database of so many bytes still has; none: it is not told in
    /// passing.
    pub async fn compacted_to(&self, node: &Node, revision: i64, bytes: u64) -> Option<i64> {
        let hash = HashKv {
            revision,
            has_it: true,
        };
        match bytes <= MOST_BYTES {
            true => {
                let said = self.ask(node, &hash).await.ok()?;
                Some(said.compact_revision.unwrap_or(1))
            }
            false => None,
        }
    }
}
