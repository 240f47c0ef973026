//! From what checking snapshot files found to a verdict on each, and on all of them.

use etcd_datadir::verify::{Verdict as Checked, Verification};
use etcd_operations::pack::unpack::{Found, Opened};
use etcd_operations::report::{KeptSnapshot, KeptState, SnapshotReport};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Error, Verdict};

/// What becomes of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileVerdict {
    /// All was checked and nothing is wrong.
    Reliable,
    /// All was checked and nothing is wrong, and no object of Kubernetes is in it: it is no backup of a cluster.
    Empty,
    /// Nothing is wrong, but without a trailer a changed value cannot be seen.
    NotFullyChecked,
    /// Something is wrong.
    Damaged,
    /// It is something else, and was not checked.
    NotASnapshot,
    /// It could not be read.
    #[default]
    Unreadable,
}

impl FileVerdict {
    /// Of a file that was read here.
    pub fn of_checked(found: &Verification) -> Self {
        let status = found.status.as_ref();
        match found.verdict {
            Checked::Reliable if status.is_some_and(|status| !status.has_objects) => Self::Empty,
            Checked::Reliable => Self::Reliable,
            Checked::NoTrailer | Checked::NotFullyChecked => Self::NotFullyChecked,
            Checked::Damaged => Self::Damaged,
        }
    }

    /// Of one that was read on its node.
    pub fn of_stored(stored: &KeptSnapshot) -> Self {
        let snapshot = stored.snapshot.as_ref();
        match &stored.state {
            KeptState::Verified { .. } => Self::Reliable,
            KeptState::Damaged { .. } => Self::Damaged,
            KeptState::Unknown { .. } if snapshot.is_some_and(SnapshotReport::is_empty) => {
                Self::Empty
            }
            KeptState::Unknown { .. } => Self::NotFullyChecked,
        }
    }

    /// Whether all of it was read and is in order.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Reliable | Self::Empty)
    }
}

/// Whether a whole snapshot lies in a bundle that describes another one.
pub fn is_not_as_described(opened: &Opened, found: &Verification) -> bool {
    match (&opened.found, &found.status) {
        (Found::Bundle(description), Some(status)) => {
            FileVerdict::of_checked(found).is_whole() && !description.snapshot.is_of(status)
        }
        _ => false,
    }
}

/// What several files come to; `missing`: something that is described is not there.
///
/// # Errors
/// When one could not be read, or none is a snapshot.
pub fn verdict(files: &[FileVerdict], missing: bool) -> Result<Verdict, Error> {
    let any = |verdict| files.contains(&verdict);
    if any(FileVerdict::Unreadable) {
        return Err(Error::failed("not every file could be read"));
    }
    if files.iter().all(|one| *one == FileVerdict::NotASnapshot) {
        return Err(Error::failed("none of the files is an etcd snapshot"));
    }
    Ok(if any(FileVerdict::Damaged) {
        Verdict::QuorumLostOrDamaged
    } else if missing || files.iter().any(|one| *one != FileVerdict::Reliable) {
        Verdict::Degraded
    } else {
        Verdict::Healthy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_snapshot_warns_beside_those_that_are() {
        let of = |files: &[FileVerdict], missing| match verdict(files, missing) {
            Ok(verdict) => verdict.exit_code().code(),
            Err(error) => error.kind.exit_code().code(),
        };
        use FileVerdict::{Damaged, NotASnapshot, NotFullyChecked, Reliable, Unreadable};
        assert_eq!(of(&[Reliable, Reliable], false), 0);
        assert_eq!(of(&[Reliable], true), 3);
        assert_eq!(of(&[Reliable, NotASnapshot], false), 3);
        assert_eq!(of(&[Reliable, NotFullyChecked], false), 3);
        assert_eq!(of(&[NotASnapshot], false), 1);
        assert_eq!(of(&[NotASnapshot, Damaged], false), 4);
        assert_eq!(of(&[Damaged, Unreadable], false), 1);
    }
}
