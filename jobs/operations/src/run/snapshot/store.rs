//! The thread that stores a snapshot: hash and write what comes, check the tree, name the file.

use etcd_datadir::status::Status;
use etcd_datadir::stream::{Received, SnapshotChecker};
use etcd_datadir::verify::{Verdict, VerifyOptions};

use super::super::blocking::{Flow, fatal, read_through};
use super::super::stream::Pieces;
use super::super::trouble_with_data;
use super::part::Part;
use crate::failure::{Failure, FailureKind};

/// A snapshot that is complete and checked.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) received: Received,
    pub(super) status: Status,
}

pub(super) fn store(mut part: Part, mut pieces: Pieces, flow: &Flow) -> Result<Checked, Failure> {
    let mut checker = SnapshotChecker::new(part.current_path().display().to_string());
    while let Some(bytes) = pieces.next()? {
        flow.check_stopped()?;
        checker
            .push(&bytes)
            .map_err(|error| trouble_with_data(&error))?;
        part.write(&bytes)?;
        flow.reached(checker.size());
    }
    let received = checker
        .finish()
        .map_err(|error| trouble_with_data(&error))?;
    flow.enter("checking");
    let status = check(&part, flow)?;
    flow.enter("flushing");
    flow.check_stopped()?;
    part.complete()?;
    Ok(Checked { received, status })
}

/// Walks the tree and decodes every record. The sha256 was checked on the way in.
fn check(part: &Part, flow: &Flow) -> Result<Status, Failure> {
    let options = VerifyOptions {
        sha256: false,
        ..VerifyOptions::default()
    };
    let found = read_through(part.current_path(), &options, flow)?;
    match (fatal(&found), found.verdict, found.status) {
        (None, Verdict::Reliable | Verdict::NotFullyChecked, Some(status)) => Ok(status),
        (what, ..) => {
            let what = what.unwrap_or_else(|| "its pages cannot be read".to_owned());
            let message = format!("etcd sent a snapshot of a damaged database: {what}");
            let hint = "take the snapshot from another member, and replace this one";
            Err(Failure::new(FailureKind::Corrupt, message).hint(hint))
        }
    }
}
