//! Doing what an assignment says: one entry for the job's program and for the plugin on a control-plane node.

mod alarm;
mod calls;
mod defrag;
mod hash;
mod health;
mod kept;
mod scheduled;
mod snapshot;
mod source;
mod status;
mod usage;

use tokio::sync::watch;

use crate::client::Connector;
use crate::failure::{Failure, FailureKind};
use crate::operation::{Assignment, Operation};
use crate::report::Report;
use crate::target::Target;
use crate::wire;
use crate::work::Events;

pub use calls::run_calls;
pub use scheduled::scheduled;
pub use status::peers;

/// Stops what holds the matching [`Cancel`]. Dropping it stops nothing.
#[derive(Debug)]
pub struct CancelHandle(watch::Sender<bool>);

/// Whether an operation shall stop: asked now and then, or waited for.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// A pair of which one side stops the other.
    pub fn new() -> (CancelHandle, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (CancelHandle(sender), Cancel(receiver))
    }

    /// One that nobody ever stops.
    pub fn never() -> Cancel {
        Self::new().1
    }

    /// Whether it shall stop.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it shall stop.
    pub async fn cancelled(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            // The handle is gone: nobody will ever stop this.
            std::future::pending::<()>().await;
        }
    }
}

impl CancelHandle {
    /// Stops it.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

/// Does what was assigned. A failure of one part of a report is in the report; this fails when there is none.
///
/// Stopped by `cancel` it ends at once with [`FailureKind::Interrupted`] and leaves nothing unfinished on the node.
/// etcd itself does not stop a defragmentation it has begun.
///
/// # Errors
/// What was in the way.
pub async fn run(
    assignment: &Assignment,
    events: &mut Events<'_>,
    cancel: &Cancel,
) -> Result<Report, Failure> {
    check_version("the assignment", assignment.version)?;
    if cancel.is_cancelled() {
        return Err(interrupted(assignment.operation.name()));
    }
    // On the heap: the largest operation's state would be in the future of whoever calls this.
    let work = Box::pin(operate(&assignment.operation, &assignment.target, events));
    tokio::select! {
        result = work => result,
        () = cancel.cancelled() => Err(interrupted(assignment.operation.name())),
    }
}

async fn operate(
    operation: &Operation,
    target: &Target,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    let connector = Connector::load(target);
    match operation {
        // Evidence does not depend on certificates.
        Operation::Status => Ok(Report::Status(status::status(target, connector).await)),
        Operation::Members
        | Operation::MemberAdd { .. }
        | Operation::MemberRemove { .. }
        | Operation::MemberPromote { .. }
        | Operation::MoveLeader { .. }
        | Operation::AlarmList
        | Operation::AlarmDisarm { .. }
        | Operation::Defrag => Box::pin(run_calls(&connector?, target, operation, events)).await,
        // That the certificates cannot be read is an answer as well.
        Operation::Health { .. } => match connector {
            Ok(connector) => Box::pin(run_calls(&connector, target, operation, events)).await,
            Err(failure) => Ok(Report::Health(health::not_asked(failure))),
        },
        Operation::HashKv { revision } => hash::hash_kv(target, &connector?, *revision).await,
        Operation::SnapshotSave {
            folder,
            name,
            packing,
            numbered,
            hold_seconds,
        } => {
            let save = snapshot::Save {
                folder,
                name,
                packing,
                numbered: *numbered,
                // A file that is fetched is described where it arrives.
                describe: *hold_seconds == 0,
            };
            snapshot::save(target, &connector?, &save, events).await
        }
        Operation::NodeFiles {
            folder,
            name,
            parts,
            ..
        } => snapshot::node_files(target, folder, name, parts, events).await,
        Operation::SnapshotList { folder } => kept::list(folder),
        Operation::SnapshotVerify { folder, name } => kept::verify(folder, name, events).await,
        Operation::SnapshotSend { folder, name, .. } => kept::send(folder, name),
        Operation::SnapshotDelete { folder, names } => kept::delete(folder, names),
        Operation::SnapshotPrune {
            folder,
            rules,
            remove,
        } => kept::prune(folder, rules, remove),
        Operation::Usage { top } => usage::usage(target, &connector?, *top, events).await,
    }
}

/// Refuses what another version wrote.
fn check_version(what: &str, theirs: u32) -> Result<(), Failure> {
    if theirs == wire::VERSION {
        return Ok(());
    }
    let ours = wire::VERSION;
    let message = format!("{what} is of version {theirs}, this program of {ours}");
    let hint = "use the plugin and the job image of one release";
    Err(Failure::new(FailureKind::Refused, message).hint(hint))
}

fn interrupted(what: &str) -> Failure {
    Failure::new(FailureKind::Interrupted, format!("{what} was stopped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_handle_that_is_dropped_stops_nothing() {
        let (handle, cancel) = Cancel::new();
        drop(handle);
        let waited =
            tokio::time::timeout(std::time::Duration::from_millis(20), cancel.cancelled()).await;
        assert!(waited.is_err() && !cancel.is_cancelled());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_cancel_reaches_those_who_wait_and_those_who_ask() {
        let (handle, cancel) = Cancel::new();
        handle.cancel();
        cancel.cancelled().await;
        assert!(cancel.clone().is_cancelled());
    }
}
