//! How a snapshot that was taken is shown.

use std::path::Path;
use std::time::Duration;

use etcd_operations::report::SnapshotReport;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::format::{bytes, count, revision, took};
use crate::views::grid::{Paint, clean};
use crate::views::{API_VERSION, View};

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
    /// When it was begun (RFC 3339).
    pub taken_at: String,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
    #[serde(skip)]
    #[schemars(skip)]
    fetched: bool,
}

impl Snapshot {
    /// A snapshot that lies on the node, or in `local` on this host.
    pub fn new(report: &SnapshotReport, node: &str, local: Option<&Path>, took: Duration) -> Self {
        Self {
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
            taken_at: report.taken_at.to_string(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            fetched: false,
        }
    }

    /// One that was kept on the node and now lies in `file` on this host as well.
    pub fn fetched(report: &SnapshotReport, node: &str, file: &Path, took: Duration) -> Self {
        Self {
            fetched: true,
            ..Self::new(report, node, Some(file), took)
        }
    }
}

impl View for Snapshot {
    fn table(&self, wide: bool, _paint: Paint) -> String {
        let place = if self.on_node {
            format!("{} on {}", self.path, self.node)
        } else {
            self.path.clone()
        };
        let (verb, checked) = if self.fetched {
            ("fetched", "the same, by its sha256, that was checked there")
        } else {
            ("saved", "sha256, size and every page checked")
        };
        let mut text = format!(
            "{verb} {}\n{} of {}, revision {}, {} keys, etcd {}, in {}; {checked}\n",
            clean(&place),
            bytes(self.size_bytes),
            self.node,
            revision(self.revision),
            count(self.total_keys),
            self.etcd_version,
            took(Duration::from_millis(self.took_ms)),
        );
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
