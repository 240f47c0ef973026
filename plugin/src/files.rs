//! Work on files of this host: off the async threads, with progress, stopped by Ctrl-C.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use etcd_datadir::progress::{OnProgress, Progress};

use crate::ui::Ui;
use kubectl_etcd_core::error::Error;

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
