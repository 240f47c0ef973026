//! Alarms: listing them, and taking back those that are raised.

use crate::client::{Connector, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::Failure;
use crate::ids::MemberId;
use crate::report::{AlarmKind, Report};
use crate::target::Target;

pub(super) async fn list(target: &Target, connector: &Connector) -> Result<Report, Failure> {
    let (endpoint, _) = connector.own(target, OWN_LIMIT).await?;
    Ok(Report::AlarmList(endpoint.alarms(QUORUM_LIMIT).await?))
}

/// Only what is raised is taken back, one by one: etcd answers a disarm of what is not raised as if it were done.
pub(super) async fn disarm(
    target: &Target,
    connector: &Connector,
    kind: AlarmKind,
    member: Option<MemberId>,
) -> Result<Report, Failure> {
    let (endpoint, _) = connector.own(target, OWN_LIMIT).await?;
    let mut report = endpoint.alarms(QUORUM_LIMIT).await?;
    report.alarms.retain(|alarm| {
        alarm.alarm == kind && member.is_none_or(|member| alarm.member_id == member)
    });
    if report.alarms.is_empty() {
        return Ok(Report::AlarmDisarm(report));
    }
    for alarm in &report.alarms {
        endpoint.disarm(*alarm, QUORUM_LIMIT).await?;
    }
    let still = endpoint.alarms(QUORUM_LIMIT).await?.alarms;
    report.alarms.retain(|alarm| !still.contains(alarm));
    Ok(Report::AlarmDisarm(report))
}
