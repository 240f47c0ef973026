//! The thread that stores a snapshot: hash and write what comes, check the tree, name the file.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use etcd_datadir::source::FileSource;
use etcd_datadir::status::Status;
use etcd_datadir::stream::{Received, SnapshotChecker};
use etcd_datadir::verify::{Verdict, VerifyOptions, verify};
use tokio::sync::mpsc;

use super::part::{Part, Removal};
use crate::client::chain;
use crate::failure::{Failure, FailureKind};
use crate::wire::Progress;

/// What comes over from the connection.
pub(super) enum Piece {
    /// The next bytes.
    Bytes(Vec<u8>),
    /// That was all. Without it the connection broke.
    End,
}

/// A snapshot that is complete and checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) received: Received,
    pub(super) status: Status,
}

/// What both sides see: how far it is, and whether it shall stop.
#[derive(Debug)]
pub(super) struct State {
    removal: Removal,
    stopped: AtomicBool,
    step: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
}

const STEPS: [&str; 3] = ["saving", "checking", "flushing"];
const SAVING: u8 = 0;
const CHECKING: u8 = 1;
const FLUSHING: u8 = 2;

impl State {
    pub(super) fn new(removal: Removal) -> Self {
        Self {
            removal,
            stopped: AtomicBool::new(false),
            step: AtomicU8::new(SAVING),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Nobody wants it any more: the file goes at once, the thread when it notices.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.removal.remove();
    }

    /// Learns the size from the first message that tells it.
    pub(super) fn expect(&self, len: u64, remaining: u64) {
        // The trailer comes in a message of its own that the server's count leaves out; 32 bytes do not show.
        self.total
            .compare_exchange(0, len.saturating_add(remaining), Relaxed, Relaxed)
            .ok();
    }

    pub(super) fn progress(&self) -> Progress {
        let step = usize::from(self.step.load(Relaxed));
        Progress {
            step: STEPS.get(step).copied().unwrap_or_default().to_owned(),
            done_bytes: self.done.load(Relaxed),
            total_bytes: Some(self.total.load(Relaxed)).filter(|total| *total > 0),
        }
    }

    fn enter(&self, step: u8) {
        self.done.store(0, Relaxed);
        self.step.store(step, Relaxed);
    }

    fn check_stopped(&self) -> Result<(), Failure> {
        match self.stopped.load(Relaxed) {
            true => Err(Failure::new(
                FailureKind::Interrupted,
                "the snapshot was stopped",
            )),
            false => Ok(()),
        }
    }
}

pub(super) fn store(
    mut part: Part,
    mut pieces: mpsc::Receiver<Piece>,
    state: &State,
) -> Result<Checked, Failure> {
    let name = part.current_path().display().to_string();
    let mut checker = SnapshotChecker::new(&name);
    loop {
        match pieces.blocking_recv() {
            Some(Piece::Bytes(bytes)) => {
                state.check_stopped()?;
                checker.push(&bytes).map_err(|error| damaged(&error))?;
                part.write(&bytes)?;
                state.done.fetch_add(bytes.len() as u64, Relaxed);
            }
            Some(Piece::End) => break,
            None => {
                return Err(Failure::new(
                    FailureKind::Interrupted,
                    "the snapshot was stopped",
                ));
            }
        }
    }
    let received = checker.finish().map_err(|error| damaged(&error))?;
    let status = check(&part, state)?;
    state.enter(FLUSHING);
    state.check_stopped()?;
    part.complete()?;
    Ok(Checked { received, status })
}

/// Walks the tree and decodes every record. The sha256 was checked on the way in.
fn check(part: &Part, state: &State) -> Result<Status, Failure> {
    state.enter(CHECKING);
    let source = FileSource::open(part.current_path()).map_err(|error| damaged(&error))?;
    let options = VerifyOptions {
        sha256: false,
        ..VerifyOptions::default()
    };
    let mut on_progress = |progress: etcd_datadir::progress::Progress| {
        state.done.store(progress.done, Relaxed);
        match state.stopped.load(Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let found =
        verify(&source, &options, None, &mut on_progress).map_err(|error| damaged(&error))?;
    let first = found.findings.iter().find(|finding| finding.fatal);
    match (first, found.verdict, found.status) {
        (None, Verdict::Reliable | Verdict::NotFullyChecked, Some(status)) => Ok(status),
        (finding, ..) => {
            let what = finding.map_or_else(
                || "its pages cannot be read".to_owned(),
                |finding| finding.damage.to_string(),
            );
            let message = format!("etcd sent a snapshot of a damaged database: {what}");
            let hint = "take the snapshot from another member, and replace this one";
            Err(Failure::new(FailureKind::Corrupt, message).hint(hint))
        }
    }
}

fn damaged(error: &etcd_datadir::Error) -> Failure {
    let kind = match error {
        etcd_datadir::Error::Damaged { .. } => FailureKind::Corrupt,
        etcd_datadir::Error::Cancelled => FailureKind::Interrupted,
        _ => FailureKind::Other,
    };
    Failure::new(kind, chain(error))
}
