//! How a snapshot that was taken is shown.

use std::path::Path;
use std::time::Duration;

use etcd_operations::report::{LeftOut, NO_OBJECTS, Packed};
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Paint, clean, one_line};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::{bytes, count, revision, took};
use kubectl_etcd_core::session::{Checked, Compared, Saved};

/// A snapshot that was taken and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Snapshot`.
    pub kind: &'static str,
    /// Where it lies: on this host, or on the node when `onNode`.
    pub path: String,
    /// Whether it lies on the node.
    pub on_node: bool,
    /// The node it was taken on.
    pub node: String,
    /// The file's size in bytes, trailer included.
    pub size_bytes: u64,
    /// sha256 of the whole file, as `sha256sum` prints it.
    pub sha256: String,
    /// The cluster's id.
    pub cluster_id: String,
    /// The id of the member it was taken from.
    pub member_id: String,
    /// Its revision.
    pub revision: i64,
    /// The raft term when it was begun.
    pub raft_term: u64,
    /// etcd's version.
    pub etcd_version: String,
    /// The storage version (etcd 3.6 and later).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// The hash `etcdutl snapshot status` prints, as 8 hexadecimal digits.
    pub hash: String,
    /// Keys alive.
    pub total_keys: u64,
    /// Whether an object of Kubernetes is in it, events aside; absent: it was not looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_objects: Option<bool>,
    /// When it was begun (RFC 3339).
    pub taken_at: String,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
    /// What the file holds, when it is packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed: Option<Packed>,
    /// What belongs into the bundle and is not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Where its sha256, its size and every page were checked.
    pub checked: CheckedWhere,
    /// Another node whose member has the same data at the same revision; absent when it was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_data_as: Option<SameData>,
    #[serde(skip)]
    #[schemars(skip)]
    fetched: bool,
}

/// Where a snapshot was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckedWhere {
    /// On this host, after it had come.
    Here,
    /// Its sha256 and size on this host; its pages only on the node.
    HereButPages,
    /// On the node it was taken on, or the host it lies on.
    WhereTaken,
}

/// Another member that has the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SameData {
    /// Its node.
    pub node: String,
    /// The hash of both, as `etcdctl endpoint hashkv` has it, as 8 hexadecimal digits.
    pub hash_kv: String,
}

impl Snapshot {
    /// One that was saved, on the node or in `local` on this host; `-` is standard output.
    pub fn saved(saved: &Saved, node: &str, local: Option<&Path>, took: Duration) -> Self {
        let contents = saved.saved.contents.iter();
        let left_out = contents.flat_map(|contents| &contents.left_out);
        Self {
            left_out: left_out.cloned().collect(),
            ..Self::new(saved, node, local, took)
        }
    }

