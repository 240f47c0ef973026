//! What `etcdutl snapshot status` says of a snapshot.

use serde::Serialize;

/// The figures of `etcdutl snapshot status`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Status {
    /// CRC-32C over the names of all buckets and all their records, in key order. It tells whether two files hold the
    /// same records, however their pages lie (a defragmentation does not change it). It is not comparable between
    /// members, whose raft terms and indexes differ.
    pub hash: u32,
    /// The revision of the last change.
    pub revision: u64,
    /// Records in all buckets: what etcdutl up to 3.5 calls `totalKey`.
    pub total_keys_all: u64,
    /// Keys a client would find: what etcdutl from 3.6 on calls `totalKey`.
    ///
    /// (A record that a revision bump left has an empty key and counts as one, as it does with etcdutl.)
    pub total_keys_live: u64,
    /// Size of the database in bytes, without the trailer.
    pub total_size: u64,
    /// The recorded storage version, "3.6.0"; empty before 3.6.
    pub version: String,
    /// Whether there is an object of Kubernetes, events aside; etcdutl does not tell that.
    pub has_objects: bool,
}
