//! Storage version: which etcd may run on a database.
//!
//! `meta/storageVersion` is there from etcd 3.6 on. etcd 3.6 and later refuse a newer one than their own (`version
//! "3.7.0" is not supported`, `server/storage/schema`); 3.5 and older do not look at it and leave it as it is, so that
//! a later upgrade may stumble over it.

use super::RestoreError;
use super::options::{EtcdVersion, StoragePolicy};

/// The newest storage version known here.
const NEWEST: EtcdVersion = EtcdVersion { major: 3, minor: 7 };
/// The first etcd that writes and checks it.
const FIRST: EtcdVersion = EtcdVersion { major: 3, minor: 6 };

/// How a database's storage version goes with the etcd that is to run on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageFinding {
    /// Nothing to say: it is not newer, or nobody asked.
    Fits,
    /// That etcd starts but leaves a version in the database that is not its own.
    LeftStale,
    /// It was lowered in the restored database.
    Lowered,
}

/// What becomes of the storage version in a restored database: the finding, and the value to write instead (`None`
/// inside for removing it).
pub(super) type StorageChange = (StorageFinding, Option<Option<Vec<u8>>>);

/// Compares the storage version in a database with the etcd that is to run on it.
///
/// # Errors
/// [`RestoreError::StorageVersion`] when that etcd would not start, [`RestoreError::UnknownStorageVersion`].
pub fn storage_finding(found: Option<&str>, wanted: Option<EtcdVersion>) -> Result<StorageFinding, RestoreError> {
    decide(found, wanted, StoragePolicy::Keep).map(|(finding, _)| finding)
}

pub(super) fn decide(
    found: Option<&str>,
    wanted: Option<EtcdVersion>,
    policy: StoragePolicy,
) -> Result<StorageChange, RestoreError> {
    let Some(text) = found else { return Ok((StorageFinding::Fits, None)) };
    let unknown = || RestoreError::UnknownStorageVersion { found: text.to_owned() };
    let found = EtcdVersion::parse(text).filter(|found| *found <= NEWEST).ok_or_else(unknown)?;
    let Some(wanted) = wanted.filter(|wanted| *wanted < found) else { return Ok((StorageFinding::Fits, None)) };
    match policy {
        StoragePolicy::Lower if wanted < FIRST => Ok((StorageFinding::Lowered, Some(None))),
        StoragePolicy::Lower => Ok((StorageFinding::Lowered, Some(Some(format!("{wanted}.0").into_bytes())))),
        StoragePolicy::Keep if wanted < FIRST => Ok((StorageFinding::LeftStale, None)),
        StoragePolicy::Keep => Err(RestoreError::StorageVersion { found, wanted }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn v(minor: u64) -> Option<EtcdVersion> {
        Some(EtcdVersion { major: 3, minor })
    }

    #[test]
    fn versions_are_judged_as_etcd_does() {
        assert!(matches!(storage_finding(None, v(4)), Ok(StorageFinding::Fits)));
        assert!(matches!(storage_finding(Some("3.6.0"), v(6)), Ok(StorageFinding::Fits)));
        assert!(matches!(storage_finding(Some("3.6.0"), v(7)), Ok(StorageFinding::Fits)));
        assert!(matches!(storage_finding(Some("3.7.0"), v(5)), Ok(StorageFinding::LeftStale)));
        assert!(matches!(storage_finding(Some("3.7.0"), v(6)), Err(RestoreError::StorageVersion { .. })));
        assert!(matches!(storage_finding(Some("3.9.0"), None), Err(RestoreError::UnknownStorageVersion { .. })));
    }

    #[test]
    fn lowering_removes_it_where_nobody_reads_it() {
        let lowered = |wanted| decide(Some("3.7.0"), wanted, StoragePolicy::Lower).unwrap();
        assert_eq!(lowered(v(5)), (StorageFinding::Lowered, Some(None)));
        assert_eq!(lowered(v(6)), (StorageFinding::Lowered, Some(Some(b"3.6.0".to_vec()))));
        assert_eq!(lowered(v(7)), (StorageFinding::Fits, None));
    }
}
