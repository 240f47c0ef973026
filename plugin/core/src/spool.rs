//! Where snapshots lie unpacked for a while.

use std::path::{Path, PathBuf};

use etcd_operations::pack::unpack::Spool;

/// Where what is too large for memory lies for a while: on a disk, which /tmp need not be.
pub fn spool_folder() -> PathBuf {
    let folder = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    folder.map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// Where kubelet is, if this host has one.
const KUBELET: &str = "/var/lib/kubelet";

/// The same as a place for unpacked snapshots.
pub fn spool() -> Spool {
    let spool = Spool::new(spool_folder()).or_else("set TMPDIR to another folder");
    match Path::new(KUBELET).exists() {
        true => spool,
        false => spool.without_kubelet(),
    }
}
