//! The check of what arrives, on a thread of its own beside the transfer: what the node says of it counts only when it is so
//! by the bytes that came.

use std::fs::File;
use std::io::{self, Cursor, Read, Take};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::pack::unpack::{Arrived, Spool, UnpackError, arriving, arriving_in};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::spool::spool;

/// How much is collected before it is handed to the thread.
const PIECE: usize = 512 << 10;
/// How many of these may wait for it.
const PIECES: usize = 16;

/// What is handed to the thread.
enum Piece {
    Bytes(Vec<u8>),
    /// That was all. Without it the transfer came to nothing.
    End,
}

/// A check that goes on.
pub(super) struct Check {
    pieces: mpsc::Sender<Piece>,
    next: Vec<u8>,
    thread: Option<JoinHandle<Result<Arrived, UnpackError>>>,
    stopped: Arc<AtomicBool>,
}

/// What stands before the bytes that come: what an earlier run has stored of them.
pub(super) type Left = Take<File>;

impl Check {
    /// Of what comes next, which messages call by this name; `stored` is the file that has it already when it is handed
    /// over, where there is one.
    pub(super) fn begin(name: String, stored: Option<File>, left: Option<Left>) -> Self {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        let incoming = Incoming {
            left,
            pieces: receiver,
            piece: Cursor::default(),
            ended: false,
        };
        let work = move || check(&name, stored.as_ref(), incoming, &spool(), &seen);
        Self {
            pieces,
            next: Vec::with_capacity(PIECE),
            thread: Some(tokio::task::spawn_blocking(work)),
            stopped,
        }
    }

    /// Takes what comes next.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.next.extend_from_slice(bytes);
    }

    /// Hands over what was taken, when that is worth it.
    ///
    /// # Errors
    /// What is wrong with what came.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        match self.next.len() < PIECE {
            true => Ok(()),
            false => self.hand_over().await,
        }
    }

    async fn hand_over(&mut self) -> Result<(), Failure> {
        let full = std::mem::replace(&mut self.next, Vec::with_capacity(PIECE));
        match self.pieces.send(Piece::Bytes(full)).await {
            Ok(()) => Ok(()),
            // It has ended, and says why.
            Err(_) => self.joined().await.map(drop),
        }
    }

    /// All has come: what it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn end(mut self) -> Result<Arrived, Failure> {
        self.hand_over().await?;
        // Nobody there to take it: joining tells why.
        self.pieces.send(Piece::End).await.ok();
        self.joined().await
    }

    async fn joined(&mut self) -> Result<Arrived, Failure> {
        let gone = |what: String| Failure::other(format!("the check ended: {what}"));
        let Some(thread) = self.thread.take() else {
            return Err(gone("it was over already".to_owned()));
        };
        let ended = thread.await.map_err(|error| gone(error.to_string()))?;
        ended.map_err(Failure::from)
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn check(
    name: &str,
    stored: Option<&File>,
    incoming: Incoming,
    spool: &Spool,
    stopped: &AtomicBool,
) -> Result<Arrived, UnpackError> {
    match stored {
        Some(file) => arriving_in(file, incoming, name, spool, stopped),
        None => arriving(incoming, name, spool, stopped),
    }
}

/// The thread's side: all bytes, in order.
struct Incoming {
    left: Option<Left>,
    pieces: mpsc::Receiver<Piece>,
    piece: Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for Incoming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = &mut self.left {
            match left.read(buf)? {
                0 => self.left = None,
                read => return Ok(read),
            }
        }
        loop {
            let read = self.piece.read(buf)?;
            if read > 0 || self.ended || buf.is_empty() {
                return Ok(read);
            }
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.piece = Cursor::new(bytes),
                Some(Piece::End) => self.ended = true,
                None => {
                    let stopped = Failure::new(FailureKind::Interrupted, "the check was stopped");
                    return Err(io::Error::other(stopped));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: &[u8] = include_bytes!("../../../../tests/cmd/offline.in/small.snapshot");

    #[tokio::test]
    async fn what_comes_in_pieces_is_known_by_its_own_bytes() {
        let mut check = Check::begin("x".to_owned(), None, None);
        for piece in SNAPSHOT.chunks(777) {
            check.take(piece);
            check.settle().await.unwrap();
        }
        let arrived = check.end().await.unwrap();
        assert_eq!(arrived.input.size_bytes, SNAPSHOT.len() as u64);
        assert_eq!(arrived.input, arrived.snapshot);
        assert!(arrived.pages.unwrap().status.revision > 0);
    }

    #[tokio::test]
    async fn what_an_earlier_run_stored_is_read_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.part");
        std::fs::write(&path, SNAPSHOT).unwrap();
        let (stored, left) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        let mut check = Check::begin("x".to_owned(), Some(stored), Some(left.take(5_000)));
        check.take(&SNAPSHOT[5_000..]);
        let arrived = check.end().await.unwrap();
        assert_eq!(arrived.snapshot.size_bytes, SNAPSHOT.len() as u64);
    }

    #[tokio::test]
    async fn damage_is_told_as_soon_as_it_is_seen() {
        let mut check = Check::begin("x".to_owned(), None, None);
        let garbage = vec![7; PIECE];
        let failure = async {
            for _ in 0..100 {
                check.take(&garbage);
                check.settle().await?;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Ok(())
        };
        let failure: Failure = failure.await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Corrupt, "{failure}");
    }

    #[tokio::test]
    async fn what_is_cut_is_no_snapshot() {
        for cut in [0, 100, 5_000, SNAPSHOT.len() - 1] {
            let mut check = Check::begin("x".to_owned(), None, None);
            check.take(&SNAPSHOT[..cut]);
            let failure = check.end().await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Corrupt, "{cut}: {failure}");
        }
    }
}
