//! How snapshots that are kept on nodes are shown.

use std::cmp::Reverse;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use etcd_operations::report::{Checked, KeptSnapshot, KeptState};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Field, Grid, Paint, Tone, field, maybe, one_line, painted};
use crate::views::packed::Packing;
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::{age, bytes, revision};

/// The snapshots that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotList {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `SnapshotList`.
    pub kind: &'static str,
    /// The folder on the nodes.
    pub folder: String,
    /// The snapshots: those of this host, then by node and age, the newest first.
    pub snapshots: Vec<ListedSnapshot>,
    /// The nodes whose snapshots are not known.
    pub unreached: Vec<Unreached>,
    /// The newest verified one on a node, as `NODE/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_verified: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    now: Timestamp,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedSnapshot {
    /// The node; absent: it lies on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The file's name.
    pub name: String,
    /// The folder it lies in.
    pub folder: String,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// How it is packed; absent: nothing tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packing: Option<Packing>,
    /// The snapshot's size unpacked, in bytes, when it is packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked_bytes: Option<u64>,
    /// Whether it may be relied on.
    pub state: SnapshotState,
    /// When it was last read to the last byte and found whole (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// On which occasion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<VerifiedHow>,
    /// What is wrong, or why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it was begun (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// Its revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// etcd's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd_version: Option<String>,
    /// The cluster's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// sha256 of the whole file, as described.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    taken: Option<Timestamp>,
}

/// What a list of snapshots is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// By node, the newest first
    Node,
    /// By name
    Name,
    /// The newest first
    Age,
    /// The largest first
    Size,
}

/// Whether a snapshot may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SnapshotState {
    /// All of it was read and found to be what etcd sent.
    Verified,
    /// It is not what it was.
    Damaged,
    /// There is no telling.
    Unknown,
}

/// On which occasion a snapshot was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VerifiedHow {
    /// While it was saved.
    WhileSaving,
    /// Read again later.
    Again,
}

/// A node that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unreached {
    /// The node.
    pub node: String,
    /// Why.
    pub problem: String,
}

impl SnapshotList {
    /// A list without snapshots.
    pub fn new(folder: &Path, now: Timestamp) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "SnapshotList",
            folder: folder.display().to_string(),
            snapshots: Vec::new(),
            unreached: Vec::new(),
            newest_verified: None,
            now,
        }
    }

    /// What is stored in the folder of a node.
    pub fn add(&mut self, node: &str, stored: &[KeptSnapshot]) {
        self.extend(Some(node), &self.folder.clone(), stored);
    }

    /// What is stored in a folder of this host.
    pub fn add_here(&mut self, folder: &Path, stored: &[KeptSnapshot]) {
        self.extend(None, &folder.display().to_string(), stored);
    }

    fn extend(&mut self, node: Option<&str>, folder: &str, stored: &[KeptSnapshot]) {
        let listed = stored
            .iter()
            .map(|one| ListedSnapshot::new(node.map(str::to_owned), folder.to_owned(), one));
        self.snapshots.extend(listed);
    }

    /// A node whose snapshots are not known.
    pub fn unknown(&mut self, node: &str, problem: String) {
        self.unreached.push(Unreached {
            node: node.to_owned(),
            problem,
        });
    }

    /// Puts them in an order. What is equal there is by node and age.
    pub fn finish(&mut self, order: Order) {
        self.snapshots
            .sort_by_key(|one| (one.node.clone(), Reverse(one.taken), one.name.clone()));
        match order {
            Order::Node => {}
            Order::Name => self.snapshots.sort_by_key(|one| one.name.clone()),
            Order::Age => self.snapshots.sort_by_key(|one| Reverse(one.taken)),
            Order::Size => self.snapshots.sort_by_key(|one| Reverse(one.size_bytes)),
        }
        self.newest_verified = self.newest().map(ListedSnapshot::reference);
    }

    /// The newest verified one on a node. One of a time that has not come is not known to be new.
    fn newest(&self) -> Option<&ListedSnapshot> {
        let known = self.snapshots.iter().filter(|one| {
            one.state == SnapshotState::Verified
                && one.node.is_some()
                && one.taken.is_some_and(|taken| taken <= self.now)
        });
        known.max_by_key(|one| one.taken)
    }

    fn summary(&self) -> String {
        match self.newest() {
            Some(newest) => format!(
                "newest verified: {}, taken {} ago, revision {}",
                newest.reference(),
                self.age_of(newest.taken).unwrap_or_default(),
                newest.revision.map(revision).unwrap_or_default()
            ),
            None if self.unreached.is_empty() => "no verified snapshot is kept".to_owned(),
            None => "no verified snapshot is known".to_owned(),
        }
    }

    fn age_of(&self, time: Option<Timestamp>) -> Option<String> {
        age_at(self.now, time)
    }
}

/// How long ago something was; what is in the future is said to be.
pub(super) fn age_at(now: Timestamp, time: Option<Timestamp>) -> Option<String> {
    let passed = now.duration_since(time?);
    Some(Duration::try_from(passed).map_or_else(|_| "in the future".to_owned(), age))
}

