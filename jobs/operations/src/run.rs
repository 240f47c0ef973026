//! Operations on an etcd: one entry for all of them.

mod alarm;
mod calls;
mod compact;
mod defrag;
mod hash;
mod health;
mod scheduled;
mod snapshot;
mod source;
mod status;
mod stored;
mod usage;

use crate::client::Connector;
use crate::failure::Failure;
use crate::operation::Operation;
use crate::report::Report;
use crate::request::{Request, answer_to};
use crate::target::Target;
use crate::work::Events;

pub use calls::run_calls;
pub use scheduled::scheduled;
pub use status::peers;

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
    // On the heap: the largest operation's state would be in the future of whoever calls this.
    Box::pin(operate(operation, target, events)).await
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
        // That the certificates cannot be read is an answer as well.
        Operation::Health { .. } => match connector {
            Ok(connector) => Box::pin(run_calls(&connector, target, operation, events)).await,
            Err(failure) => Ok(Report::Health(health::not_asked(failure))),
        },
        Operation::SnapshotSave(save) => snapshot::save(target, &connector?, save, events).await,
        Operation::NodeFiles(files) => snapshot::node_files(target, files, events).await,
        Operation::SnapshotList(list) => stored::list(&list.folder),
        Operation::SnapshotVerify(verify) => {
            stored::verify(&verify.folder, &verify.name, events).await
        }
        Operation::SnapshotSend(send) => stored::send(&send.folder, &send.name),
        Operation::SnapshotDelete(delete) => stored::delete(&delete.folder, &delete.names),
        Operation::SnapshotPrune(prune) => {
            stored::prune(&prune.folder, &prune.rules, &prune.remove)
        }
        Operation::Usage(usage) => usage::usage(target, &connector?, usage.top, events).await,
        calls => Box::pin(run_calls(&connector?, target, calls, events)).await,
    }
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
