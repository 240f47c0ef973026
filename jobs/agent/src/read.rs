//! `etcd-job read`: a file of the node, in frames, to whoever opened this exec.

use std::io::{BufRead, Write, stderr, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use etcd_operations::transfer::{ACKNOWLEDGEMENT, Follow, follow};

pub(crate) fn read(path: PathBuf, offset: u64, wait_seconds: u64) -> ExitCode {
    let what = Follow {
        path,
        offset,
        patience: Duration::from_secs(wait_seconds),
    };
    let sent = follow(&what, stdout().lock());
    // Whether it was the file or a failure: what was written last is lost if this ends before it was drained.
    let acknowledged = stdin()
        .lock()
        .lines()
        .map_while(Result::ok)
        .any(|line| line.trim() == ACKNOWLEDGEMENT);
    match sent {
        Ok(()) if acknowledged => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(failure) => {
            // Nobody may be reading.
            let _ = writeln!(stderr(), "{failure}");
            ExitCode::FAILURE
        }
    }
}