impl ListedSnapshot {
    fn new(node: Option<String>, folder: String, kept: &KeptSnapshot) -> Self {
        let snapshot = kept.snapshot.as_ref();
        let (state, verified, problem) = match &kept.state {
            KeptState::Verified { at, how } => (SnapshotState::Verified, Some((at, how)), None),
            KeptState::Damaged { what } => (SnapshotState::Damaged, None, Some(what.clone())),
            KeptState::Unknown { why } => (SnapshotState::Unknown, None, Some(why.clone())),
        };
        Self {
            node,
            folder,
            name: kept.name.to_string(),
            size_bytes: kept.size_bytes,
            packing: snapshot.map(Packing::from),
            unpacked_bytes: snapshot
                .and_then(|snapshot| Some(snapshot.packed.as_ref()?.size_bytes)),
            state,
            verified_at: verified.map(|(at, _)| at.to_string()),
            verified: verified.map(|(_, how)| match how {
                Checked::WhileSaving => VerifiedHow::WhileSaving,
                Checked::Again => VerifiedHow::Again,
            }),
            problem,
            taken_at: snapshot.map(|snapshot| snapshot.taken_at.to_string()),
            revision: snapshot.map(|snapshot| snapshot.revision),
            etcd_version: snapshot.map(|snapshot| snapshot.etcd_version.clone()),
            cluster_id: snapshot.map(|snapshot| snapshot.cluster_id.to_string()),
            sha256: snapshot.map(|snapshot| snapshot.sha256.clone()),
            taken: snapshot.map(|snapshot| snapshot.taken_at),
        }
    }

    /// `NODE/NAME`, or the path on this host.
    fn reference(&self) -> String {
        match &self.node {
            Some(node) => format!("{node}/{}", self.name),
            None => Path::new(&self.folder)
                .join(&self.name)
                .display()
                .to_string(),
        }
    }

    fn state_field(&self, now: Timestamp) -> Field {
        let again = || {
            let at = self.verified_at.as_deref()?.parse().ok();
            Some(format!("again, {} ago", age_at(now, at)?))
        };
        match (self.state, self.verified) {
            (SnapshotState::Verified, Some(VerifiedHow::Again)) => maybe(again()).tone(Tone::Good),
            (SnapshotState::Verified, _) => field("while saving").tone(Tone::Good),
            (SnapshotState::Damaged, _) => field("damaged").tone(Tone::Bad),
            (SnapshotState::Unknown, _) => field("unknown").tone(Tone::Warn),
        }
    }
}

impl SnapshotList {
    fn row(&self, one: &ListedSnapshot, wide: bool) -> Vec<Field> {
        let mut fields = vec![
            maybe(one.node.clone()),
            field(one.name.as_str()),
            maybe(self.age_of(one.taken)),
            maybe(one.revision.map(revision)),
            field(bytes(one.size_bytes)),
            maybe(one.packing.map(Packing::in_words)),
            one.state_field(self.now),
        ];
        if wide {
            fields.push(maybe(one.etcd_version.clone()));
            fields.push(maybe(one.cluster_id.clone()));
            fields.push(field(one.folder.as_str()));
            fields.push(maybe(one.sha256.clone()));
        }
        fields
    }
}

impl View for SnapshotList {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("NODE|NAME|>AGE|>REVISION|>SIZE|PACKED|VERIFIED")
            .and(wide, "ETCD|CLUSTER ID|FOLDER|SHA256");
        for one in &self.snapshots {
            grid.row(self.row(one, wide));
        }
        for node in &self.unreached {
            let columns = if wide { 11 } else { 7 };
            let mut fields = vec![field(""); columns];
            fields[0] = field(node.node.as_str());
            fields[6] = field("unknown").tone(Tone::Warn);
            grid.row(fields);
        }
        let mut text = if self.snapshots.is_empty() && self.unreached.is_empty() {
            String::new()
        } else {
            grid.draw(paint)
        };
        let tone = if self.newest_verified.is_some() {
            Tone::Good
        } else {
            Tone::Warn
        };
        text.push_str(&painted(&self.summary(), tone, paint));
        text.push('\n');
        for one in &self.snapshots {
            if let Some(problem) = &one.problem {
                let word = match one.state {
                    SnapshotState::Damaged => "damaged: ",
                    SnapshotState::Verified | SnapshotState::Unknown => "",
                };
                let line = format!("{}: {word}{problem}", one.reference());
                text.push_str(&(one_line(&line) + "\n"));
            }
        }
        for node in &self.unreached {
            text.push_str(&format!(
                "{}: its snapshots are not known: {}\n",
                one_line(&node.node),
                one_line(&node.problem)
            ));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.snapshots
            .iter()
            .map(ListedSnapshot::reference)
            .collect()
    }
}

#[cfg(test)]
#[path = "stored_tests.rs"]
pub(crate) mod tests;
