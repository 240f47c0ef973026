//! The records in etcd's buckets: how they are keyed and encoded, and what makes one impossible.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `key` | [`Revision`], 17 or 18 bytes | `mvccpb.KeyValue` |
//! | `lease` | lease id, i64 big-endian | `leasepb.Lease` |
//! | `alarm` | `AlarmMember` | empty |
//! | `meta` | a name | see [`meta`] |
//! | `members`, `members_removed` | member id in hex | JSON, see [`members`] |
//! | `cluster` | a name | `clusterVersion` text, `downgrade` JSON |
//! | `auth`, `authUsers`, `authRoles` | a name | `authpb` |
//!
//! (etcd: `server/storage/schema` and `server/storage/mvcc`; unchanged from 3.4 to 3.7 but for the names in `meta`.)

pub mod kv;
pub mod members;
pub mod meta;
pub mod small;

pub use kv::{KeyValue, Revision, RevisionKey};

use crate::raft::WireError;

/// Why a record cannot be what its bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// The key of `key` is no revision.
    #[error("its key is not a revision (main, '_', sub, and 't' for a deletion)")]
    RevisionKey,
    /// The value is no protobuf message of its kind.
    #[error("its value cannot be decoded: {0}")]
    Value(#[from] WireError),
    /// The record contradicts its key or itself.
    #[error("{0}")]
    Contradiction(&'static str),
}

/// What is known about a bucket's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Key,
    Lease,
    Alarm,
    Meta,
    Members,
    MembersRemoved,
    Cluster,
    Auth,
    AuthUsers,
    AuthRoles,
    /// Not one of etcd's: kept and hashed, its records are not looked into.
    Unknown,
}

impl Kind {
    pub(crate) fn of(bucket: &[u8]) -> Self {
        match bucket {
            b"key" => Self::Key,
            b"lease" => Self::Lease,
            b"alarm" => Self::Alarm,
            b"meta" => Self::Meta,
            b"members" => Self::Members,
            b"members_removed" => Self::MembersRemoved,
            b"cluster" => Self::Cluster,
            b"auth" => Self::Auth,
            b"authUsers" => Self::AuthUsers,
            b"authRoles" => Self::AuthRoles,
            _ => Self::Unknown,
        }
    }

    /// Decodes a record of this bucket, to see whether it can be one.
    pub(crate) fn check(self, key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
        match self {
            Self::Key => kv::decode(key, value).map(drop),
            Self::Lease => small::Lease::decode(key, value).map(drop),
            Self::Alarm => small::Alarm::decode(key, value).map(drop),
            Self::Meta => meta::check(key, value),
            Self::Members => members::Member::decode(key, value).map(drop),
            Self::MembersRemoved => members::removed_id(key).map(drop),
            Self::Cluster => small::check_cluster(key, value),
            Self::Auth => small::check_auth(key, value),
            Self::AuthUsers => small::check_user(key, value),
            Self::AuthRoles => small::check_role(key, value),
            Self::Unknown => Ok(()),
        }
    }
}
