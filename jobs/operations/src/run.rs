//! Doing what an assignment says: one entry for the job's program and for the plugin on a control-plane node.

mod alarm;
mod defrag;
mod hash;
mod health;
mod kept;
mod members;
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
use crate::request::{Request, answer_to};
use crate::target::Target;
use crate::wire;
use crate::work::Events;

pub use scheduled::scheduled;

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
    let target = &assignment.target;
    let connector = Connector::load(target);
    // On the heap: the largest operation's state would be in the future of whoever calls this.
    let work = Box::pin(async {
        match &assignment.operation {
            // Evidence does not depend on certificates.
            Operation::Status => Ok(Report::Status(status::status(target, connector).await)),
            Operation::Members => members::members(target, &connector?).await,
            Operation::MemberAdd(add) => {
                let (name, urls) = (add.name.as_deref(), &add.peer_urls);
                members::add(target, &connector?, name, urls, add.learner).await
            }
            Operation::MemberRemove(remove) => {
                members::remove(target, &connector?, remove.member).await
            }
            Operation::MemberPromote(promote) => {
                let (member, wait_ms) = (promote.member, promote.wait_ms);
                members::promote(target, &connector?, member, wait_ms, events).await
            }
            Operation::MoveLeader(lead) => members::move_leader(target, &connector?, lead.to).await,
            Operation::Health(health) => {
                Ok(Box::pin(health::health(target, connector, health.timeout_ms)).await)
            }
            Operation::HashKv(hash) => hash::hash_kv(target, &connector?, hash.revision).await,
            Operation::AlarmList => alarm::list(target, &connector?).await,
            Operation::AlarmDisarm(disarm) => {
                alarm::disarm(target, &connector?, disarm.alarm, disarm.member).await
            }
            Operation::Defrag => defrag::defrag(target, &connector?, events).await,
            Operation::SnapshotSave(save) => {
                snapshot::save(target, &connector?, save, events).await
            }
            Operation::NodeFiles(files) => snapshot::node_files(target, files, events).await,
            Operation::SnapshotList(list) => kept::list(&list.folder),
            Operation::SnapshotVerify(verify) => {
                kept::verify(&verify.folder, &verify.name, events).await
            }
            Operation::SnapshotSend(send) => kept::send(&send.folder, &send.name),
            Operation::SnapshotDelete(delete) => kept::delete(&delete.folder, &delete.names),
            Operation::SnapshotPrune(prune) => {
                kept::prune(&prune.folder, &prune.rules, &prune.remove)
            }
            Operation::Usage(usage) => usage::usage(target, &connector?, usage.top, events).await,
        }
    });
    tokio::select! {
        result = work => result,
        () = cancel.cancelled() => Err(interrupted(assignment.operation.name())),
    }
}

/// Does one operation whose report has a type of its own.
///
/// # Errors
/// As [`run`].
pub(crate) async fn ask<R: Request<Wire = Operation>>(
    target: &Target,
    request: &R,
    events: &mut Events<'_>,
    cancel: &Cancel,
) -> Result<R::Answer, Failure> {
    let assignment = Assignment {
        version: wire::VERSION,
        operation: request.to_wire(),
        target: target.clone(),
    };
    answer_to::<R>(Box::pin(run(&assignment, events, cancel)).await?)
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
