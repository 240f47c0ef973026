//! A snapshot as it comes from etcd, handed to a thread that works on it; progress and stopping in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::Events;
use crate::client::{Endpoint, Needs};
use crate::failure::{Failure, FailureKind};
use crate::wire::Progress;

/// How long etcd may be silent in the middle of a snapshot.
const MESSAGE_LIMIT: Duration = Duration::from_secs(30);

/// How often progress is told.
const STEP: Duration = Duration::from_millis(250);

/// How much is collected before it is handed on; messages are 32 KiB and less.
const PIECE_BYTES: usize = 512 << 10;

/// How many pieces may wait for the thread.
const PIECES: usize = 8;

/// What the thread and its owner both see: how far it is, and whether it shall stop.
#[derive(Debug)]
pub(super) struct Flow {
    stopped: AtomicBool,
    step: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Flow {
    fn new(step: &'static str) -> Self {
        Self {
            stopped: AtomicBool::new(false),
            step: Mutex::new(step),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Another kind of work begins, over as many bytes.
    pub(super) fn enter(&self, step: &'static str) {
        self.done.store(0, Relaxed);
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// So many bytes of the step are done.
    pub(super) fn reached(&self, bytes: u64) {
        self.done.store(bytes, Relaxed);
    }

    /// Whether nobody wants the result any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// The failure of who is stopped.
    pub(super) fn check_stopped(&self) -> Result<(), Failure> {
        if self.is_stopped() {
            Err(stopped())
        } else {
            Ok(())
        }
    }

    fn progress(&self) -> Progress {
        let step = *self.step.lock().unwrap_or_else(PoisonError::into_inner);
        Progress {
            step: step.to_owned(),
            done_bytes: self.done.load(Relaxed),
            total_bytes: Some(self.total.load(Relaxed)).filter(|total| *total > 0),
        }
    }
}

fn stopped() -> Failure {
    Failure::new(FailureKind::Interrupted, "the snapshot was stopped")
}

/// What comes over from the connection.
enum Piece {
    Bytes(Vec<u8>),
    /// That was all. Without it the connection broke.
    End,
}

/// The thread's side: the bytes of the snapshot, in order.
pub(super) struct Pieces(mpsc::Receiver<Piece>);

impl Pieces {
    /// The next bytes; none after the last ones.
    ///
    /// # Errors
    /// [`FailureKind::Interrupted`] when there was no last one.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self.0.blocking_recv() {
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Piece::End) => Ok(None),
            None => Err(stopped()),
        }
    }
}

/// A thread that is told to stop when nobody waits for it any more. It sees that between two pieces.
struct Working<T> {
    thread: JoinHandle<Result<T, Failure>>,
    flow: Arc<Flow>,
}

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        self.flow.stopped.store(true, Relaxed);
    }
}

/// Takes a snapshot and gives it to `work` on a thread of its own. `step` is what that is called at its beginning.
///
/// # Errors
/// What etcd, the connection or `work` says.
pub(super) async fn receive<T: Send + 'static>(
    endpoint: &Endpoint,
    step: &'static str,
    events: &mut Events<'_>,
    work: impl FnOnce(Pieces, &Flow) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let flow = Arc::new(Flow::new(step));
    let mut working = Working {
        thread: tokio::task::spawn_blocking({
            let flow = Arc::clone(&flow);
            move || work(Pieces(receiver), &flow)
        }),
        flow,
    };
    let mut stream = std::pin::pin!(stream(endpoint, sender, &working.flow));
    let mut streaming = true;
    // The thread may end first: the disk is full, or it has seen that this is no snapshot.
    loop {
        tokio::select! {
            result = &mut stream, if streaming => {
                streaming = false;
                if let Err(Streaming::Failed(failure)) = result {
                    return Err(failure);
                }
            }
            result = &mut working.thread => return joined(result),
            () = tokio::time::sleep(STEP) => events(working.flow.progress()),
        }
    }
}

fn joined<T>(result: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    let gone = |error| {
        Failure::new(
            FailureKind::Other,
            format!("work on the snapshot ended: {error}"),
        )
    };
    result.map_err(gone)?
}

enum Streaming {
    /// etcd's side is in the way.
    Failed(Failure),
    /// The thread has ended, and says why.
    WorkEnded,
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
    flow: &Flow,
) -> Result<(), Streaming> {
    let mut messages = endpoint.snapshot(MESSAGE_LIMIT).await?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let (mut empty, mut first) = (0, true);
    loop {
        let message = endpoint
            .within(MESSAGE_LIMIT, Needs::Itself, messages.message())
            .await?;
        let Some(message) = message else {
            break;
        };
        let (blob, remaining) = (message.blob(), message.remaining_bytes());
        // The first message tells the size. (The trailer's 32 bytes are not in it, and do not show.)
        let total = remaining.saturating_add(blob.len() as u64);
        flow.total.compare_exchange(0, total, Relaxed, Relaxed).ok();
        // etcd ignores its own error when it cannot read a page, and goes on like this for ever (3.4 to 3.7).
        empty = if blob.is_empty() && remaining > 0 {
            empty + 1
        } else {
            0
        };
        if empty > 1 {
            return Err(unreadable(endpoint).into());
        }
        piece.extend_from_slice(blob);
        // The first one at once: it shows whether this is a database at all.
        if piece.len() >= PIECE_BYTES || std::mem::take(&mut first) {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES));
            send(&pieces, Piece::Bytes(full)).await?;
        }
    }
    send(&pieces, Piece::Bytes(piece)).await?;
    send(&pieces, Piece::End).await
}

fn unreadable(endpoint: &Endpoint) -> Failure {
    let url = endpoint.url();
    let message = format!("{url} sends a snapshot without content: it cannot read its database");
    Failure::new(FailureKind::Corrupt, message)
}

async fn send(pieces: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Streaming> {
    pieces.send(piece).await.map_err(|_| Streaming::WorkEnded)
}
