//! What the fuzz target and the property tests call.

use crate::raft::wire::{put_bytes, put_uint};
use crate::raft::{ConfChange, ConfChanges, ConfState, Entry, HardState};

use super::{SnapFile, V2Store};

/// Reads any bytes as a `.snap` file, as the content of one whose crc is right, as a store, and as each of raft's
/// messages; must end without a panic.
pub fn snap(bytes: &[u8]) {
    let _ = SnapFile::decode(bytes);
    let mut file = Vec::new();
    put_uint(&mut file, 1, u64::from(crc32c::crc32c(bytes)));
    put_bytes(&mut file, 2, bytes);
    let _ = SnapFile::decode(&file);
    let _ = V2Store::decode(bytes);
    let _ = (
        Entry::decode(bytes).is_ok(),
        HardState::decode(bytes).is_ok(),
        ConfState::decode(bytes).is_ok(),
    );
    let _ = (
        ConfChange::decode(bytes).is_ok(),
        ConfChanges::decode(bytes).is_ok(),
    );
}
