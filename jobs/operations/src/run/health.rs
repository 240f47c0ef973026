//! Health: a linearizable read through this member, and the alarms.

use std::time::{Duration, Instant};

use futures::join;

use crate::client::{CallError, EtcdApi, EtcdEndpoint, OWN_LIMIT};
use crate::failure::{Answer, Failure};
use crate::report::HealthReport;
use crate::target::Target;

pub(super) async fn health<A: EtcdApi>(
    api: &A,
    target: &Target,
    limit: Duration,
) -> Result<HealthReport, A::Error> {
    let begun = Instant::now();
    let (endpoint, own) = match api.own(target, limit.min(OWN_LIMIT)).await {
        Ok(found) => found,
        Err(error) if error.is_transport() => return Err(error),
        Err(error) => return Ok(not_asked(error.into())),
    };
    let left = limit.saturating_sub(begun.elapsed());
    let (read, alarms, list) = join!(
        endpoint.linearizable_read(left),
        endpoint.alarms(left),
        endpoint.members(left)
    );
    Ok(HealthReport {
        member_id: Some(own.member_id),
        read_us: read.map(micros).into(),
        alarms: alarms.into(),
        members: list.map(|list| list.members).unwrap_or_default(),
    })
}

/// The health of a member that could not even be asked for its id.
pub(super) fn not_asked(failure: Failure) -> HealthReport {
    HealthReport {
        member_id: None,
        read_us: Answer::Failed(failure.clone()),
        alarms: Answer::Failed(failure),
        members: Vec::new(),
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
