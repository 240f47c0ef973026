//! Packed snapshots: compressed, or in a bundle with what a rebuild needs beside the database.
//!
//! A packed snapshot is zstd (RFC 8878: any number of frames, one after another). What is in it is either the snapshot
//! alone, or a tar archive, the bundle, that plain `tar --zstd` opens:
//!
//! | file | |
//! |---|---|
//! | `TOP/snapshot.db` | the database snapshot as etcd sent it, trailer included; first |
//! | `TOP/kubeadm-config.yaml` | the ClusterConfiguration that kubeadm keeps in the cluster, as far as there is one |
//! | `TOP/masters/NODE/PATH` | files of a control-plane node under their paths there, with their modes |
//! | `TOP/description.json` | what the snapshot is, and size and sha256 of every other file; last |
//!
//! TOP is the bundle's own name without its ending. All entries are regular files with ustar headers, and TOP is the
//! same in all; whoever reads a bundle refuses anything else.
//!
//! Each control-plane node packs its own files, so a bundle may be put together from segments: zstd frames with entries,
//! of which only the last one has the archive's end.

pub(crate) mod node;
pub mod segment;
pub mod unpack;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::snapshot_name::safe;

/// The database snapshot in a bundle, below its top folder.
pub const SNAPSHOT: &str = "snapshot.db";
/// What describes a bundle, below its top folder.
pub(crate) const DESCRIPTION: &str = "description.json";
/// kubeadm's ClusterConfiguration in a bundle, below its top folder.
pub const KUBEADM_CONFIG: &str = "kubeadm-config.yaml";

/// How snapshots are to be packed, wherever they are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case")]
pub enum Wanted {
    /// As etcd sends them.
    #[default]
    Plain,
    /// Compressed by zstd.
    Zstd {
        /// How thoroughly.
        level: Level,
    },
    /// In bundles.
    Bundle {
        /// How thoroughly they are compressed.
        level: Level,
        /// Whether certificates, keys and kubeconfigs are in them.
        pki: bool,
    },
}

impl Wanted {
    /// Whether nothing is packed.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }

    /// Whether files of the node go with the snapshot.
    pub fn is_bundle(&self) -> bool {
        matches!(self, Self::Bundle { .. })
    }

    /// Whether certificates and private keys go with the snapshot.
    pub fn has_keys(&self) -> bool {
        matches!(self, Self::Bundle { pki: true, .. })
    }

    /// What names of such files end in.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Plain => ".db",
            Self::Zstd { .. } => ".db.zst",
            Self::Bundle { .. } => ".tar.zst",
        }
    }

    /// What that means on a node whose file system is found at `root`, for a file of this name; `whole` as in
    /// [`Packing::Bundle`].
    pub fn on_node(self, name: &str, root: &Path, whole: bool) -> Packing {
        match self {
            Self::Plain => Packing::Plain,
            Self::Zstd { level } => Packing::Zstd { level },
            Self::Bundle { level, pki } => Packing::Bundle {
                parts: BundleParts {
                    top: top(name.strip_suffix(self.ending()).unwrap_or(name)),
                    level,
                    pki,
                    root: root.to_owned(),
                },
                whole,
            },
        }
    }
}

/// The top folder of a bundle of this name, which may be any file's.
fn top(name: &str) -> String {
    Some(safe(name, 120))
        .filter(|top| !top.is_empty())
        .unwrap_or_else(|| "etcd".to_owned())
}

/// How a snapshot's file is packed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Packing {
    /// As etcd sends it.
    #[default]
    Plain,
    /// Compressed by zstd.
    Zstd {
        /// How thoroughly.
        level: Level,
    },
    /// A bundle, or its first segment.
    Bundle {
        /// What is in it.
        parts: BundleParts,
        /// Whether this is all of it: its description and end follow.
        whole: bool,
    },
}

impl Packing {
    /// Whether nothing is packed.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// What a bundle or a segment of it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleParts {
    /// The folder that all of it is in.
    pub top: String,
    /// How thoroughly it is compressed.
    pub level: Level,
    /// Whether certificates, keys and kubeconfigs are in it.
    pub pki: bool,
    /// Where the node's file system is found.
    pub root: PathBuf,
}

/// How thoroughly zstd compresses: 1 is fast, 19 is slow. 20 and more would need much memory to unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Level(i32);

impl Default for Level {
    /// The fastest: what the apiserver stores shrinks to a fraction all the same, and a control-plane node has other work.
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<i32> for Level {
    type Error = String;

    fn try_from(level: i32) -> Result<Self, String> {
        if (1..=19).contains(&level) {
            Ok(Self(level))
        } else {
            Err(format!("{level} is not a level between 1 and 19"))
        }
    }
}

impl From<Level> for i32 {
    fn from(level: Level) -> Self {
        level.0
    }
}
