//! Where operations run: a Job or a bare Pod on the node, etcdctl inside the etcd pod, this host, or
//! a host over ssh.

pub(crate) mod exec;
pub mod host;
pub(crate) mod launch;
pub mod local;
pub(crate) mod mounts;
pub mod output;
pub(crate) mod payload;
pub(crate) mod podspec;
pub mod program;
pub mod trouble;
pub(crate) mod watching;

use std::time::Duration;

use etcd_operations::operation::Operation;

use crate::outcome::{RunError, RunErrorKind};
use crate::via::Via;

/// How long after its operation's own limit the cluster ends what is left of a run.
const DEADLINE_AFTER: Duration = Duration::from_secs(60);

/// How long an operation may take on a node, unless the user says otherwise.
pub fn limit(operation: &Operation, wanted: Option<Duration>) -> Duration {
    const MINUTE: Duration = Duration::from_secs(60);
    let usual = match operation {
        Operation::Status => Duration::from_secs(9),
        Operation::Members | Operation::AlarmList => Duration::from_secs(15),
        Operation::AlarmDisarm { .. } => Duration::from_secs(20),
        // It may wait for all members to be connected.
        Operation::MemberAdd { .. } | Operation::MemberRemove { .. } => Duration::from_secs(40),
        Operation::MoveLeader { .. } => Duration::from_secs(25),
        Operation::MemberPromote(promote) => {
            Duration::from_millis(promote.wait_ms) + Duration::from_secs(30)
        }
        // Hashing alone has two minutes.
        Operation::HashKv { .. } => Duration::from_secs(140),
        Operation::SnapshotList { .. } => Duration::from_secs(15),
        Operation::SnapshotDelete { .. } | Operation::SnapshotPrune { .. } => MINUTE,
        // Some hundred KiB: a disk that hangs must not keep the others' waiting.
        Operation::NodeFiles { .. } => 2 * MINUTE,
        Operation::Health(health) => {
            Duration::from_millis(health.timeout_ms) + Duration::from_secs(8)
        }
        // The job itself gives a large database on a slow disk up to 45 minutes.
        Operation::Defrag
        | Operation::SnapshotSave { .. }
        | Operation::SnapshotVerify { .. }
        | Operation::SnapshotSend { .. }
        | Operation::Usage { .. } => 60 * MINUTE,
    };
    wanted.filter(|wanted| !wanted.is_zero()).unwrap_or(usual)
}

/// After how long the cluster itself ends a run, whatever became of the plugin.
pub(crate) fn deadline(operation: &Operation, limit: Duration) -> Duration {
    limit + Duration::from_secs(operation.hold_seconds()) + DEADLINE_AFTER
}

/// The runner that may succeed where this one failed for this reason.
pub fn successor(via: Via, error: &RunError, operation: &Operation) -> Option<Via> {
    let exec = || exec::supports(operation).then_some(Via::Exec);
    match (via, error.kind) {
        (Via::Job, RunErrorKind::NoController) => Some(Via::Pod),
        (
            Via::Job | Via::Pod,
            RunErrorKind::WritesRefused
            | RunErrorKind::ImageMissing
            | RunErrorKind::PodNotStarted
            | RunErrorKind::AdmissionRefused
            | RunErrorKind::QuotaExceeded
            | RunErrorKind::NoRights
            | RunErrorKind::OtherVersion,
        ) => exec(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::operation::Usage;

    use super::*;

    fn after(via: Via, kind: RunErrorKind, operation: &Operation) -> Option<Via> {
        successor(via, &RunError::new(kind, ""), operation)
    }

    #[test]
    fn another_runner_takes_over_only_where_it_can_help() {
        let status = Operation::Status;
        assert_eq!(
            after(Via::Job, RunErrorKind::NoController, &status),
            Some(Via::Pod)
        );
        assert_eq!(
            after(Via::Job, RunErrorKind::WritesRefused, &status),
            Some(Via::Exec)
        );
        assert_eq!(
            after(Via::Pod, RunErrorKind::AdmissionRefused, &status),
            Some(Via::Exec)
        );
        assert_eq!(
            after(Via::Job, RunErrorKind::NodeDown, &status),
            None,
            "exec needs the same kubelet"
        );
        assert_eq!(after(Via::Exec, RunErrorKind::NoRights, &status), None);
        let usage = Operation::Usage(Usage { top: 10 });
        assert_eq!(
            after(Via::Job, RunErrorKind::WritesRefused, &usage),
            None,
            "etcdctl cannot do it"
        );
        assert_eq!(
            after(Via::Job, RunErrorKind::NoController, &usage),
            Some(Via::Pod)
        );
    }
}
