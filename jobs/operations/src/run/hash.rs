//! What a member has up to a revision, as one number: reading only, to compare it with what another one has.

use crate::client::{EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::limits::HASH_LIMIT;
use crate::operation::HashKv;
use crate::report::HashReport;
use crate::target::Target;

/// After a linearizable read the member has all that was committed before it, compactions among it. A member that ends before
/// the revision all the same is hashed up to where it ends, and the report's revision tells that: there is no such revision.
pub(super) async fn hash_kv<A: EtcdApi>(
    api: &A,
    target: &Target,
    hash: &HashKv,
) -> Result<HashReport, A::Error> {
    // One that has just told its revision is asked for no more than the hash.
    if hash.has_it
        && let Some(url) = target.client_urls.first()
    {
        let endpoint = api.endpoint(url).await?;
        return endpoint.hash_kv(hash.revision, HASH_LIMIT).await;
    }
    let (endpoint, _) = api.own(target, OWN_LIMIT).await?;
    endpoint.linearizable_read(QUORUM_LIMIT).await?;
    let reached = endpoint.status(OWN_LIMIT).await?.revision;
    let revision = hash.revision.min(reached);
    endpoint.hash_kv(revision, HASH_LIMIT).await
}
