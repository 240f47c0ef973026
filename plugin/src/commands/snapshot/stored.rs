//! Commands on snapshots that are kept on control-plane nodes.

pub mod delete;
pub mod get;
pub mod list;
pub mod prune;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use etcd_operations::snapshot_name::SnapshotName;
use etcd_operations::stored::FOLDER;

use crate::args::{FleetArgs, WayArgs};
use crate::commands::Context;
use crate::commands::snapshot::destination::full_path;
use kubectl_etcd_core::discovery::Node;
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::session::Session;

/// Where on the nodes snapshots are kept.
#[derive(Debug, Clone, Args)]
pub struct FolderArgs {
    /// Folder on the nodes in which snapshots are kept
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    folder: PathBuf,
}

impl FolderArgs {
    /// The folder.
    ///
    /// # Errors
    /// When it is not a full path.
    pub(in crate::commands::snapshot) fn folder(&self) -> Result<PathBuf, Error> {
        full_path(&self.folder, "--folder")
    }
}

/// A snapshot on a node, as it is typed and shown: `NODE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeptRef {
    pub(super) node: String,
    pub(super) name: SnapshotName,
}

impl FromStr for KeptRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, name) = text
            .split_once('/')
            .filter(|(node, _)| !node.is_empty())
            .ok_or_else(|| format!("{text:?} is not a snapshot on a node: expected NODE/NAME"))?;
        Ok(Self {
            node: node.to_owned(),
            name: name.parse().map_err(|error| format!("{error}"))?,
        })
    }
}

impl fmt::Display for KeptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.name)
    }
}

/// A session with the nodes on which these snapshots lie.
pub(super) async fn open(
    context: &Context<'_>,
    way: &WayArgs,
    snapshots: &[KeptRef],
) -> Result<Session, Error> {
    let mut node: Vec<String> = snapshots.iter().map(|one| one.node.clone()).collect();
    node.sort();
    node.dedup();
    let way = way.clone();
    context.open(&FleetArgs { node, way }).await
}

/// The node of a session; every session has those it was opened for.
pub(super) fn node<'a>(session: &'a Session, name: &str) -> Result<&'a Node, Error> {
    crate::commands::node_named(session, name)
        .ok_or_else(|| Error::failed(format!("{name} is not a node that can be worked on")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_on_a_node_is_read_as_it_is_shown() {
        let one: KeptRef = "cp-1/etcd-2026.db".parse().unwrap();
        assert_eq!(
            (one.node.as_str(), one.name.as_str()),
            ("cp-1", "etcd-2026.db")
        );
        assert_eq!(one.to_string(), "cp-1/etcd-2026.db");
        for bad in [
            "etcd.db",
            "/etcd.db",
            "cp-1/",
            "cp-1/../x",
            "cp-1/a/b",
            "cp-1/a b",
        ] {
            assert!(bad.parse::<KeptRef>().is_err(), "{bad}");
        }
    }
}
