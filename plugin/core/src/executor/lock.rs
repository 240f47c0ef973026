//! The cluster's lock while a plan is carried out, which keeps whoever works on other control-plane nodes apart as long as an apiserver
//! answers. Without one, only the plan's own hosts are locked.

use etcd_operations::plan::PlanKind;
use etcd_operations::plan::make::HostView;
use tokio::time::timeout;

use super::gather::apiservers_elsewhere;
use super::is_anew;
use crate::connection::ConnectionOptions;
use crate::connection::{ADMIN_CONF, Connection};
use crate::created::Created;
use crate::error::Error;
use crate::lease::{LeaseGuard, Refusal, hold};
use crate::limits;
use crate::outcome::NoticeSink;

/// Held while a plan is carried out; none where no apiserver took the lock.
#[must_use = "it is given back when it is dropped"]
pub struct Locked(Option<LeaseGuard>);

impl Locked {
    /// As where no apiserver takes it.
    #[cfg(any(test, feature = "testing"))]
    pub fn by_nobody() -> Self {
        Self(None)
    }

    /// Whether an apiserver has it.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Once the plan has begun on its hosts, which locks them: gives it back where a cluster is made anew. The Lease is of a
    /// state that is left, and nobody can do anything while nothing serves.
    pub async fn during(self, kind: PlanKind) -> Self {
        match self.0 {
            Some(guard) if is_anew(kind) => {
                guard.give_back().await;
                Self(None)
            }
            held => Self(held),
        }
    }
}

/// Takes the lock for what a plan does. `alone`: this host, where it is worked on alone: the apiservers of others are taken
/// before its own, which may go down.
///
/// # Errors
/// When somebody else holds it: who, what for, since when, and what lifts it.
pub async fn lock(
    notices: &NoticeSink,
    created: &Created,
    connection: &ConnectionOptions,
    alone: &[HostView],
    what: &str,
) -> Result<Locked, Error> {
    let others = apiservers_elsewhere(alone).await;
    let by = |server: String| ConnectionOptions {
        server: Some(server),
        kubeconfig: connection.kubeconfig.clone().or(Some(ADMIN_CONF.into())),
        ..connection.clone()
    };
    for way in others.into_iter().map(by).chain([connection.clone()]) {
        match timeout(
            limits::LEASE_OF_PLAN,
            by_apiserver(notices, created, &way, what),
        )
        .await
        {
            Ok(Ok(None)) => {}
            Ok(Ok(guard)) => return Ok(Locked(guard)),
            Ok(Err(error)) => return Err(error),
            Err(_) => tracing::debug!(server = way.server, "no lock in time"),
        }
    }
    Ok(Locked(None))
}

/// None: this apiserver does not take it. What the lock protects from needs an apiserver as well, or one of the plan's hosts.
async fn by_apiserver(
    notices: &NoticeSink,
    created: &Created,
    way: &ConnectionOptions,
    what: &str,
) -> Result<Option<LeaseGuard>, Error> {
    let connection = match Connection::prepare(way).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(error = error.chain(), "no lock");
            return Ok(None);
        }
    };
    created.bind(connection.control.clone(), connection.namespace.clone());
    match hold(&connection, created, notices.clone(), what).await {
        Ok(guard) => Ok(Some(guard)),
        Err(Refusal::Held(error)) => Err(error),
        Err(Refusal::Api(error)) => {
            tracing::debug!(%error, "no lock");
            Ok(None)
        }
    }
}
