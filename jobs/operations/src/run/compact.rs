//! Compaction of the history: the old revisions of all keys up to one revision are removed from every member.

use std::time::Instant;

use crate::client::{EtcdApi, EtcdEndpoint, OWN_LIMIT};
use crate::limits::COMPACT_LIMIT;
use crate::report::CompactReport;
use crate::target::Target;

/// The other members remove it at their own pace: only the one that is asked is waited for.
pub(super) async fn compact<A: EtcdApi>(
    api: &A,
    target: &Target,
    revision: i64,
) -> Result<CompactReport, A::Error> {
    let (endpoint, before) = api.own(target, OWN_LIMIT).await?;
    let begun = Instant::now();
    endpoint.compact(revision, COMPACT_LIMIT).await?;
    let took = begun.elapsed();
    // It is done, whatever comes now.
    let after = endpoint.status(OWN_LIMIT).await.ok();
    Ok(CompactReport {
        member_id: before.member_id,
        revision,
        in_use_before_bytes: before.db_in_use_bytes,
        in_use_after_bytes: after.and_then(|after| after.db_in_use_bytes),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}
