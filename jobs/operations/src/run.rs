//! Operations on an etcd: one entry for all of them.

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

use crate::client::Connector;
use crate::failure::Failure;
use crate::operation::Operation;
use crate::report::Report;
use crate::request::{Request, answer_to};
use crate::target::Target;
use crate::work::Events;

pub use scheduled::scheduled;

/// Does an operation. A failure of one part of a report is in the report; this fails when there is none.
///
/// Dropped, it ends at once and leaves nothing unfinished on the node. etcd itself does not stop a defragmentation it has
/// begun.
///
/// # Errors
/// What was in the way.
pub async fn run(
    operation: &Operation,
    target: &Target,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    let connector = Connector::load(target);
    // On the heap: the largest operation's state would be in the future of whoever calls this.
    Box::pin(async {
        match operation {
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
    })
    .await
}

/// Does one operation whose report has a type of its own.
///
/// # Errors
/// As [`run`].
async fn ask<R: Request<Wire = Operation>>(
    target: &Target,
    request: &R,
    events: &mut Events<'_>,
) -> Result<R::Answer, Failure> {
    answer_to::<R>(Box::pin(run(&request.to_wire(), target, events)).await?)
}
