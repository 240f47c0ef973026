//! How the content of a snapshot is shown.

use etcd_datadir::inspect as file;
use etcd_datadir::records::small::AlarmKind;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, Tone, clean, field, painted};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::{count, counted};

/// What is in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `SnapshotContents`.
    pub kind: &'static str,
    /// The file.
    pub file: String,
    /// The revision of the last change.
    pub revision: u64,
    /// Keys that are not deleted.
    pub keys: u64,
    /// The last compaction that was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compacted_revision: Option<u64>,
    /// The raft term of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raft_term: Option<u64>,
    /// The raft index of the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_index: Option<u64>,
    /// The version the members had agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_version: Option<String>,
    /// The storage version (etcd 3.6 and later).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
    /// A downgrade under way, as etcd stores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<String>,
    /// The cluster's id, if its members are those it was founded with: no snapshot holds the id itself.
    pub cluster_id_if_founders: String,
    /// The members.
    pub members: Vec<Member>,
    /// Ids of members that were removed.
    pub removed_members: Vec<String>,
    /// Alarms that are raised in it, and would be in a cluster restored from it.
    pub alarms: Vec<String>,
    /// How many leases there are.
    pub leases: u64,
    /// Users and roles of etcd's own.
    pub auth: Auth,
    /// What the keys are to Kubernetes.
    pub kubernetes: Kubernetes,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is a learner.
    pub learner: bool,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
}

/// Users and roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Whether clients must be users.
    pub enabled: bool,
    /// Users there are.
    pub users: u64,
    /// Roles there are.
    pub roles: u64,
}

/// What the keys are to Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// Objects by resource, by name.
    pub resources: Vec<Resource>,
    /// Keys outside of the apiserver's prefix.
    pub other_keys: u64,
    /// The encryption keys values are encrypted with.
    pub encryption: Vec<Encryption>,
    /// When the youngest object was created (RFC 3339): a lower bound of the snapshot's own time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_object: Option<String>,
}

/// Objects of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// As kubectl names it.
    pub name: String,
    /// How many there are.
    pub objects: u64,
    /// How many of them are encrypted.
    pub encrypted: u64,
}

/// Use of one encryption key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The provider, as the encryption configuration has it; `kms` with its version.
    pub provider: String,
    /// The key's name; for `kms` the plugin's.
    pub key: String,
    /// Values encrypted with it.
    pub objects: u64,
}

impl Inspection {
    /// What was found in a file.
    pub fn new(name: String, found: &file::Inspection) -> Self {
        let members = found.members.iter().map(|member| Member {
            id: member.id.to_string(),
            name: member.name.clone(),
            learner: member.is_learner,
            peer_urls: member.peer_urls.clone(),
        });
        Self {
            api_version: API_VERSION,
            kind: "SnapshotContents",
            file: name,
            revision: found.revision,
            keys: found.keys,
            compacted_revision: found.meta.finished_compact_revision,
            raft_term: found.meta.term,
            consistent_index: found.meta.consistent_index,
            cluster_version: found.cluster_version.clone(),
            storage_version: found.meta.storage_version.clone(),
            downgrade: found.downgrade.clone(),
            cluster_id_if_founders: found.cluster_id_if_founders.to_string(),
            members: members.collect(),
            removed_members: found
                .removed_members
                .iter()
                .map(ToString::to_string)
                .collect(),
            alarms: found
                .alarms
                .iter()
                .map(|alarm| format!("{} of {}", alarm_word(alarm.kind), alarm.member))
                .collect(),
            leases: found.leases,
            auth: Auth {
                enabled: found.auth.enabled,
                users: found.auth.users,
                roles: found.auth.roles,
            },
            kubernetes: kubernetes(&found.kubernetes),
        }
    }
}

/// An alarm as etcd calls it.
fn alarm_word(kind: AlarmKind) -> String {
    match kind {
        AlarmKind::NoSpace => "NOSPACE".to_owned(),
        AlarmKind::Corrupt => "CORRUPT".to_owned(),
        AlarmKind::Other(number) => format!("alarm {number}"),
    }
}

