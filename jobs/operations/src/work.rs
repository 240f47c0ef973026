//! Work on files: on a thread of its own, with progress, told to stop when nobody waits for it any more.

pub(crate) mod stream;

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_datadir::source::FileSource;
use etcd_datadir::verify::{Verification, VerifyOptions, verify};
use tokio::task::{JoinError, JoinHandle};

use crate::client::chain;
use crate::failure::{Failure, FailureKind};
use crate::transfer::{Whole, read_whole};
use serde::{Deserialize, Serialize};

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What is being done, such as `saving` or `checking`.
    pub step: String,
    /// Bytes done.
    #[serde(default)]
    pub done_bytes: u64,
    /// Bytes in all, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
}

/// What happens on the way is told here, at most a few times a second.
pub type Events<'e> = dyn FnMut(Progress) + Send + 'e;

/// How often progress is told.
const STEP: Duration = Duration::from_millis(250);

/// What the thread and its owner both see: how far it is, and whether it shall stop.
#[derive(Debug)]
pub(crate) struct Flow {
    stopped: AtomicBool,
    step: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Flow {
    /// Work that begins with this step.
    pub(crate) fn new(step: &'static str) -> Self {
        Self {
            stopped: AtomicBool::new(false),
            step: Mutex::new(step),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Each step is over so many bytes. What was said first counts.
    pub(crate) fn of(&self, bytes: u64) {
        self.total.compare_exchange(0, bytes, Relaxed, Relaxed).ok();
    }

    /// Another kind of work begins, over as many bytes.
    pub(crate) fn enter(&self, step: &'static str) {
        self.done.store(0, Relaxed);
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// Another kind of work begins, over other bytes.
    pub(crate) fn begin(&self, step: &'static str) {
        self.total.store(0, Relaxed);
        self.enter(step);
    }

    /// So many bytes of the step are done.
    pub(crate) fn reached(&self, bytes: u64) {
        self.done.store(bytes, Relaxed);
    }

    /// Whether nobody wants the result any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// The failure of who is stopped.
    pub(crate) fn check_stopped(&self) -> Result<(), Failure> {
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

/// The failure of work that was told to stop.
pub(crate) fn stopped() -> Failure {
    Failure::new(FailureKind::Interrupted, "the work was stopped")
}

/// A thread that is told to stop when nobody waits for it any more. It sees that when it looks at its [`Flow`].
struct Working<T> {
    thread: JoinHandle<Result<T, Failure>>,
    flow: Arc<Flow>,
}

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        self.flow.stopped.store(true, Relaxed);
    }
}

/// Does work on a thread of its own, and tells how far it is.
///
/// # Errors
/// What the work says.
pub(crate) async fn work<T: Send + 'static>(
    flow: Arc<Flow>,
    events: &mut Events<'_>,
    job: impl FnOnce(&Flow) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let mut working = Working {
        thread: tokio::task::spawn_blocking({
            let flow = Arc::clone(&flow);
            move || job(&flow)
        }),
        flow,
    };
    loop {
        tokio::select! {
            result = &mut working.thread => return joined(result),
            () = tokio::time::sleep(STEP) => events(working.flow.progress()),
        }
    }
}

fn joined<T>(result: Result<Result<T, Failure>, JoinError>) -> Result<T, Failure> {
    let gone = |error| Failure::other(format!("the work ended: {error}"));
    result.map_err(gone)?
}

/// Reads a file to its end: how many bytes it has, and their SHA-256. `failed` says what it means that it cannot be read.
///
/// # Errors
/// What `failed` says, or that the work was stopped.
pub(crate) fn hash_file(
    file: &mut File,
    flow: &Flow,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<Whole, Failure> {
    read_whole(
        |buffer| read_on(file, buffer).map_err(&failed),
        |_, bytes| {
            flow.reached(bytes);
            flow.check_stopped()
        },
    )
}

/// Reads what there is; a signal in between is no end.
pub(crate) fn read_on(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Takes what work on etcd's files tells of its progress, and stops it.
pub(crate) fn on_progress(
    flow: &Flow,
) -> impl FnMut(etcd_datadir::progress::Progress) -> ControlFlow<()> + '_ {
    |progress| {
        flow.of(progress.total);
        flow.reached(progress.done);
        if flow.is_stopped() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Reads a snapshot as thoroughly as the options say. Damage is in what is given back.
///
/// # Errors
/// When the disk fails, or the work was stopped.
pub(crate) fn verify_source(
    source: &FileSource,
    options: &VerifyOptions,
    flow: &Flow,
) -> Result<Verification, Failure> {
    verify(source, options, None, &mut on_progress(flow)).map_err(|error| trouble_with_data(&error))
}

/// The first thing that makes a snapshot unreliable.
pub(crate) fn fatal(found: &Verification) -> Option<String> {
    let mut findings = found.findings.iter();
    let fatal = findings.find(|finding| finding.fatal)?;
    Some(fatal.damage.to_string())
}

/// What reading etcd's data ran into.
pub(crate) fn trouble_with_data(error: &etcd_datadir::Error) -> Failure {
    let kind = match error {
        etcd_datadir::Error::Damaged { .. } => FailureKind::Corrupt,
        etcd_datadir::Error::Cancelled => FailureKind::Interrupted,
        _ => FailureKind::Other,
    };
    Failure::new(kind, chain(error))
}
