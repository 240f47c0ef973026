//! Where this program keeps what it has to know on a host.

/// The folder.
pub const STATE: &str = "/var/lib/kubectl-etcd";
