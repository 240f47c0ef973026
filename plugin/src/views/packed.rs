//! How packed snapshots are shown.

use etcd_operations::pack::Wanted;
use etcd_operations::pack::unpack::{Archive, Compression, ForeignPack, Found, Opened};
use etcd_operations::report::{BundleSummary, Contents, LeftOut, SnapshotReport};
use schemars::JsonSchema;
use serde::Serialize;

use kubectl_etcd_core::format::counted;

/// How many things that are not in a bundle a table names.
const SHOWN: usize = 3;

/// What a snapshot is packed as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackedFile {
    /// How.
    pub form: FileForm,
    /// The sha256 of the packed file in hex: what `sha256sum` says of it.
    pub sha256: String,
    /// The size of the snapshot in it, in bytes.
    pub snapshot_bytes: u64,
    /// What it is called in the archive, when it is in one of somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// What was checked beside the snapshot, when it is a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<CheckedBundle>,
}

/// How a snapshot is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Packing {
    /// It is as etcd sent it.
    Plain,
    /// It is compressed.
    Zstd,
    /// It is in a bundle.
    Bundle,
    /// It is in a bundle that has certificates and keys.
    BundleWithPki,
}

/// How a file is packed, whoever packed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FileForm {
    /// It is compressed by zstd.
    Zstd,
    /// It is a bundle.
    Bundle,
    /// It is a bundle that has certificates and keys.
    BundleWithPki,
    /// It is compressed by gzip.
    Gzip,
    /// It is compressed by bzip2.
    Bzip2,
    /// It is compressed by xz.
    Xz,
    /// It is compressed by lz4.
    Lz4,
    /// It is a tar archive of somebody else, compressed or not.
    Tar,
    /// It is a zip archive.
    Zip,
}

impl FileForm {
    /// The archive, else the outermost compression.
    fn of(pack: &ForeignPack) -> Option<Self> {
        if let Some((archive, _)) = &pack.archive {
            return Some(match archive {
                Archive::Tar => Self::Tar,
                Archive::Zip => Self::Zip,
            });
        }
        Some(match pack.layers.first()? {
            Compression::Gzip => Self::Gzip,
            Compression::Bzip2 => Self::Bzip2,
            Compression::Xz => Self::Xz,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        })
    }
}

impl Packing {
    fn bundle(pki: bool) -> Self {
        if pki {
            Self::BundleWithPki
        } else {
            Self::Bundle
        }
    }

    /// For people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Zstd => "zstd",
            Self::Bundle => "bundle",
            Self::BundleWithPki => "bundle with keys",
        }
    }
}

impl From<Wanted> for Packing {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Plain => Self::Plain,
            Wanted::Zstd { .. } => Self::Zstd,
            Wanted::Bundle { pki, .. } => Self::bundle(pki),
        }
    }
}

impl From<&SnapshotReport> for Packing {
    fn from(snapshot: &SnapshotReport) -> Self {
        match &snapshot.packed {
            None => Self::Plain,
            Some(packed) => match &packed.bundle {
                None => Self::Zstd,
                Some(bundle) => Self::bundle(bundle.pki),
            },
        }
    }
}

/// A bundle in which every file is as described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckedBundle {
    /// How many files it has, the snapshot among them, beside the description.
    pub files: usize,
    /// Whose.
    #[serde(flatten)]
    pub holds: BundleSummary,
    /// What belongs in it and could not be put in when it was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl PackedFile {
    /// Of a snapshot that was unpacked; none: it is not packed.
    pub fn of(opened: &Opened) -> Option<Self> {
        let unpacked = opened.unpacked.as_ref()?;
        let (form, bundle, member) = match &opened.found {
            Found::Plain => return None,
            Found::Zstd => (FileForm::Zstd, None, None),
            Found::Foreign(pack) => {
                let member = pack.archive.as_ref().map(|(_, member)| member.clone());
                (FileForm::of(pack)?, None, member)
            }
            Found::Bundle(description) => {
                let bundle = description.contents.as_ref().map(CheckedBundle::from);
                let pki = bundle.as_ref().is_some_and(|bundle| bundle.holds.pki);
                let form = match pki {
                    true => FileForm::BundleWithPki,
                    false => FileForm::Bundle,
                };
                (form, bundle, None)
            }
        };
        Some(Self {
            form,
            sha256: unpacked.input.sha256.clone(),
            snapshot_bytes: unpacked.snapshot.size_bytes,
            member,
            bundle,
        })
    }

    /// What a table says of it below its rows, a line each.
    pub(super) fn sentences(&self) -> Vec<String> {
        let Some(bundle) = &self.bundle else {
            let member = self.member.iter();
            return member
                .map(|member| format!("the snapshot in it is {member:?}"))
                .collect();
        };
        let nodes = match bundle.holds.nodes.as_slice() {
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

impl From<&Contents> for CheckedBundle {
    fn from(contents: &Contents) -> Self {
        Self {
            files: contents.files.len(),
            holds: contents.summary(),
            left_out: contents.left_out.clone(),
        }
    }
}
