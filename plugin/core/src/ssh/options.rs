//! Which hosts are worked on over ssh, and how to log in there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use etcd_operations::advice::{Choice, Command};

use super::destination::Destination;

/// Which other control-plane nodes are worked on over ssh.
#[derive(Debug, Clone, Default)]
pub struct SshTargets {
    /// Whether any are to be.
    pub wanted: bool,
    /// The nodes whose addresses were given.
    pub addresses: BTreeMap<String, Destination>,
    /// Hosts that were named: these and no others are asked then.
    pub masters: Vec<Destination>,
    /// How to log in.
    pub options: SshOptions,
    /// The flags that say all this again, for a command to be typed next. None: nobody is reached over ssh.
    pub flags: Command,
}

/// How to log in where ssh's own configuration does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// As whom.
    pub user: Option<String>,
    /// With which key alone.
    pub identity: Option<PathBuf>,
    /// By which configuration.
    pub config: Option<PathBuf>,
}

/// The flag that says where a node is, to be typed with its address.
pub fn at_address(node: &str) -> Command {
    Choice::Ssh.with(format_args!("{node}=ADDRESS"))
}
