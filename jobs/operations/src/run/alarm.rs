//! Alarms: listing them, and taking back those that are raised.

use crate::client::{Connector, OWN_LIMIT, QUORUM_LIMIT};
use crate::failure::Failure;
use crate::ids::MemberId;
use crate::report::{AlarmKind, AlarmReport, Report};
use crate::target::Target;

pub(super) async fn list(target: &Target, connector: &Connector) -> Result<Report, Failure> {
    let (endpoint, own) = connector.own(target, OWN_LIMIT).await?;
    Ok(Report::AlarmList(AlarmReport {
        cluster_id: own.cluster_id,
        alarms: endpoint.alarms(QUORUM_LIMIT).await?,
        still_raised: Vec::new(),
    }))
}

/// Only what is raised is taken back, one by one: etcd answers a disarm of what is not raised as if it were done.
pub(super) async fn disarm(
    target: &Target,
    connector: &Connector,
    kind: AlarmKind,
    member: Option<MemberId>,
) -> Result<Report, Failure> {
    let (endpoint, own) = connector.own(target, OWN_LIMIT).await?;
    let mut alarms = endpoint.alarms(QUORUM_LIMIT).await?;
    alarms.retain(|alarm| {
        alarm.alarm == kind && member.is_none_or(|member| alarm.member_id == member)
    });
    for alarm in &alarms {
        endpoint.disarm(*alarm, QUORUM_LIMIT).await?;
    }
    let mut still_raised = Vec::new();
    if !alarms.is_empty() {
        let still = endpoint.alarms(QUORUM_LIMIT).await?;
        (still_raised, alarms) = alarms.iter().partition(|alarm| still.contains(alarm));
    }
    Ok(Report::AlarmDisarm(AlarmReport {
        cluster_id: own.cluster_id,
        alarms,
        still_raised,
    }))
}
