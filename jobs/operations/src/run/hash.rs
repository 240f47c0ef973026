//! What a member has up to a revision, as one number: reading only, to compare it with what another one has.

use crate::client::{Connector, EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::Failure;
use crate::limits::HASH_LIMIT;
use crate::report::Report;
use crate::target::Target;

/// After a linearizable read the member has all that was committed before it, compactions among it. A member that ends before
/// the revision all the same is hashed up to where it ends, and the report's revision tells that: there is no such revision.
pub(super) async fn hash_kv(
    target: &Target,
    connector: &Connector,
    revision: i64,
) -> Result<Report, Failure> {
    let (endpoint, _) = connector.own(target, OWN_LIMIT).await?;
    endpoint.linearizable_read(QUORUM_LIMIT).await?;
    let reached = endpoint.status(OWN_LIMIT).await?.revision;
    let revision = revision.min(reached);
    let said = endpoint.hash_kv(revision, HASH_LIMIT).await?;
    Ok(Report::HashKv(said))
}
