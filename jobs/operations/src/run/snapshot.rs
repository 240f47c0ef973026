//! A snapshot of the node's own member, in a file on the node, that counts only when all of it was checked.
//!
//! What arrives goes to a thread of its own, which hashes and stores it, checks the tree, and gives the file its name
//! last. Until then it is `NAME.part`, locked; whatever stops this in the middle removes it, and a part that a killed
//! process left is overwritten by the next snapshot of that name. A reader may follow the part meanwhile
//! ([`crate::transfer::follow`]).

mod part;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Events;
use crate::client::{Connector, Endpoint, Needs, OWN_LIMIT};
use crate::failure::{Failure, FailureKind};
use crate::report::{EndpointStatus, Report, SnapshotReport};
use crate::target::Target;
use part::Part;
use store::{Checked, Piece, State};

/// How long etcd may be silent in the middle of a snapshot.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);

/// How often progress is told.
const STEP: Duration = Duration::from_millis(250);

/// How much is collected before it is handed on; messages are 32 KiB and less.
const PIECE_BYTES: usize = 512 << 10;

/// How many pieces may wait for the disk.
const PIECES: usize = 8;

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
    let checked = receive(&endpoint, part, events).await?;
    let report = report(&own, &path, checked, taken_at, begun.elapsed())?;
    if save.describe {
        part::describe(&path, &report)?;
    }
    Ok(Report::Snapshot(report))
}

/// The thread that stores, stopped when this is dropped.
struct Storing {
    thread: JoinHandle<Result<Checked, Failure>>,
    state: Arc<State>,
}

impl Drop for Storing {
    fn drop(&mut self) {
        // Not waited for: it sees this between two pieces and while it checks, and the file is removed right here.
        self.state.stop();
    }
}

async fn receive(
    endpoint: &Endpoint,
    part: Part,
    events: &mut Events<'_>,
) -> Result<Checked, Failure> {
    let (pieces, received) = mpsc::channel(PIECES);
    let state = Arc::new(State::new(part.removal()));
    let mut storing = Storing {
        thread: tokio::task::spawn_blocking({
            let state = Arc::clone(&state);
            move || store::store(part, received, &state)
        }),
        state,
    };
    let streamed = {
        let stream = stream(endpoint, pieces, &storing.state);
        let mut stream = std::pin::pin!(stream);
        loop {
            tokio::select! {
                result = &mut stream => break result,
                () = tokio::time::sleep(STEP) => events(storing.state.progress()),
            }
        }
    };
    if let Err(Streaming::Failed(failure)) = streamed {
        return Err(failure);
    }
    loop {
        tokio::select! {
            result = &mut storing.thread => break joined(result),
            () = tokio::time::sleep(STEP) => events(storing.state.progress()),
        }
    }
}

fn joined(
    result: Result<Result<Checked, Failure>, tokio::task::JoinError>,
) -> Result<Checked, Failure> {
    let gone = |error| {
        Failure::new(
            FailureKind::Other,
            format!("storing the snapshot ended: {error}"),
        )
    };
    result.map_err(gone)?
}

enum Streaming {
    /// etcd's side is in the way.
    Failed(Failure),
    /// The thread that stores has ended, and says why.
    StoreEnded,
}

impl From<Failure> for Streaming {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Hands on what etcd sends until it says that this was all.
async fn stream(
    endpoint: &Endpoint,
    pieces: mpsc::Sender<Piece>,
    state: &State,
) -> Result<(), Streaming> {
    let mut messages = endpoint.snapshot(MESSAGE_LIMIT).await?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut empty = 0;
    loop {
        let message = messages.message();
        let Some(message) = endpoint
            .within(MESSAGE_LIMIT, Needs::Itself, message)
            .await?
        else {
            break;
        };
        let (blob, remaining) = (message.blob(), message.remaining_bytes());
        state.expect(blob.len() as u64, remaining);
        // etcd ignores its own error when it cannot read a page, and goes on like this for ever (3.4 to 3.7).
        empty = if blob.is_empty() && remaining > 0 {
            empty + 1
        } else {
            0
        };
        if empty > 1 {
            let url = endpoint.url();
            let message =
                format!("{url} sends a snapshot without content: it cannot read its database");
            return Err(Failure::new(FailureKind::Corrupt, message).into());
        }
        piece.extend_from_slice(blob);
        if piece.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES));
            send(&pieces, Piece::Bytes(full)).await?;
        }
    }
    send(&pieces, Piece::Bytes(piece)).await?;
    send(&pieces, Piece::End).await
}

async fn send(pieces: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Streaming> {
    pieces.send(piece).await.map_err(|_| Streaming::StoreEnded)
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
    })
}
