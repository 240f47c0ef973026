//! What is seen of a member's data, as evidence.

use super::cluster::{inspection, working_elsewhere};
use crate::look::{ColdEtcd, Fitness, LockState, Look, RefusalKind};

/// Evidence that the log is new and empty although the cluster has gone on: the disk was emptied while etcd ran, and the next start
/// made a new log.
pub(super) fn behind(look: &Look, looks: &[Look]) -> Option<String> {
    let read = inspection(look)?;
    let elsewhere = working_elsewhere(look, looks)?;
    let (own, theirs) = (
        read.wal_end?.index,
        elsewhere.live.status.raft_applied_index,
    );
    let is_empty = read.fitness == Fitness::Starts && own == 0 && theirs > 0;
    is_empty.then(|| {
        let name = &elsewhere.name;
        format!("its log is new and empty, and {name} has applied entries up to index {theirs}")
    })
}

/// Where the log ends.
pub(super) fn end_of_log(look: &Look) -> Option<String> {
    let index = inspection(look)?.wal_end?.index;
    Some(format!("its log ends at index {index}"))
}

/// What the data directory is, as evidence.
pub(super) fn data(cold: &ColdEtcd) -> Option<String> {
    let path = cold.data_dir.display();
    if !cold.exists {
        return Some(format!("{path} is not there"));
    }
    if let LockState::Held { by } = &cold.lock {
        return Some(match by {
            Some(holder) => {
                let program = holder.program.as_deref().unwrap_or("a process");
                format!("{program} (process {}) has the lock on {path}", holder.pid)
            }
            None => format!("somebody has the lock on {path}"),
        });
    }
    let read = cold.inspection.as_ref()?.ok()?;
    let what = match (read.fitness, &read.why) {
        (Fitness::Running, _) => "was changed while it was read".to_owned(),
        (Fitness::Empty, _) => "has no member in it".to_owned(),
        (Fitness::Starts, _) => "is whole as far as it was read: etcd starts from it".to_owned(),
        (Fitness::StartsWithLoss, _) => {
            format!(
                "can be started from, with a loss: {}",
                read.losses.join("; ")
            )
        }
        (Fitness::RestoreFrom, Some(why)) => {
            format!("{why}; a new cluster can be restored from its database")
        }
        (Fitness::BeyondUse, Some(why)) if read.refusal == Some(RefusalKind::NeverJoined) => {
            why.clone()
        }
        (Fitness::BeyondUse, Some(why)) => format!("{why}; nothing can be restored from it"),
        (Fitness::RestoreFrom | Fitness::BeyondUse, None) => "cannot be started from".to_owned(),
    };
    Some(format!("{path}: {what}"))
}
