//! Member and cluster ids: 64-bit numbers that people and JSON see as lower-case hex.

pub use etcd_datadir::ids::{ClusterId, InvalidId, MemberId};
