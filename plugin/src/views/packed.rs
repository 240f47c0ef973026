//! How what a packed snapshot was checked for is shown.

use std::collections::BTreeSet;

use etcd_operations::pack::unpack::{Found, Opened};
use etcd_operations::pack::{Contents, MASTERS};
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::format::counted;

/// How many things that are not in a bundle a table names.
const SHOWN: usize = 3;

/// What a snapshot is packed as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackedFile {
    /// How.
    pub form: PackedForm,
    /// The sha256 of the packed file in hex: what `sha256sum` says of it.
    pub sha256: String,
    /// The size of the snapshot in it, in bytes.
    pub snapshot_bytes: u64,
    /// What was checked beside the snapshot, when it is a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<CheckedBundle>,
}

/// How a snapshot is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PackedForm {
    /// Compressed.
    Zstd,
    /// In a bundle.
    Bundle,
}

/// A bundle in which every file is as described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckedBundle {
    /// How many files it has, the snapshot among them, beside the description.
    pub files: usize,
    /// The control-plane nodes whose files are in it.
    pub nodes: Vec<String>,
    /// What belongs in it and could not be put in when it was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutFile>,
}

/// What is not in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutFile {
    /// Its path, as it would have been in the bundle.
    pub path: String,
    /// Why it is not.
    pub why: String,
}

impl PackedFile {
    /// Of a snapshot that was unpacked; none: it is not packed.
    pub fn of(opened: &Opened) -> Option<Self> {
        let unpacked = opened.unpacked.as_ref()?;
        let (form, bundle) = match &opened.found {
            Found::Plain => return None,
            Found::Zstd => (PackedForm::Zstd, None),
            Found::Bundle(description) => {
                let contents = description.contents.as_ref();
                (PackedForm::Bundle, contents.map(CheckedBundle::of))
            }
        };
        Some(Self {
            form,
            sha256: unpacked.input.sha256.clone(),
            snapshot_bytes: unpacked.snapshot.size_bytes,
            bundle,
        })
    }

    /// What a table says of it below its rows, a line each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let Some(bundle) = &self.bundle else {
            return Vec::new();
        };
        let nodes = match bundle.nodes.as_slice() {
            [] => "none of control-plane nodes".to_owned(),
            nodes => format!("of {}", nodes.join(", ")),
        };
        let files = counted(bundle.files, "file");
        let mut lines = vec![format!("bundle: {files}, all as described, {nodes}")];
        let left_out = bundle.left_out.iter().take(SHOWN);
        lines.extend(left_out.map(|one| format!("not in the bundle: {} ({})", one.path, one.why)));
        let more = bundle.left_out.len().saturating_sub(SHOWN);
        if more > 0 {
            lines.push(format!("not in the bundle: {more} more"));
        }
        lines
    }
}

impl CheckedBundle {
    fn of(contents: &Contents) -> Self {
        let node = |path: &str| {
            let (folder, path) = path.split_once('/')?;
            let (node, _) = path.split_once('/')?;
            (folder == MASTERS).then(|| node.to_owned())
        };
        let paths = contents.files.iter().map(|file| file.path.as_str());
        let nodes: BTreeSet<String> = paths.filter_map(node).collect();
        let left_out = contents.left_out.iter().map(|one| LeftOutFile {
            path: one.path.clone(),
            why: one.why.clone(),
        });
        Self {
            files: contents.files.len(),
            nodes: nodes.into_iter().collect(),
            left_out: left_out.collect(),
        }
    }
}