    /// What has to be known of it although it is whole: that nothing of a cluster is in it.
    pub fn warning(&self) -> Option<&'static str> {
        (self.has_objects == Some(false)).then_some(NO_OBJECTS)
    }

    /// What was done, in a line.
    pub fn in_words(&self) -> String {
        let place = match self.path.as_str() {
            "-" => "to standard output".to_owned(),
            path if self.on_node => format!("{path} on {}", self.node),
            path => path.to_owned(),
        };
        let verb = if self.fetched { "fetched" } else { "saved" };
        let checked = match self.checked {
            CheckedWhere::Here | CheckedWhere::WhereTaken => "sha256, size and every page checked",
            CheckedWhere::HereButPages => "sha256 and size checked, every page on its node only",
        };
        let same = match &self.same_data_as {
            Some(same) => format!("; same data as {} (hash {})", same.node, same.hash_kv),
            None => String::new(),
        };
        let but = self
            .warning()
            .map_or_else(String::new, |warning| format!(", but {warning}"));
        format!(
            "{verb} {}\n{} of {}, revision {}, {} keys, etcd {}, in {}; {checked}{same}{but}{}",
            clean(&place),
            self.sizes(),
            one_line(&self.node),
            revision(self.revision),
            count(self.total_keys),
            one_line(&self.etcd_version),
            took(Duration::from_millis(self.took_ms)),
            self.beside(),
        )
    }

    fn sizes(&self) -> String {
        match &self.packed {
            Some(packed) => format!(
                "{} ({} unpacked)",
                bytes(self.size_bytes),
                bytes(packed.size_bytes)
            ),
            None => bytes(self.size_bytes),
        }
    }

    fn beside(&self) -> String {
        let bundle = self
            .packed
            .as_ref()
            .and_then(|packed| packed.bundle.as_ref());
        let Some(bundle) = bundle else {
            return String::new();
        };
        let what = if bundle.pki {
            "manifests, configuration, certificates and private keys"
        } else {
            "manifests and configuration"
        };
        format!("\nwith the {what} of {}", bundle.nodes.join(", "))
    }

    /// A snapshot that lies on the node, or in `local` on this host.
    fn new(saved: &Saved, node: &str, local: Option<&Path>, took: Duration) -> Self {
        let report = &saved.saved.snapshot;
        let same_data_as = match &saved.compared {
            Compared::Same { node, hash } => Some(SameData {
                node: node.clone(),
                hash_kv: format!("{hash:08x}"),
            }),
            Compared::Not { .. } | Compared::NotAsked => None,
        };
        Self {
            checked: match saved.checked {
                Checked::Here => CheckedWhere::Here,
                Checked::HereButPages { .. } => CheckedWhere::HereButPages,
                Checked::WhereTaken => CheckedWhere::WhereTaken,
            },
            same_data_as,
            api_version: API_VERSION,
            kind: "Snapshot",
            path: local.unwrap_or(&report.path).display().to_string(),
            on_node: local.is_none(),
            node: node.to_owned(),
            size_bytes: report.size_bytes,
            sha256: report.sha256.clone(),
            cluster_id: report.cluster_id.to_string(),
            member_id: report.member_id.to_string(),
            revision: report.revision,
            raft_term: report.raft_term,
            etcd_version: report.etcd_version.clone(),
            storage_version: report.storage_version.clone(),
            hash: format!("{:08x}", report.hash),
            total_keys: report.total_keys,
            has_objects: report.has_objects,
            taken_at: report.taken_at.to_string(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            packed: report.packed.clone(),
            left_out: Vec::new(),
            fetched: false,
        }
    }

    /// One that was kept on the node and now lies in `file` on this host as well.
    pub fn fetched(saved: &Saved, node: &str, file: &Path, took: Duration) -> Self {
        Self {
            fetched: true,
            ..Self::new(saved, node, Some(file), took)
        }
    }
}

impl View for Snapshot {
    fn table(&self, wide: bool, _paint: Paint) -> String {
        let mut text = self.in_words() + "\n";
        if wide {
            text.push_str(&format!(
                "sha256 {}\nhash {}, cluster {}, member {}, term {}, storage version {}, begun {}\n",
                self.sha256,
                self.hash,
                self.cluster_id,
                self.member_id,
                self.raft_term,
                self.storage_version.as_deref().unwrap_or("-"),
                self.taken_at,
            ));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        vec![self.path.clone()]
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::report::{SavedSnapshot, SnapshotReport};

    use super::*;

    #[test]
    fn a_snapshot_without_an_object_is_never_called_checked_without_a_word() {
        let report = kubectl_etcd_core::schedule::fixtures::sample_report().snapshot;
        let view = |has_objects| {
            let snapshot = SnapshotReport {
                has_objects,
                ..report.clone()
            };
            let contents = None;
            let saved = Saved::from(SavedSnapshot { snapshot, contents });
            Snapshot::saved(&saved, "cp-1", None, Duration::ZERO)
        };
        let empty = view(Some(false)).in_words();
        assert!(
            empty.contains("every page checked, but no Kubernetes object is in it"),
            "{empty}"
        );
        for known in [Some(true), None] {
            assert_eq!(view(known).warning(), None);
        }
    }
}
