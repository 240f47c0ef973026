//! `etcd-job run`: an assignment in, JSON lines out.

use std::fs::OpenOptions;
use std::io::{self, Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::operation::{Assignment, Operation};
use etcd_operations::report::Report;
use etcd_operations::run::{Cancel, run as operate};
use etcd_operations::wire::{Event, Line};
use etcd_operations::work::Events;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Kubernetes reads this file into the container's status: the report survives when the log does not.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Kubernetes takes no more of it.
const TERMINATION_MESSAGE_BYTES: usize = 4096;

pub(crate) fn run(assignment: &str) -> ExitCode {
    in_runtime(async {
        let assignment: Assignment = match serde_json::from_str(assignment) {
            Ok(assignment) => assignment,
            Err(error) => return refused("the assignment", &error),
        };
        let work = async |events: &mut Events<'_>, cancel: &Cancel| {
            operate(&assignment, events, cancel).await
        };
        let mut stop = match Stop::listen() {
            Ok(stop) => stop,
            Err(failure) => return end(&Event::Failed { failure }),
        };
        match told(work, &mut stop).await {
            Ok(report) => {
                let code = end(&Event::Report { report });
                hold(&assignment.operation, &mut stop).await;
                code
            }
            Err(failure) => end(&Event::Failed { failure }),
        }
    })
}

/// Runs it on a runtime of one thread.
pub(crate) fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Storing a snapshot, and looking at the node: never more than two at once.
        .max_blocking_threads(4)
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A thread that hangs on a dead disk must not keep us.
            runtime.shutdown_background();
            code
        }
        Err(error) => end(&Event::Failed {
            failure: Failure::new(FailureKind::Other, format!("could not start: {error}")),
        }),
    }
}

/// Ends with what could not be read.
pub(crate) fn refused(what: &str, error: &serde_json::Error) -> ExitCode {
    let message = format!("{what} is not understood: {error}");
    let failure = Failure::new(FailureKind::Refused, message)
        .hint("use the plugin and the job image of one release");
    end(&Event::Failed { failure })
}

/// Does some work whose progress is printed and which a signal stops.
pub(crate) async fn told(
    work: impl AsyncFnOnce(&mut Events<'_>, &Cancel) -> Result<Report, Failure>,
    stop: &mut Stop,
) -> Result<Report, Failure> {
    let (handle, cancel) = Cancel::new();
    let mut events = |progress| {
        // Whoever read this may be gone; the work and its report are not for him alone.
        let _ = print(&Event::Progress(progress));
    };
    let work = work(&mut events, &cancel);
    let mut work = std::pin::pin!(work);
    tokio::select! {
        result = &mut work => result,
        () = stop.asked() => {
            handle.cancel();
            work.await
        }
    }
}

/// Stays, so that the file can be fetched from this container.
async fn hold(operation: &Operation, stop: &mut Stop) {
    let over = tokio::time::sleep(Duration::from_secs(operation.hold_seconds()));
    tokio::select! {
        () = over => {}
        () = stop.asked() => {}
    }
}

/// The ways in which a container or a person asks to stop.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let message = format!("could not listen for signals: {error}");
                Failure::new(FailureKind::Other, message)
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Prints the last line, and leaves it for Kubernetes as well.
pub(crate) fn end(event: &Event) -> ExitCode {
    let printed = print(event);
    // The report was printed; this is a second way, and not there outside of a container.
    let _ = leave(Path::new(TERMINATION_MESSAGE), event);
    match (event, printed) {
        (Event::Report { .. }, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn text(event: &Event) -> io::Result<String> {
    let mut text = serde_json::to_string(&Line::new(event.clone()))?;
    text.push('\n');
    Ok(text)
}

fn print(event: &Event) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text(event)?.as_bytes())?;
    out.flush()
}

/// Writes the line into the termination message, if it is there and the line fits.
fn leave(path: &Path, event: &Event) -> io::Result<()> {
    let text = text(event)?;
    if text.len() > TERMINATION_MESSAGE_BYTES {
        return Ok(());
    }
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?
        .write_all(text.as_bytes())
}
