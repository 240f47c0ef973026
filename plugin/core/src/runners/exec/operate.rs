//! Each operation as calls of etcdctl.

use std::time::{Duration, Instant};

use etcd_operations::failure::{Answer, FailureKind};
use etcd_operations::ids::MemberId;
use etcd_operations::membership::NewMember;
use etcd_operations::operation::Operation;
use etcd_operations::report::{Alarm, AlarmKind, AlarmReport, DefragReport, HealthReport, Report};

use super::questions::{
    Asked, Shared, answered, listed_alarms, lists, own_members, own_status, peers, quorums_members,
    read, status_report, took_ms,
};
use super::{Etcdctl, etcdctl, membership, not_supported};
use crate::outcome::{RunError, RunErrorKind};

/// Any operation but status.
pub(super) async fn operate(
    etcdctl: &Etcdctl<'_>,
    operation: &Operation,
) -> Result<Report, RunError> {
    match operation {
        Operation::Status => {
            let own = own_status(etcdctl).await?;
            let Asked::Told(lists) = lists(etcdctl).await else {
                return Ok(status_report(own, Shared::not_asked(None), Vec::new()));
            };
            let asked: Vec<&str> = etcdctl
                .target
                .client_urls
                .iter()
                .map(String::as_str)
                .collect();
            let peers = peers(etcdctl, &lists, &asked).await;
            let shared = lists.with(own.ok().into_iter());
            Ok(status_report(own, shared, peers))
        }
        Operation::Members => members_report(etcdctl).await,
        Operation::MemberAdd(add) => {
            let new = NewMember {
                name: add.name.as_deref(),
                peer_urls: &add.peer_urls,
                learner: add.learner,
            };
            membership::add(etcdctl, new).await
        }
        Operation::MemberRemove(remove) => membership::remove(etcdctl, remove.member).await,
        Operation::MemberPromote(promote) => {
            let wait = Duration::from_millis(promote.wait_ms);
            membership::promote(etcdctl, promote.member, wait).await
        }
        Operation::MoveLeader(lead) => membership::move_leader(etcdctl, lead.to).await,
        Operation::Health { .. } => health_report(etcdctl).await,
        Operation::AlarmList => alarm_report(etcdctl).await.map(Report::AlarmList),
        Operation::AlarmDisarm(one) => disarm(etcdctl, one.alarm, one.member).await,
        Operation::Defrag => defrag(etcdctl).await,
        // Those that `supports` knows.
        _ => Err(not_supported(operation)),
    }
}

async fn members_report(etcdctl: &Etcdctl<'_>) -> Result<Report, RunError> {
    let failure = match quorums_members(etcdctl, etcdctl.limit).await? {
        Answer::Ok(list) => return Ok(Report::Members(list)),
        Answer::Failed(failure) => failure,
    };
    match own_members(etcdctl).await? {
        Some(Answer::Ok(list)) => Ok(Report::Members(list)),
        Some(Answer::Failed(failure)) => Err(failure.into()),
        None => Err(failure.into()),
    }
}

async fn health_report(etcdctl: &Etcdctl<'_>) -> Result<Report, RunError> {
    let read_us = etcdctl.call(&["endpoint", "health", "-w", "json"]);
    let alarms = listed_alarms(etcdctl);
    let list = quorums_members(etcdctl, etcdctl.limit);
    let (read_us, alarms, own, list) = futures::join!(read_us, alarms, own_status(etcdctl), list);
    // An unhealthy endpoint is exit code 1, with its line on standard output all the same.
    let printed = read_us?;
    let read_us = match (etcdctl::health(&printed.stdout), printed.failure) {
        (Err(_), Some(failure)) if printed.stdout.trim().is_empty() => Answer::Failed(failure),
        (told, _) => told.into(),
    };
    Ok(Report::Health(HealthReport {
        member_id: own.ok().and_then(|own| own.ok().map(|own| own.member_id)),
        read_us,
        alarms,
        members: match list {
            Ok(Answer::Ok(list)) => list.members,
            Ok(Answer::Failed(_)) | Err(_) => Vec::new(),
        },
    }))
}

async fn alarm_report(etcdctl: &Etcdctl<'_>) -> Result<AlarmReport, RunError> {
    let printed = etcdctl.call(&["alarm", "list", "-w", "json"]).await?;
    match read(printed, etcdctl::alarms) {
        Answer::Ok((Some(cluster_id), alarms)) => Ok(AlarmReport {
            cluster_id,
            alarms,
            still_raised: Vec::new(),
        }),
        Answer::Ok((None, alarms)) => {
            // etcd 3.4 leaves the header out.
            let own = own_status(etcdctl).await?;
            match own {
                Answer::Ok(own) => Ok(AlarmReport {
                    cluster_id: own.cluster_id,
                    alarms,
                    still_raised: Vec::new(),
                }),
                Answer::Failed(failure) => Err(failure.into()),
            }
        }
        Answer::Failed(failure) => Err(failure.into()),
    }
}

/// etcdctl takes all alarms back at once, so it is only used where these are the ones that are meant.
async fn disarm(
    etcdctl: &Etcdctl<'_>,
    alarm: AlarmKind,
    member: Option<MemberId>,
) -> Result<Report, RunError> {
    let before = alarm_report(etcdctl).await?;
    let meant = |raised: &&Alarm| {
        raised.alarm == alarm && member.is_none_or(|member| raised.member_id == member)
    };
    let wanted: Vec<_> = before.alarms.iter().filter(meant).copied().collect();
    if wanted.is_empty() {
        return Ok(Report::AlarmDisarm(AlarmReport {
            cluster_id: before.cluster_id,
            alarms: Vec::new(),
            still_raised: Vec::new(),
        }));
    }
    if wanted.len() != before.alarms.len() {
        return Err(RunError::new(
            RunErrorKind::OperationFailed(FailureKind::Refused),
            "through exec all alarms are taken back at once, and others are raised than the one that is meant",
        )
        .hint("do it through a Job, or on a control-plane node as root with --via local"));
    }
    if let Some(failure) = etcdctl
        .call(&["alarm", "disarm", "-w", "json"])
        .await?
        .failure
    {
        return Err(failure.into());
    }
    let after = alarm_report(etcdctl).await?;
    let (still_raised, alarms) = wanted
        .into_iter()
        .partition(|alarm| after.alarms.contains(alarm));
    Ok(Report::AlarmDisarm(AlarmReport {
        cluster_id: before.cluster_id,
        alarms,
        still_raised,
    }))
}

async fn defrag(etcdctl: &Etcdctl<'_>) -> Result<Report, RunError> {
    let before = answered(own_status(etcdctl).await?)?;
    let begun = Instant::now();
    if let Some(failure) = etcdctl.call(&["defrag"]).await?.failure {
        return Err(failure.into());
    }
    let took_ms = took_ms(begun);
    let after = answered(own_status(etcdctl).await?)?;
    Ok(Report::Defrag(DefragReport {
        member_id: before.member_id,
        before_bytes: before.db_size_bytes,
        after_bytes: after.db_size_bytes,
        took_ms,
    }))
}
