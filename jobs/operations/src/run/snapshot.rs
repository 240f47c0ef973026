//! A snapshot of the node's own member, in a file on the node, that counts only when all of it was checked.
//!
//! What arrives goes to a thread of its own, which hashes and stores it, checks the tree, and gives the file its name
//! last. Until then it is `NAME.part`, locked; whatever stops this in the middle removes it, and a part that a killed
//! process left is overwritten by the next snapshot of that name. A reader may follow the part meanwhile
//! ([`crate::transfer::follow`]).

mod part;
mod store;

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Events;
use super::stream::receive;
use crate::client::{Connector, OWN_LIMIT};
use crate::failure::{Failure, FailureKind};
use crate::kept::description::Description;
use crate::kept::files::Replace;
use crate::report::{EndpointStatus, Report, SavedSnapshot, SnapshotReport};
use crate::target::Target;
use part::Part;
use store::Checked;

/// What is to be saved where.
pub(super) struct Save<'s> {
    /// The folder; made 0700 when missing.
    pub(super) folder: &'s Path,
    /// The file's name in it.
    pub(super) name: &'s str,
    /// Whether the report is stored beside it.
    pub(super) describe: bool,
}

pub(super) async fn save(
    target: &Target,
    connector: &Connector,
    save: &Save<'_>,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    let (endpoint, own) = connector.own(target, OWN_LIMIT).await?;
    let begun = Instant::now();
    let taken_at = Timestamp::now();
    let part = Part::create(save.folder, save.name, own.db_size_bytes)?;
    let path = part.path().to_owned();
    // The thread that has the part may need a moment to see that it shall stop, and this process may end before.
    let _removed = part.removal();
    let store = move |pieces, flow: &_| store::store(part, pieces, flow);
    let checked = receive(&endpoint, "saving", events, store).await?;
    let report = report(&own, &path, checked, taken_at, begun.elapsed())?;
    if save.describe {
        let description = Description::new(&report, &path);
        description
            .store(&path, Replace::Nothing)
            .map_err(|failure| {
                let message = format!("the snapshot {} is complete, but {failure}", path.display());
                Failure { message, ..failure }
            })?;
    }
    Ok(Report::Snapshot(SavedSnapshot {
        snapshot: report,
        contents: None,
    }))
}

fn report(
    own: &EndpointStatus,
    path: &Path,
    checked: Checked,
    taken_at: Timestamp,
    took: Duration,
) -> Result<SnapshotReport, Failure> {
    let revision = i64::try_from(checked.status.revision).map_err(|_| {
        let message = format!("the snapshot's revision is {}", checked.status.revision);
        Failure::new(FailureKind::Corrupt, message)
    })?;
    let storage_version = Some(checked.status.version).filter(|version| !version.is_empty());
    Ok(SnapshotReport {
        path: path.to_owned(),
        size_bytes: checked.received.size,
        sha256: checked.received.file_sha256,
        cluster_id: own.cluster_id,
        member_id: own.member_id,
        revision,
        raft_term: own.raft_term,
        etcd_version: own.version.clone(),
        storage_version,
        hash: checked.status.hash,
        total_keys: checked.status.total_keys_live,
        taken_at,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        packed: None,
    })
}