fn kubernetes(found: &file::Kubernetes) -> Kubernetes {
    Kubernetes {
        resources: found
            .resources
            .iter()
            .map(|(name, objects)| Resource {
                name: name.clone(),
                objects: objects.objects,
                encrypted: objects.encrypted,
            })
            .collect(),
        other_keys: found.other_keys,
        encryption: found
            .encryption
            .iter()
            .map(|used| Encryption {
                provider: used.key.provider.clone(),
                key: used.key.name.clone(),
                objects: used.objects,
            })
            .collect(),
        newest_object: found
            .newest_object
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .map(|time| time.to_string()),
    }
}

impl View for Inspection {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("RESOURCE|>OBJECTS|>ENCRYPTED");
        for resource in &self.kubernetes.resources {
            let encrypted = if resource.encrypted == 0 {
                String::new()
            } else {
                count(resource.encrypted)
            };
            grid.row(vec![
                field(&resource.name),
                field(count(resource.objects)),
                field(encrypted),
            ]);
        }
        let mut text = String::new();
        for (name, value) in self.facts(paint) {
            text.push_str(&format!("{name:<12}{}\n", clean(&value)));
        }
        if !self.kubernetes.resources.is_empty() {
            text.push('\n');
            text.push_str(&grid.draw(paint));
        }
        text
    }
}

impl Inspection {
    fn facts(&self, paint: Paint) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("file", self.file.clone()),
            (
                "revision",
                match self.compacted_revision {
                    Some(compacted) => format!(
                        "{}, compacted at {}",
                        count(self.revision),
                        count(compacted)
                    ),
                    None => count(self.revision),
                },
            ),
            (
                "keys",
                format!("{}, {}", count(self.keys), counted(self.leases, "lease")),
            ),
        ];
        if let (Some(term), Some(index)) = (self.raft_term, self.consistent_index) {
            facts.push(("raft", format!("term {term}, index {}", count(index))));
        }
        let version = self.cluster_version.as_deref().unwrap_or("not stored");
        let storage = self
            .storage_version
            .as_ref()
            .map(|version| format!(", storage version {version}"));
        let storage = storage.unwrap_or_default();
        facts.push(("version", format!("{version}{storage}")));
        let id = &self.cluster_id_if_founders;
        facts.push(("cluster", format!("{id} if its members founded it")));
        facts.extend(
            self.members
                .iter()
                .map(|member| ("member", member.in_words())),
        );
        if !self.removed_members.is_empty() {
            facts.push(("removed", self.removed_members.join(", ")));
        }
        for alarm in &self.alarms {
            facts.push(("alarm", painted(alarm, Tone::Plain, paint)));
        }
        if let Some(downgrade) = &self.downgrade {
            facts.push(("downgrade", downgrade.clone()));
        }
        if self.auth.enabled {
            let (users, roles) = (self.auth.users, self.auth.roles);
            let words = format!(
                "on, {} and {}",
                counted(users, "user"),
                counted(roles, "role")
            );
            facts.push(("auth", words));
        }
        facts.extend(self.kubernetes.facts());
        facts
    }
}

impl Member {
    fn in_words(&self) -> String {
        let learner = if self.learner { ", a learner" } else { "" };
        let (name, id, urls) = (&self.name, &self.id, self.peer_urls.join(", "));
        format!("{name} ({id}) at {urls}{learner}")
    }
}

impl Kubernetes {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let used = self.encryption.iter().map(|used| {
            let objects = counted(used.objects, "object");
            let words = format!("{} key {}: {objects}", used.provider, used.key);
            ("encryption", words)
        });
        let mut facts: Vec<_> = used.collect();
        if let Some(newest) = &self.newest_object {
            facts.push(("newest", format!("object created {newest}")));
        }
        if self.other_keys > 0 {
            let keys = counted(self.other_keys, "key");
            facts.push(("other", format!("{keys} outside of Kubernetes' prefix")));
        }
        facts
    }
}
