//! Work on files of this host: off the async threads, with progress, stopped by Ctrl-C.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_datadir::progress::{OnProgress, Progress};
use etcd_operations::failure::{Failure, FailureKind};

use crate::error::{Error, ErrorKind};
use crate::ui::Ui;

/// Stops the work when whoever waits for it is gone.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How work of several steps tells how far it is.
pub(crate) struct Steps<'s> {
    tell: &'s mut dyn FnMut(&'static str, Progress) -> ControlFlow<()>,
}

impl Steps<'_> {
    /// The progress of one step.
    pub(crate) fn of(&mut self, step: &'static str) -> impl FnMut(Progress) -> ControlFlow<()> {
        move |now| (self.tell)(step, now)
    }
}

/// Does long work on files. When the future is dropped the work stops at its next report, and leaves nothing half done.
///
/// # Errors
/// When the work panics: a fault of this program.
pub(crate) async fn work<T: Send + 'static>(
    ui: &Ui,
    what: &str,
    step: &'static str,
    job: impl FnOnce(OnProgress<'_>) -> T + Send + 'static,
) -> Result<T, Error> {
    work_in_steps(ui, what, move |steps| job(&mut steps.of(step))).await
}

/// The same of several steps.
///
/// # Errors
/// As [`work`].
pub(crate) async fn work_in_steps<T: Send + 'static>(
    ui: &Ui,
    what: &str,
    job: impl FnOnce(&mut Steps<'_>) -> T + Send + 'static,
) -> Result<T, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopper = StopOnDrop(Arc::clone(&stop));
    let mut meter = ui.meter(what.to_owned());
    let done = tokio::task::spawn_blocking(move || {
        let mut tell = |step: &'static str, now: Progress| {
            meter(step, now.done, now.total);
            if stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        job(&mut Steps { tell: &mut tell })
    })
    .await;
    drop(stopper);
    ui.end_progress();
    done.map_err(|cause| Error::failed("the work ended unexpectedly").caused_by(cause))
}

/// What the library says, as the command's own error: what is damaged is not what could not be read.
pub(crate) fn error(error: etcd_datadir::Error) -> Error {
    let kind = match &error {
        etcd_datadir::Error::Damaged { .. } => ErrorKind::QuorumLostOrDamaged,
        etcd_datadir::Error::Refused { .. } => ErrorKind::Refused,
        etcd_datadir::Error::Cancelled => ErrorKind::Interrupted,
        // The disk, the path, a limit of the library, and what later versions of it may add.
        _ => ErrorKind::Failed,
    };
    // The message is the library's own; its causes stay below it.
    let message = error.to_string();
    Error::new(kind, message).caused_by(error)
}

/// What kept a file from being opened, as the command's own error.
pub(crate) fn failure(failure: Failure) -> Error {
    let kind = match failure.kind {
        FailureKind::Corrupt => ErrorKind::QuorumLostOrDamaged,
        FailureKind::Refused => ErrorKind::Refused,
        FailureKind::Interrupted => ErrorKind::Interrupted,
        FailureKind::Unreachable
        | FailureKind::Unauthorized
        | FailureKind::NoQuorum
        | FailureKind::NoSpace
        | FailureKind::Missing
        | FailureKind::Other => ErrorKind::Failed,
    };
    let mut error = Error::new(kind, failure.message);
    error.hints.extend(failure.hint);
    error
}
