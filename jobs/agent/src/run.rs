//! `etcd-job run` and `etcd-job host`: one request in, JSON lines out.

use std::fs::OpenOptions;
use std::io::{self, Read, Write, stdin, stdout};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::host::answer;
use etcd_operations::host::detached::start_or_follow;
use etcd_operations::operation::Assignment;
use etcd_operations::wire::ask::HostRequest;
use etcd_operations::wire::{Ask, Detached, Event, Line, MAX_LINE_BYTES, request};
use etcd_operations::work::Events;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Kubernetes reads this file into the container's status: the report survives when the log does not.
const TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Kubernetes takes no more of it.
const TERMINATION_MESSAGE_BYTES: usize = 4096;

/// Does the request of a Job, which is an argument.
pub(crate) fn run(assignment: &str) -> ExitCode {
    serve(|| request::<Assignment>(assignment, "the assignment").map(Ask::from))
}

/// Does the request on standard input, as it is asked over ssh.
pub(crate) fn host() -> ExitCode {
    serve(|| Ask::parse(&standard_input()?))
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let most = MAX_LINE_BYTES as u64;
    let read = stdin().lock().take(most + 1).read_to_string(&mut text);
    read.map_err(|error| {
        let message = format!("the request could not be read: {error}");
        Failure::new(FailureKind::Interrupted, message)
    })?;
    if text.len() > MAX_LINE_BYTES {
        let message = format!("the request is longer than {} MiB", MAX_LINE_BYTES >> 20);
        return Err(Failure::new(FailureKind::Refused, message));
    }
    Ok(text)
}

fn serve(asked: impl FnOnce() -> Result<Ask, Failure>) -> ExitCode {
    in_runtime(async {
        let begun = asked().and_then(|ask| Ok((ask, Stop::listen()?)));
        let (ask, mut stop) = match begun {
            Ok(begun) => begun,
            Err(failure) => return end(Event::Failed { failure }),
        };
        let what = match &ask.request {
            HostRequest::Operate(operate) => operate.operation.name(),
            _ => "the request",
        };
        if let Some(detached) = &ask.detached {
            // The work goes on when this process is stopped: without a last line, who asked asks again and follows it.
            return tokio::select! {
                biased;
                code = follow(&ask, detached) => code,
                () = stop.asked() => ExitCode::FAILURE,
            };
        }
        let work = async |events: &mut Events<'_>| Box::pin(answer(&ask, events)).await;
        let ended = told(what, work, &mut stop).await;
        let hold = ended.as_ref().map_or(0, |_| ask.hold_seconds());
        let code = end(ended.into());
        stop.asked_within(Duration::from_secs(hold)).await;
        code
    })
}

/// Has the work done by a process of its own, and prints what that one wrote.
async fn follow(ask: &Ask, detached: &Detached) -> ExitCode {
    let work = async |events: &mut Events<'_>| {
        start_or_follow(ask, detached, worker(detached)?, events).await
    };
    match printed(work).await {
        Ok(line) => end_with(&line),
        Err(failure) => end(Event::Failed { failure }),
    }
}

/// The command that does the work on record.
fn worker(detached: &Detached) -> Result<Command, Failure> {
    let own = std::env::current_exe().map_err(|error| {
        let message = format!("could not find this program: {error}");
        Failure::new(FailureKind::Missing, message)
    })?;
    let mut command = Command::new(own);
    command
        .arg("host-work")
        .arg("--folder")
        .arg(&detached.folder)
        .arg("--attempt")
        .arg(detached.attempt.to_string())
        .current_dir("/");
    Ok(command)
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
        Err(error) => end(Event::Failed {
            failure: Failure::new(FailureKind::Other, format!("could not start: {error}")),
        }),
    }
}

/// Does some work whose progress is printed.
async fn printed<T>(
    work: impl AsyncFnOnce(&mut Events<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut events = |progress| {
        // Whoever read this may be gone; the work and its answer are not for him alone.
        let line = Line::new(Event::Progress(progress)).text();
        let _ = line.and_then(|line| print(&line));
    };
    work(&mut events).await
}

/// Does some work whose progress is printed and which a signal stops.
pub(crate) async fn told<T>(
    what: &str,
    work: impl AsyncFnOnce(&mut Events<'_>) -> Result<T, Failure>,
    stop: &mut Stop,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        ended = printed(work) => ended,
        () = stop.asked() => {
            let message = format!("{what} was stopped");
            Err(Failure::new(FailureKind::Interrupted, message))
        }
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

    /// Waits so long, or until somebody asks to stop.
    async fn asked_within(&mut self, limit: Duration) {
        // Either way this ends.
        let _ = tokio::time::timeout(limit, self.asked()).await;
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ends with this event as the last line.
pub(crate) fn end(event: Event) -> ExitCode {
    let done = matches!(event, Event::Report { .. } | Event::Done { .. });
    match Line::new(event).text().map(|line| end_with(&line)) {
        Ok(code) if done => code,
        _ => ExitCode::FAILURE,
    }
}

/// Prints the last line, and leaves it for Kubernetes as well.
fn end_with(line: &str) -> ExitCode {
    let printed = print(line);
    // The line was printed; this is a second way, and not there outside of a container.
    let _ = leave(Path::new(TERMINATION_MESSAGE), line);
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn print(line: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Writes the line into the termination message, if it is there and the line fits.
fn leave(path: &Path, line: &str) -> io::Result<()> {
    if line.len() > TERMINATION_MESSAGE_BYTES {
        return Ok(());
    }
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)?
        .write_all(line.as_bytes())
}
