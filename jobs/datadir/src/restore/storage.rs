//! Storage version and cluster version: which etcd may run on a database.
//!
//! `meta/storageVersion` is there from etcd 3.6 on. etcd 3.6 and later refuse a newer one than their own (`version
//! "3.7.0" is not supported`, `server/storage/schema`), and from 3.6 on also a newer `cluster/clusterVersion` in the
//! database (`invalid downgrade; server version is lower than determined cluster version`). 3.5 and older look at
//! neither and leave the storage version as it is, so that a later upgrade may stumble over it.

use super::RestoreError;
use super::options::{EtcdVersion, StoragePolicy};

/// The newest version known here.
const NEWEST: EtcdVersion = EtcdVersion { major: 3, minor: 7 };
/// The first etcd that writes and checks them.
const FIRST: EtcdVersion = EtcdVersion { major: 3, minor: 6 };

/// How a database's versions go with the etcd that is to run on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageFinding {
    /// Nothing to say: they are not newer, or nobody asked.
    Fits,
    /// That etcd starts but leaves a storage version in the database that is not its own.
    LeftStale,
    /// They were lowered in the restored database.
    Lowered,
}

/// Compares the versions recorded in a database with the etcd that is to run on it.
///
/// # Errors
/// [`RestoreError::StorageVersion`], [`RestoreError::ClusterVersion`] when that etcd would not start,
/// [`RestoreError::UnknownStorageVersion`] for a storage version newer than any known.
pub fn storage_finding(
    storage: Option<&str>,
    cluster: Option<&str>,
    wanted: Option<EtcdVersion>,
) -> Result<StorageFinding, RestoreError> {
    decide(storage, cluster, wanted, StoragePolicy::Keep)
}

pub(super) fn decide(
    storage: Option<&str>,
    cluster: Option<&str>,
    wanted: Option<EtcdVersion>,
    policy: StoragePolicy,
) -> Result<StorageFinding, RestoreError> {
    let storage = match storage {
        None => None,
        Some(text) => {
            let unknown = || RestoreError::UnknownStorageVersion {
                found: text.to_owned(),
            };
            Some(
                EtcdVersion::parse(text)
                    .filter(|found| *found <= NEWEST)
                    .ok_or_else(unknown)?,
            )
        }
    };
    let cluster = cluster.and_then(EtcdVersion::parse);
    let Some(wanted) = wanted else {
        return Ok(StorageFinding::Fits);
    };
    match (
        storage.filter(|found| *found > wanted),
        cluster.filter(|found| *found > wanted),
    ) {
        (None, None) => Ok(StorageFinding::Fits),
        _ if policy == StoragePolicy::Lower => Ok(StorageFinding::Lowered),
        (Some(_), _) if wanted < FIRST => Ok(StorageFinding::LeftStale),
        (None, Some(_)) if wanted < FIRST => Ok(StorageFinding::Fits),
        (Some(found), _) => Err(RestoreError::StorageVersion { found, wanted }),
        (None, Some(found)) => Err(RestoreError::ClusterVersion { found, wanted }),
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
        let finding = storage_finding;
        assert!(matches!(
            finding(None, Some("3.4.0"), v(4)),
            Ok(StorageFinding::Fits)
        ));
        assert!(matches!(
            finding(Some("3.6.0"), Some("3.6.0"), v(7)),
            Ok(StorageFinding::Fits)
        ));
        assert!(matches!(
            finding(Some("3.7.0"), Some("3.7.0"), v(5)),
            Ok(StorageFinding::LeftStale)
        ));
        assert!(matches!(
            finding(Some("3.7.0"), Some("3.7.0"), v(6)),
            Err(RestoreError::StorageVersion { .. })
        ));
        assert!(matches!(
            finding(Some("3.6.0"), Some("3.7.0"), v(6)),
            Err(RestoreError::ClusterVersion { .. })
        ));
        assert!(matches!(
            finding(None, Some("3.5.0"), v(4)),
            Ok(StorageFinding::Fits)
        ));
        assert!(matches!(
            finding(Some("3.9.0"), None, None),
            Err(RestoreError::UnknownStorageVersion { .. })
        ));
    }

    #[test]
    fn lowering_is_done_only_where_needed() {
        let lowered =
            |wanted| decide(Some("3.7.0"), Some("3.7.0"), wanted, StoragePolicy::Lower).unwrap();
        assert_eq!(
            [v(4), v(6), v(7), None]
                .map(lowered)
                .map(|f| f == StorageFinding::Lowered),
            [true, true, false, false]
        );
    }
}
