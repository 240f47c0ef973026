//! Talking to one etcd member: connecting with the node's certificates, every call under a time limit of our own.
//!
//! One client per endpoint, always: a client of several endpoints balances between them, and then nobody knows who
//! answered. The client library's own limits are not used: its connect timeout does not cover the TLS handshake (a
//! frozen server holds it for ever), and its request timeout would cut a defragmentation.

mod causes;
mod convert;
mod membership;
mod probe;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Certificate, Client, ConnectOptions, GetOptions,
    Identity, SnapshotStreaming, TlsOptions,
};
use tokio::time::timeout;

use crate::failure::{Failure, FailureKind};
use crate::limits::PROBE_LIMIT;
pub(crate) use crate::limits::{OWN_LIMIT, QUORUM_LIMIT};
use crate::report::{Alarm, AlarmKind, EndpointStatus, HashReport, MemberList};
use crate::target::{Target, host};

pub use causes::{chain, failure_of, meaning};

/// A key nobody has: a read of it does all the work of a linearizable read and carries nothing.
const NO_KEY: &str = "kubectl-etcd/no-such-key";

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

    /// An endpoint. Nothing is sent yet: whether it answers shows the first call.
    ///
    /// # Errors
    /// When the URL or the certificates are not understood.
    pub async fn endpoint(&self, url: &str) -> Result<Endpoint, Failure> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(OWN_LIMIT)
            .with_tcp_keepalive(Duration::from_secs(30));
        let mut tls = None;
        if let Some(authority) = url.strip_prefix("https://") {
            let material = self.tls.as_ref().ok_or_else(|| {
                let message =
                    format!("{url} speaks TLS, and this node's etcd names no certificates for it");
                Failure::new(FailureKind::Missing, message)
            })?;
            options = options.with_tls(
                TlsOptions::new()
                    .ca_certificate(Certificate::from_pem(&material.ca))
                    .identity(Identity::from_pem(&material.cert, &material.key))
                    .domain_name(host(authority)),
            );
            tls = Some(Arc::clone(material));
        }
        match Client::connect([url], Some(options)).await {
            Ok(client) => Ok(Endpoint {
                url: url.to_owned(),
                client,
                tls,
            }),
            Err(error) => Err(failure_of(&error, url)),
        }
    }

    /// The target's own member and what it says of itself: the first of its URLs that answers. All of them share one
    /// time limit, for what does not answer on one address rarely does on another; what is refused costs no time.
    ///
    /// # Errors
    /// What went wrong at the first URL.
    pub async fn own(
        &self,
        target: &Target,
        limit: Duration,
    ) -> Result<(Endpoint, EndpointStatus), Failure> {
        let deadline = Instant::now() + limit;
        let mut first = None;
        for url in &target.client_urls {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let endpoint = self.endpoint(url).await?;
            match endpoint.status(left).await {
                Ok(mut status) => {
                    // Before 3.6 only the flag knows.
                    status.quota_bytes = status.quota_bytes.or(target.quota_bytes);
                    return Ok((endpoint, status));
                }
                Err(failure) => first = first.or(Some(failure)),
            }
        }
        let none = || Failure::new(FailureKind::Missing, "the target names no client URL");
        Err(first.unwrap_or_else(none))
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

    /// What the member knows of itself; needs no quorum.
    ///
    /// # Errors
    /// When it does not answer in time, or not as etcd does.
    pub async fn status(&self, limit: Duration) -> Result<EndpointStatus, Failure> {
        let begun = Instant::now();
        let mut client = self.client.maintenance_client();
        let answer = self.within(limit, Needs::Itself, client.status()).await?;
        convert::status(&answer, &self.url, begun.elapsed())
    }

    /// The members as this member has them; needs no quorum, and may be out of date.
    ///
    /// # Errors
    /// As [`Endpoint::status`].
    pub async fn members(&self, limit: Duration) -> Result<MemberList, Failure> {
        let mut client = self.client.cluster_client();
        let answer = self
            .within(limit, Needs::Itself, client.member_list())
            .await?;
        convert::members(&answer)
    }

    /// A linearizable read through this member: how long it took. After it the member has applied everything that
    /// was committed when it began.
    ///
    /// # Errors
    /// As [`Endpoint::status`]; [`FailureKind::NoQuorum`] when it runs out of time.
    pub async fn linearizable_read(&self, limit: Duration) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let mut client = self.client.kv_client();
        let options = GetOptions::new().with_limit(1).with_keys_only();
        self.within(limit, Needs::Quorum, client.get(NO_KEY, Some(options)))
            .await?;
        Ok(begun.elapsed())
    }

    /// What this member has under a key, which may be out of date; needs no quorum.
    ///
    /// # Errors
    /// As [`Endpoint::status`].
    pub async fn value(&self, key: &str, limit: Duration) -> Result<Option<Vec<u8>>, Failure> {
        let mut client = self.client.kv_client();
        let options = GetOptions::new().with_serializable();
        let mut answer = self
            .within(limit, Needs::Itself, client.get(key, Some(options)))
            .await?;
        let mut values = answer.take_kvs().into_iter();
        Ok(values.next().map(|pair| pair.into_key_value().1))
    }

    /// The alarms raised; needs the quorum.
    ///
    /// # Errors
    /// As [`Endpoint::linearizable_read`].
    pub async fn alarms(&self, limit: Duration) -> Result<Vec<Alarm>, Failure> {
        let mut client = self.client.maintenance_client();
        let call = client.alarm(AlarmAction::Get, AlarmType::None, None);
        self.within(limit, Needs::Quorum, call)
            .await
            .map(|answer| convert::alarms(&answer))
    }

    /// Takes one alarm back; needs the quorum.
    ///
    /// # Errors
    /// As [`Endpoint::linearizable_read`]; [`FailureKind::Refused`] for a kind of alarm this version does not know.
    pub async fn disarm(&self, alarm: Alarm, limit: Duration) -> Result<(), Failure> {
        let kind = match alarm.alarm {
            AlarmKind::NoSpace => AlarmType::Nospace,
            AlarmKind::Corrupt => AlarmType::Corrupt,
            AlarmKind::Unknown => {
                let message = "the alarm is of a kind this version does not know";
                return Err(Failure::new(FailureKind::Refused, message));
            }
        };
        let mut client = self.client.maintenance_client();
        let mut options = AlarmOptions::new();
        options.with_member(alarm.member_id.0);
        let call = client.alarm(AlarmAction::Deactivate, kind, Some(options));
        self.within(limit, Needs::Quorum, call).await.map(|_| ())
    }

    /// Defragments the member. Dropping the call does not stop etcd.
    ///
    /// # Errors
    /// As [`Endpoint::status`].
    pub async fn defragment(&self, limit: Duration) -> Result<(), Failure> {
        let mut client = self.client.maintenance_client();
        self.within(limit, Needs::Itself, client.defragment())
            .await
            .map(|_| ())
    }

    /// The hash of everything this member has up to a revision, which it must have.
    ///
    /// # Errors
    /// As [`Endpoint::status`].
    pub async fn hash(&self, revision: i64, limit: Duration) -> Result<u32, Failure> {
        self.hash_kv(revision, limit).await.map(|said| said.hash)
    }

    /// The same, with who says it and how far that member is compacted.
    ///
    /// # Errors
    /// As [`Endpoint::status`].
    pub async fn hash_kv(&self, revision: i64, limit: Duration) -> Result<HashReport, Failure> {
        let mut client = self.client.maintenance_client();
        let call = client.hash_kv(revision);
        let answer = self.within(limit, Needs::Itself, call).await?;
        convert::hash(&answer, revision)
    }

    /// Begins a snapshot. Each of its messages has to be waited for with [`Endpoint::within`] as well.
    ///
    /// # Errors
    /// As [`Endpoint::status`].
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
            Self::Itself => Failure::new(
                FailureKind::Unreachable,
                format!("{url} did not answer within {seconds:.1} s"),
            ),
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
        Failure::new(FailureKind::Missing, message)
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
