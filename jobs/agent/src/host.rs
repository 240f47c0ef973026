//! What `etcd-job host` needs beside the request: the process for work that must not stop with the connection, and files.

use std::fs::File;
use std::io::{self, Write, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use etcd_operations::failure::Failure;
use etcd_operations::host::detached::{leave_session, work};
use etcd_operations::host::{Impatient, receive as take_in};
use etcd_operations::wire::Detached;
use etcd_operations::wire::answer::HostAnswer;

use crate::run::{end, in_runtime};

/// Does what was asked before, for those who follow.
pub(crate) fn host_work(folder: PathBuf, attempt: u32) -> ExitCode {
    leave_session();
    in_runtime(async {
        match Box::pin(work(&Detached { folder, attempt })).await {
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
        Err(error) => Err(Failure::other(format!("no standard input: {error}"))),
    };
    end(received.map(|file| HostAnswer::Received { file }).into())
}
