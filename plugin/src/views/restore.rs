//! How restored directories are shown.

use etcd_datadir::restore::{RestoreReport, SnapshotForm, StorageFinding};
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, field, one_line};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::count;

/// What a restore made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Restore`.
    pub kind: &'static str,
    /// The snapshot.
    pub file: String,
    /// Whether its sha256 proved it to be what etcd wrote.
    pub proven: bool,
    /// The new cluster's id.
    pub cluster_id: String,
    /// The token its ids were made with.
    pub token: String,
    /// The snapshot's revision.
    pub revision_before: u64,
    /// The revision etcd will begin with.
    pub revision_after: u64,
    /// Keys alive.
    pub keys: u64,
    /// A storage version that is left although the etcd that is to run knows none, or that was lowered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_note: Option<&'static str>,
    /// The directories.
    pub members: Vec<RestoredMember>,
    /// `--initial-cluster` as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_cluster: Option<String>,
}

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredMember {
    /// The member's name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// The data directory.
    pub data_dir: String,
    /// The WAL's directory.
    pub wal_dir: String,
}

impl Restored {
    /// What a restore of a file made.
    pub fn new(file: String, report: &RestoreReport, initial_cluster: Option<&str>) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Restore",
            file,
            proven: match report.form {
                SnapshotForm::Snapshot => true,
                SnapshotForm::RawDatabase => false,
            },
            cluster_id: report.cluster_id.to_string(),
            token: report.token.clone(),
            revision_before: report.revision_before,
            revision_after: report.revision_after,
            keys: report.status.total_keys_live,
            storage_note: match report.storage {
                StorageFinding::Fits => None,
                StorageFinding::LeftStale => Some(
                    "the storage version of a newer etcd is left in it, over which a later upgrade may stumble",
                ),
                StorageFinding::Lowered => Some("the storage version was lowered"),
            },
            members: report
                .members
                .iter()
                .map(|member| RestoredMember {
                    name: member.name.clone(),
                    id: member.id.to_string(),
                    peer_urls: member.peer_urls.clone(),
                    data_dir: member.data_dir.display().to_string(),
                    wal_dir: member.wal_dir.display().to_string(),
                })
                .collect(),
            initial_cluster: initial_cluster.map(str::to_owned),
        }
    }
}

impl View for Restored {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("MEMBER|ID|DATA DIRECTORY|PEER URLS");
        for member in &self.members {
            grid.row(vec![
                field(&member.name),
                field(&member.id),
                field(&member.data_dir),
                field(member.peer_urls.join(",")),
            ]);
        }
        let mut text = grid.draw(paint);
        let revision = if self.revision_before == self.revision_after {
            format!("revision {}", count(self.revision_after))
        } else {
            format!(
                "revision {} raised to {}, all before compacted",
                count(self.revision_before),
                count(self.revision_after)
            )
        };
        text.push_str(&format!(
            "restored {}: {revision}, {} keys\nnew cluster {}, token {}\n",
            one_line(&self.file),
            count(self.keys),
            self.cluster_id,
            one_line(&self.token)
        ));
        if !self.proven {
            text.push_str("warning: without a sha256 trailer nothing proves that the values are what etcd wrote\n");
        }
        if let Some(note) = self.storage_note {
            text.push_str(&format!("note: {note}\n"));
        }
        text
    }
}
