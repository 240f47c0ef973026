//! How long work tells how far it is, and how it is stopped.

use std::ops::ControlFlow;

use crate::Error;

/// How far a piece of work is, in bytes of the file it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// The caller's callback: told now and then how far the work is; answers [`ControlFlow::Break`] to stop it.
///
/// It is called often enough (at least once a few MiB) to serve as the only cancellation point. Work that is stopped
/// ends with [`Error::Cancelled`] and leaves nothing half done that it does not name.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// A callback for callers that want neither progress nor cancellation.
pub fn ignore(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Reports to the callback and turns its wish to stop into the error that ends the work.
pub(crate) fn report(on_progress: OnProgress<'_>, done: u64, total: u64) -> Result<(), Error> {
    match on_progress(Progress { done, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
