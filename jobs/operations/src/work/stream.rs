//! A snapshot as it comes from etcd, handed to a thread that works on it; progress and stopping in between.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Events, Flow, stopped, work as work_on_thread};
use crate::client::{Endpoint, Needs};
use crate::failure::Failure;
use crate::limits::MESSAGE_LIMIT;

/// How much is collected before it is handed on; messages are 32 KiB and less.
const PIECE_BYTES: usize = 512 << 10;

/// How many pieces may wait for the thread.
const PIECES: usize = 8;

/// What comes over from the connection.
enum Piece {
    Bytes(Vec<u8>),
    /// That was all. Without it the connection broke.
    End,
}

/// The thread's side: the bytes of the snapshot, in order.
pub(crate) struct Pieces(mpsc::Receiver<Piece>);

impl Pieces {
    /// The next bytes; none after the last ones.
    ///
    /// # Errors
    /// `FailureKind::Interrupted` when there was no last one.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        match self.0.blocking_recv() {
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Piece::End) => Ok(None),
            None => Err(stopped()),
        }
    }
}

/// Takes a snapshot and gives it to `work` on a thread of its own. `step` is what that is called at its beginning.
///
/// # Errors
/// What etcd, the connection or `work` says.
pub(crate) async fn receive<T: Send + 'static>(
    endpoint: &Endpoint,
    step: &'static str,
    events: &mut Events<'_>,
    work: impl FnOnce(Pieces, &Flow) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let flow = Arc::new(Flow::new(step));
    let mut stream = std::pin::pin!(stream(endpoint, sender, &flow));
    let job = move |flow: &Flow| work(Pieces(receiver), flow);
    let mut working = std::pin::pin!(work_on_thread(Arc::clone(&flow), events, job));
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
            result = &mut working => return result,
        }
    }
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
        flow.of(total);
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
    Failure::corrupt(message)
}

async fn send(pieces: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Streaming> {
    pieces.send(piece).await.map_err(|_| Streaming::WorkEnded)
}
