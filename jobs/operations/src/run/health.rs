//! Health: a linearizable read through this member, and the alarms.

use std::time::{Duration, Instant};

use futures::join;

use crate::client::{Connector, OWN_LIMIT};
use crate::failure::{Answer, Failure};
use crate::report::{HealthReport, Report};
use crate::target::Target;

pub(super) async fn health(
    target: &Target,
    connector: Result<Connector, Failure>,
    timeout_ms: u64,
) -> Report {
    let begun = Instant::now();
    let limit = Duration::from_millis(timeout_ms);
    let own = match &connector {
        Ok(connector) => connector.own(target, limit.min(OWN_LIMIT)).await,
        Err(failure) => Err(failure.clone()),
    };
    Report::Health(match own {
        Ok((endpoint, own)) => {
            let left = limit.saturating_sub(begun.elapsed());
            let (read, alarms, list) = join!(
                endpoint.linearizable_read(left),
                endpoint.alarms(left),
                endpoint.members(left)
            );
            HealthReport {
                member_id: Some(own.member_id),
                read_us: read.map(micros).into(),
                alarms: alarms.into(),
                members: list.map(|list| list.members).unwrap_or_default(),
            }
        }
        Err(failure) => HealthReport {
            member_id: None,
            read_us: Answer::Failed(failure.clone()),
            alarms: Answer::Failed(failure),
            members: Vec::new(),
        },
    })
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
