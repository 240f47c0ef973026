//! Alarms: listing them, and disarming those that are raised.

use crate::client::{EtcdApi, EtcdEndpoint, OWN_LIMIT, QUORUM_LIMIT};
use crate::ids::MemberId;
use crate::report::{AlarmKind, AlarmReport};
use crate::target::Target;

pub(super) async fn list<A: EtcdApi>(api: &A, target: &Target) -> Result<AlarmReport, A::Error> {
    let (endpoint, own) = api.own(target, OWN_LIMIT).await?;
    Ok(AlarmReport {
        cluster_id: own.cluster_id,
        alarms: endpoint.alarms(QUORUM_LIMIT).await?,
        still_raised: Vec::new(),
    })
}

/// Only raised alarms are disarmed: etcd answers a disarm of what is not raised as if it were done.
pub(super) async fn disarm<A: EtcdApi>(
    api: &A,
    target: &Target,
    kind: AlarmKind,
    member: Option<MemberId>,
) -> Result<AlarmReport, A::Error> {
    let (endpoint, own) = api.own(target, OWN_LIMIT).await?;
    let raised = endpoint.alarms(QUORUM_LIMIT).await?;
    let mut alarms = raised.clone();
    alarms.retain(|alarm| {
        alarm.alarm == kind && member.is_none_or(|member| alarm.member_id == member)
    });
    let mut still_raised = Vec::new();
    if !alarms.is_empty() {
        endpoint.disarm(&alarms, &raised, QUORUM_LIMIT).await?;
        let still = endpoint.alarms(QUORUM_LIMIT).await?;
        (still_raised, alarms) = alarms.iter().partition(|alarm| still.contains(alarm));
    }
    Ok(AlarmReport {
        cluster_id: own.cluster_id,
        alarms,
        still_raised,
    })
}
