//! What a session does for a command beside operations: it takes the lock, and removes leftovers.

use super::Session;
use crate::cleanup::{Cleaned, clean_up};
use crate::error::{Error, ErrorKind};
use crate::lease::{LeaseGuard, at_work, lock_cluster, lock_host};

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

    /// Removes leftovers: Jobs and Pods of runs that are over, and the carried program where no Job or CronJob refers to
    /// it. With `dry_run` it only says what it would remove.
    ///
    /// # Errors
    /// What the apiserver says; or that there is none.
    pub async fn cleanup(&self, dry_run: bool) -> Result<Cleaned, Error> {
        clean_up(&self.cluster()?.connection, dry_run).await
    }
}
