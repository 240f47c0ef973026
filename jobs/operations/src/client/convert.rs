//! From etcd's answers to our reports. Absent is not zero: what a version does not tell becomes `None`.

use std::time::Duration;

use etcd_client::{
    AlarmResponse, AlarmType, HashKvResponse, MemberListResponse, ResponseHeader, StatusResponse,
};

use crate::failure::Failure;
use crate::ids::{ClusterId, MemberId};
use crate::report::{
    Alarm, AlarmKind, Consistency, EndpointStatus, HashReport, Member, MemberList,
};

fn header<'r>(
    header: Option<&'r ResponseHeader>,
    what: &str,
) -> Result<&'r ResponseHeader, Failure> {
    let missing = || Failure::other(format!("etcd's {what} has no header"));
    header.ok_or_else(missing)
}

/// A size or quota: zero and less were not told.
fn told(bytes: i64) -> Option<u64> {
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

pub(super) fn status(
    answer: &StatusResponse,
    url: &str,
    took: Duration,
) -> Result<EndpointStatus, Failure> {
    let header = header(answer.header(), "status")?;
    let downgrade = answer.downgrade_info().filter(|info| info.enabled());
    Ok(EndpointStatus {
        endpoint: url.to_owned(),
        cluster_id: ClusterId(header.cluster_id()),
        member_id: MemberId(header.member_id()),
        version: answer.version().to_owned(),
        storage_version: text(answer.storage_version()),
        db_size_bytes: u64::try_from(answer.db_size()).unwrap_or(0),
        db_in_use_bytes: told(answer.raft_used_db_size()),
        quota_bytes: told(answer.db_size_quota()),
        leader: Some(MemberId(answer.leader())).filter(|leader| leader.0 != 0),
        is_learner: answer.is_learner(),
        raft_term: answer.raft_term(),
        raft_index: answer.raft_index(),
        raft_applied_index: answer.raft_applied_index(),
        revision: header.revision(),
        errors: answer.errors().to_vec(),
        downgrade_target: downgrade.and_then(|info| text(info.target_version())),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}

pub(super) fn hash(answer: &HashKvResponse, revision: i64) -> Result<HashReport, Failure> {
    let header = header(answer.header(), "hash")?;
    Ok(HashReport {
        cluster_id: ClusterId(header.cluster_id()),
        member_id: MemberId(header.member_id()),
        revision,
        hash: answer.hash(),
        // -1 when there was no compaction.
        compact_revision: Some(answer.compact_version()).filter(|compacted| *compacted > 0),
    })
}

pub(super) fn members(answer: &MemberListResponse) -> Result<MemberList, Failure> {
    let header = header(answer.header(), "list of members")?;
    Ok(MemberList {
        cluster_id: ClusterId(header.cluster_id()),
        answered_by: MemberId(header.member_id()),
        consistency: Consistency::Serializable,
        members: answer.members().iter().map(member).collect(),
    })
}

pub(super) fn member(member: &etcd_client::Member) -> Member {
    Member {
        id: MemberId(member.id()),
        name: member.name().to_owned(),
        peer_urls: member.peer_urls().to_vec(),
        client_urls: member.client_urls().to_vec(),
        is_learner: member.is_learner(),
    }
}

/// etcd 3.4 answers without a header.
pub(super) fn alarms(answer: &AlarmResponse) -> Vec<Alarm> {
    let alarms = answer.alarms().iter().map(|alarm| Alarm {
        member_id: MemberId(alarm.member_id()),
        alarm: match alarm.alarm() {
            AlarmType::Nospace => AlarmKind::NoSpace,
            AlarmType::Corrupt => AlarmKind::Corrupt,
            AlarmType::None => AlarmKind::Unknown,
        },
    });
    alarms.collect()
}
