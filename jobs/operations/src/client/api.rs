//! The calls to etcd that operations are made of. Two backends make them: gRPC on the node ([`super::Connector`]) and
//! etcdctl inside the etcd pod ([`super::etcdctl::Etcdctl`]).

use std::time::{Duration, Instant};

use crate::advice::Advice;
use crate::failure::{Failure, FailureKind};
use crate::ids::MemberId;
use crate::report::{Alarm, EndpointStatus, HashReport, Member, MemberList};
use crate::target::Target;

/// What a call fails with: etcd's own refusal, or what kept the call from etcd.
pub trait CallError: From<Failure> + Into<Failure> + Send {
    /// What sort of trouble it was.
    fn kind(&self) -> FailureKind;

    /// What happened.
    fn message(&self) -> &str;

    /// The same error, saying what would help.
    #[must_use]
    fn with_hint(self, hint: Advice) -> Self;

    /// Whether the call came to no etcd because what carries it failed. Further calls would fail as well.
    fn is_transport(&self) -> bool;
}

impl CallError for Failure {
    fn kind(&self) -> FailureKind {
        self.kind
    }

    fn message(&self) -> &str {
        &self.message
    }

    fn with_hint(self, hint: Advice) -> Self {
        self.hint(hint)
    }

    fn is_transport(&self) -> bool {
        false
    }
}

/// Reaches the members of one cluster.
pub trait EtcdApi: Sync {
    /// What its calls fail with.
    type Error: CallError;

    /// One member's client address.
    type Endpoint: EtcdEndpoint<Error = Self::Error>;

    /// How long to wait before a call is tried again.
    const PAUSE: Duration;

    /// Whether the files of the target's member are on this host.
    const SEES_FILES: bool;

    /// An endpoint. Nothing is sent yet: whether it answers shows the first call.
    ///
    /// # Errors
    /// When the URL or the certificates are not understood.
    fn endpoint(
        &self,
        url: &str,
    ) -> impl Future<Output = Result<Self::Endpoint, Self::Error>> + Send;

    /// The target's own member and what it says of itself: the first of its URLs that answers. All of them share one
    /// time limit, for what does not answer on one address rarely does on another; what is refused costs no time.
    ///
    /// # Errors
    /// What went wrong at the first URL.
    fn own(
        &self,
        target: &Target,
        limit: Duration,
    ) -> impl Future<Output = Result<(Self::Endpoint, EndpointStatus), Self::Error>> + Send {
        async move {
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
                    Err(error) if error.is_transport() => return Err(error),
                    Err(error) => first = first.or(Some(error)),
                }
            }
            let none = || Failure::missing("the target names no client URL");
            Err(first.unwrap_or_else(|| none().into()))
        }
    }
}

/// A change of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange<'a> {
    /// Adds one.
    Add {
        /// Where other members reach it.
        peer_urls: &'a [String],
        /// Whether it has no vote.
        learner: bool,
    },
    /// Removes one.
    Remove(MemberId),
    /// Gives a learner a vote.
    Promote(MemberId),
}

/// One member's client address. Every call has a time limit; when it runs out in a change, that may be done all the
/// same.
pub trait EtcdEndpoint: Send + Sync {
    /// What its calls fail with.
    type Error: CallError;

    /// What the member knows of itself; needs no quorum.
    ///
    /// # Errors
    /// When it does not answer in time, or not as etcd does.
    fn status(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<EndpointStatus, Self::Error>> + Send;

    /// The members as this member has them, which may be out of date; needs no quorum, unless the backend cannot ask
    /// for that.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::status`].
    fn members(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<MemberList, Self::Error>> + Send;

    /// The members as the quorum has them. Where the backend cannot ask for that, the list says so.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::linearizable_read`].
    fn agreed_members(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<MemberList, Self::Error>> + Send;

    /// A linearizable read through this member: how long it took. After it the member has applied everything that
    /// was committed when it began.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::status`]; [`FailureKind::NoQuorum`] when it runs out of time.
    fn linearizable_read(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<Duration, Self::Error>> + Send;

    /// The hash of everything this member has up to a revision, which it must have.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::status`].
    fn hash_kv(
        &self,
        revision: i64,
        limit: Duration,
    ) -> impl Future<Output = Result<HashReport, Self::Error>> + Send;

    /// The alarms raised; needs the quorum.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::linearizable_read`].
    fn alarms(
        &self,
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<Alarm>, Self::Error>> + Send;

    /// Disarms these alarms, out of all that are raised; needs the quorum.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::linearizable_read`]; [`FailureKind::Refused`] where the backend cannot tell them from others.
    fn disarm(
        &self,
        wanted: &[Alarm],
        raised: &[Alarm],
        limit: Duration,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Compacts the history up to a revision, and waits until the member has removed it; needs the quorum.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::linearizable_read`], and what etcd has against the revision.
    fn compact(
        &self,
        revision: i64,
        limit: Duration,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Defragments the member. Dropping the call does not stop etcd.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::status`].
    fn defragment(&self, limit: Duration) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Changes the members; needs the quorum. Gives all members then.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::linearizable_read`], and what etcd has against it.
    fn change_members(
        &self,
        change: MemberChange<'_>,
        limit: Duration,
    ) -> impl Future<Output = Result<Vec<Member>, Self::Error>> + Send;

    /// Has this member, which has to be the leader, hand the lead over, and waits until it is handed over.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::change_members`].
    fn move_leader(
        &self,
        to: MemberId,
        limit: Duration,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
