//! The runners by name: by which way an operation is brought to a control-plane node.

use std::fmt;

/// Which way an operation is brought to a control-plane node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// A Kubernetes Job on the node.
    Job,
    /// A bare Pod on the node, when no controller-manager turns Jobs into Pods.
    Pod,
    /// etcdctl inside the running etcd pod: needs no write to the cluster.
    Exec,
    /// This host, which must be a control-plane node.
    Local,
    /// The host, over ssh.
    Ssh,
}

/// A runner that can be forced. Over ssh a session is made of hosts, not of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// [`Via::Job`].
    Job,
    /// [`Via::Pod`].
    Pod,
    /// [`Via::Exec`].
    Exec,
    /// [`Via::Local`].
    Local,
}

impl From<Forced> for Via {
    fn from(forced: Forced) -> Self {
        match forced {
            Forced::Job => Self::Job,
            Forced::Pod => Self::Pod,
            Forced::Exec => Self::Exec,
            Forced::Local => Self::Local,
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Job => "job",
            Self::Pod => "pod",
            Self::Exec => "exec",
            Self::Local => "local",
            Self::Ssh => "ssh",
        })
    }
}
