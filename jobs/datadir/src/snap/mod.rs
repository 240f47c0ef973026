//! `.snap` files: raft's configuration and, in etcd's old v2 store, the members.
//!
//! `member/snap/<term>-<index>.snap`, both in 16 hexadecimal digits. The file is `snappb.Snapshot` {1 crc, 2 data}; the
//! crc is the CRC-32C of the data alone. The data is `raftpb.Snapshot` {1 store, 2 metadata {1 configuration, 2 index,
//! 3 term}}, the store one line of JSON. etcd 3.4 to 3.6 start from the newest file that is whole and has a snapshot
//! record in the WAL; a file that is not whole they rename to `.broken` and pass over. 3.7 does not read them.

mod file;
#[doc(hidden)]
pub mod fuzz;
mod store;

pub use file::{MAX_SNAP_BYTES, SnapError, SnapFile, SnapFound, SnapName, list_snaps, read_snap};
pub use store::{StoreError, V2Store, initial_store};
