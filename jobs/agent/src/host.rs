//! `etcd-job host`: one request on standard input, JSON lines out. It is asked over ssh.
//!
//! Work that must not stop with the connection is done by `etcd-job host-work`, which this starts and follows.

use std::fs::File;
use std::io::{self, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::host::detached::{leave_session, start_or_follow, work as on_record};
use etcd_operations::host::{
    Ask, Detached, HostAnswer, HostEvent, Impatient, Line, answer, receive as take_in,
};
use etcd_operations::wire::MAX_LINE_BYTES;

use crate::run::in_runtime;

/// Does what is asked on standard input.
pub(crate) fn host() -> ExitCode {
    in_runtime(async {
        let ended = match asked() {
            Ok(ask) => Box::pin(done(&ask)).await,
            Err(failure) => Err(failure),
        };
        end(ended)
    })
}

/// Does what was asked before, for those who follow.
pub(crate) fn host_work(folder: PathBuf, attempt: u32) -> ExitCode {
    leave_session();
    in_runtime(async {
        match Box::pin(on_record(&Detached { folder, attempt })).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                // Into the record, where a follower finds it.
                let _ = writeln!(io::stderr(), "{failure}");
                ExitCode::FAILURE
            }
        }
    })
}

/// Takes in a file from standard input.
pub(crate) fn receive(path: &Path, size_bytes: u64) -> ExitCode {
    // Not the library's own buffer: what is in there is not seen by who waits for more.
    let received = match std::os::fd::AsFd::as_fd(&stdin()).try_clone_to_owned() {
        Ok(input) => take_in(path, size_bytes, Impatient(File::from(input))),
        Err(error) => Err(Failure::new(
            FailureKind::Other,
            format!("no standard input: {error}"),
        )),
    };
    end(received.map(|file| HostAnswer::Received { file }))
}

fn asked() -> Result<Ask, Failure> {
    let mut text = String::new();
    let most = MAX_LINE_BYTES as u64;
    let request = stdin().lock().take(most + 1).read_to_string(&mut text);
    request.map_err(|error| {
        let message = format!("the request could not be read: {error}");
        Failure::new(FailureKind::Interrupted, message)
    })?;
    if text.len() > MAX_LINE_BYTES {
        let message = format!("the request is longer than {} MiB", MAX_LINE_BYTES >> 20);
        return Err(Failure::new(FailureKind::Refused, message));
    }
    let ask: Ask = serde_json::from_str(&text).map_err(|error| {
        let message = format!("the request is not understood: {error}");
        Failure::new(FailureKind::Refused, message)
            .hint("use the plugin that uploaded this program")
    })?;
    ask.check_version()?;
    Ok(ask)
}

async fn done(ask: &Ask) -> Result<HostAnswer, Failure> {
    let mut told = |progress| {
        // Whoever read this may be gone. What may not stop for that is done by another process.
        let _ = print(HostEvent::Progress(progress));
    };
    match &ask.detached {
        None => answer(ask, &mut told).await,
        Some(detached) => start_or_follow(ask, detached, worker(detached)?, &mut told).await,
    }
}

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

fn end(ended: Result<HostAnswer, Failure>) -> ExitCode {
    let done = ended.is_ok();
    match print(ended.into()) {
        Ok(()) if done => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

fn print(event: HostEvent) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(Line::new(event).text()?.as_bytes())?;
    out.flush()
}
