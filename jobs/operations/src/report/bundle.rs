//! What is in a bundle: a snapshot with what a rebuild needs beside it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The folder of the control-plane nodes' folders, below a bundle's top folder.
pub const MASTERS: &str = "masters";

/// What is beside the database in a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The files, `snapshot.db` among them, by their paths below the top folder.
    pub files: Vec<BundledFile>,
    /// What belongs in it and is not, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl Contents {
    /// Notes what is not in it.
    pub fn leave_out(&mut self, path: impl Into<String>, why: impl Into<String>) {
        self.left_out.push(LeftOut {
            path: path.into(),
            why: why.into(),
        });
    }

    /// The control-plane nodes of which there are files, and whether keys and certificates are among them.
    pub fn summary(&self) -> BundleSummary {
        let mut nodes = BTreeSet::new();
        let mut pki = false;
        for file in &self.files {
            let below = file
                .path
                .strip_prefix(MASTERS)
                .and_then(|path| path.strip_prefix('/'));
            if let Some((node, path)) = below.and_then(|path| path.split_once('/')) {
                nodes.insert(node.to_owned());
                pki |= path.contains("/pki/")
                    || path.ends_with(".key")
                    || path.ends_with(".conf") && path.starts_with("etc/kubernetes/");
            }
        }
        BundleSummary {
            nodes: nodes.into_iter().collect(),
            pki,
        }
    }

    /// Adds what is in another segment.
    pub fn append(&mut self, mut other: Self) {
        self.files.append(&mut other.files);
        self.left_out.append(&mut other.left_out);
    }
}

/// A file in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundledFile {
    /// Its path below the top folder.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its sha256 in hex.
    pub sha256: String,
}

/// What could not be put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Its path, as it would have been below the top folder.
    pub path: String,
    /// Why not.
    pub why: String,
}

/// A bundle in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BundleSummary {
    /// The control-plane nodes whose files are in it.
    pub nodes: Vec<String>,
    /// Whether their certificates and keys are.
    pub pki: bool,
}
