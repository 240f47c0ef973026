//! What arrived, held against what the node says of it, and why nothing is kept where they differ.

use std::io;

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::pack::unpack::{Arrived, Found, Sum};
use etcd_operations::report::{Report, SnapshotReport};
use etcd_operations::transfer::Whole;

use super::sink::SinkError;
use crate::outcome::{RunError, RunErrorKind};

/// Why there is no snapshot.
pub(super) enum Trouble {
    Run(RunError),
    /// It cannot be stored here.
    Here(io::Error),
    /// What came is no whole snapshot.
    Damaged(Failure),
    /// The stream cannot be used, whatever is tried.
    Stream(String),
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<SinkError> for Trouble {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Here(error) => Self::Here(error),
            SinkError::Damaged(failure) => Self::Damaged(failure),
        }
    }
}

/// What came that is no whole snapshot: nothing of it is kept.
pub(super) fn damaged(failure: &Failure) -> RunError {
    RunError::new(
        RunErrorKind::OperationFailed(FailureKind::Corrupt),
        format!("what arrived is not kept: {}", failure.message),
    )
    .hint("another member may give a whole one: kubectl etcd snapshot save --node NODE")
}

/// Whether what came is what the job says it made and checked.
pub(super) fn compare(report: &Report, whole: &Whole) -> Result<(), RunError> {
    let (size_bytes, sha256) = match report {
        Report::Snapshot(saved) => (saved.snapshot.size_bytes, &saved.snapshot.sha256),
        Report::NodeFiles(files) => (files.size_bytes, &files.sha256),
        Report::SnapshotSend(kept) => match &kept.snapshot {
            Some(snapshot) => (snapshot.size_bytes, &snapshot.sha256),
            None => return Err(another()),
        },
        _ => return Err(another()),
    };
    if *sha256 == whole.sha256 && size_bytes == whole.size_bytes {
        return Ok(());
    }
    Err(RunError::new(
        RunErrorKind::Lost,
        format!(
            "what was fetched ({} bytes, sha256 {}) is not what was checked on the node ({size_bytes} bytes, sha256 {sha256})",
            whole.size_bytes, whole.sha256
        ),
    ))
}

fn another() -> RunError {
    RunError::new(
        RunErrorKind::Lost,
        "the job reported something else than a snapshot",
    )
}

/// Whether a snapshot is, by its own bytes, what the node says it is.
pub(super) fn is_as_told(told: &SnapshotReport, arrived: &Arrived) -> Result<(), RunError> {
    let differs = |what: &str, told: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        Err(RunError::new(
            RunErrorKind::Lost,
            format!(
                "what arrived is not what the node says it is: its {what} is {found} instead of {told}"
            ),
        ))
    };
    let inner = match &told.packed {
        Some(packed) => (packed.size_bytes, &packed.sha256),
        None => (told.size_bytes, &told.sha256),
    };
    let Sum { size_bytes, sha256 } = &arrived.snapshot;
    if inner.0 != *size_bytes {
        return differs("size unpacked", &inner.0, size_bytes);
    }
    if inner.1 != sha256 {
        return differs("sha256 unpacked", inner.1, sha256);
    }
    let form = match &told.packed {
        None => "plain",
        Some(packed) if packed.bundle.is_some() => "bundle",
        Some(_) => "zstd",
    };
    let found = match arrived.found {
        Found::Plain => "plain",
        Found::Zstd => "zstd",
        Found::Bundle(_) => "bundle",
    };
    if form != found {
        return differs("form", &form, &found);
    }
    let Ok(pages) = &arrived.pages else {
        return Ok(());
    };
    let status = &pages.status;
    if i64::try_from(status.revision) != Ok(told.revision) {
        return differs("revision", &told.revision, &status.revision);
    }
    if status.hash != told.hash {
        let (told, found) = (format!("{:08x}", told.hash), format!("{:08x}", status.hash));
        return differs("hash", &told, &found);
    }
    if status.total_keys_live != told.total_keys {
        return differs("number of keys", &told.total_keys, &status.total_keys_live);
    }
    Ok(())
}
