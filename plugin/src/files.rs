//! Work on files of this host: off the async threads, with progress, stopped by Ctrl-C.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_datadir::progress::{OnProgress, Progress};

use crate::error::{Error, ErrorKind};
use crate::ui::Ui;

/// Stops the work when whoever waits for it is gone.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
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
    let stop = Arc::new(AtomicBool::new(false));
    let stopper = StopOnDrop(Arc::clone(&stop));
    let mut meter = ui.meter(what.to_owned());
    let done = tokio::task::spawn_blocking(move || {
        let mut on_progress = |now: Progress| {
            meter(step, now.done, now.total);
            if stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        job(&mut on_progress)
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
