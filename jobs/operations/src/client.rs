//! Talking to one etcd member: connecting with the node's certificates, every call under a time limit of our own.
//!
//! One client per endpoint, always: a client of several endpoints balances between them, and then nobody knows who
//! answered. The client library's own limits are not used: its connect timeout does not cover the TLS handshake (a
//! frozen server holds it for ever), and its request timeout would cut a defragmentation.

mod api;
mod causes;
mod convert;
pub mod etcdctl;
mod grpc;
mod probe;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, GetOptions, SnapshotStreaming};
use tokio::time::timeout;

use crate::failure::{Failure, FailureKind};
use crate::limits::PROBE_LIMIT;
pub use crate::limits::{OWN_LIMIT, QUORUM_LIMIT};
use crate::target::{Target, host};

pub use api::{CallError, EtcdApi, EtcdEndpoint, MemberChange};
pub use causes::{chain, failure_of};
pub(crate) use causes::{meaning, says_behind, says_not_connected};

/// Makes connections to the endpoints of one cluster with the certificates of one node.
#[derive(Debug, Clone)]
pub struct Connector {
    tls: Option<Arc<TlsMaterial>>,
}

/// Certificates as they are in their files, PEM.
struct TlsMaterial {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("TlsMaterial").finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the certificates a target names.
    ///
    /// # Errors
    /// [`FailureKind::Missing`] with the file that cannot be read.
    pub fn load(target: &Target) -> Result<Self, Failure> {
        let tls = target.tls.as_ref().map(|files| {
            Ok::<_, Failure>(Arc::new(TlsMaterial {
                ca: pem(&files.ca, "CA certificate")?,
                cert: pem(&files.cert, "client certificate")?,
                key: pem(&files.key, "client key")?,
            }))
        });
        Ok(Self {
            tls: tls.transpose()?,
        })
    }
}

/// One member's client address.
#[derive(Clone)]
pub struct Endpoint {
    url: String,
    client: Client,
    tls: Option<Arc<TlsMaterial>>,
}

impl Endpoint {
    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What this member has under a key, which may be out of date; needs no quorum.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::status`].
    pub async fn value(&self, key: &str, limit: Duration) -> Result<Option<Vec<u8>>, Failure> {
        let mut client = self.client.kv_client();
        let options = GetOptions::new().with_serializable();
        let mut answer = self
            .within(limit, Needs::Itself, client.get(key, Some(options)))
            .await?;
        let mut values = answer.take_kvs().into_iter();
        Ok(values.next().map(|pair| pair.into_key_value().1))
    }

    /// Begins a snapshot. Each of its messages has to be waited for with [`Endpoint::within`] as well.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::status`].
    pub async fn snapshot(&self, limit: Duration) -> Result<SnapshotStreaming, Failure> {
        let mut client = self.client.maintenance_client();
        self.within(limit, Needs::Itself, client.snapshot()).await
    }

    /// Waits for a call, at most so long, and turns what went wrong into a [`Failure`].
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        needs: Needs,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Failure> {
        match timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.understood(failure_of(&error, &self.url)).await),
            Err(_) => Err(needs.timed_out(&self.url, limit)),
        }
    }

    /// A server that refuses our certificate says so after the handshake of TLS 1.3, and then closes. Mostly the close
    /// is seen first, by who is writing just then. So it is asked again, by who only listens.
    async fn understood(&self, failure: Failure) -> Failure {
        let (Some(tls), true) = (&self.tls, causes::is_unclear(&failure)) else {
            return failure;
        };
        let (tls, url) = (Arc::clone(tls), self.url.clone());
        let probe = tokio::task::spawn_blocking(move || probe::refusal(&tls, &url));
        match timeout(PROBE_LIMIT, probe).await {
            Ok(Ok(Some(refusal))) => refusal,
            _ => failure,
        }
    }
}

/// What a call waits for: that decides what it means when it does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The member alone.
    Itself,
    /// A majority of the members.
    Quorum,
}

impl Needs {
    fn timed_out(self, url: &str, limit: Duration) -> Failure {
        let seconds = limit.as_secs_f64();
        match self {
            Self::Itself => {
                Failure::unreachable(format!("{url} did not answer within {seconds:.1} s"))
            }
            Self::Quorum => Failure::new(
                FailureKind::NoQuorum,
                format!(
                    "{url} did not get an answer from the cluster's majority within {seconds:.1} s"
                ),
            ),
        }
    }
}

fn pem(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let message = format!("could not read the {what} {}: {error}", path.display());
        Failure::missing(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_certificate_is_named() {
        let error = pem(Path::new("/none/ca.crt"), "CA certificate").unwrap_err();
        assert_eq!(error.kind, FailureKind::Missing);
        assert!(
            error
                .message
                .starts_with("could not read the CA certificate /none/ca.crt: No such file"),
            "{error}"
        );
    }
}
