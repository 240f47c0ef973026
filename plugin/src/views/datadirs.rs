//! How data directories are shown.

use std::collections::BTreeMap;

use etcd_datadir::datadir::{Comparison as Ranking, DataDir, DatabaseState, Refusal, Verdict};
use etcd_datadir::ids::MemberId;
use etcd_datadir::membership::ViewMember;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Field, Grid, Paint, Tone, clean, field, maybe};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::format::{bytes, count};

/// Data directories, looked at or compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataDirs {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `DataDirs`.
    pub kind: &'static str,
    /// The directories: as given, or best first when compared.
    pub directories: Vec<Directory>,
    /// What the comparison comes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

/// One directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// Its path.
    pub path: String,
    /// What it is good for.
    pub verdict: Fitness,
    /// The verdict in a sentence.
    pub summary: String,
    /// The member's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// The member's name, as the members' list in the directory has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The cluster's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The members, as name or id.
    pub members: Vec<String>,
    /// Whether WAL, .snap file and database agree on the members.
    pub members_agree: bool,
    /// The last entry of the log: its term.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_term: Option<u64>,
    /// The last entry of the log: its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_index: Option<u64>,
    /// Up to which index the log is known to be committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// Up to which index the database has the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_index: Option<u64>,
    /// The database's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The database in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_bytes: Option<u64>,
    /// The cluster version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_version: Option<String>,
    /// What is lost when etcd starts.
    pub losses: Vec<String>,
    /// What else is worth knowing.
    pub findings: Vec<String>,
}

/// What a directory is good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fitness {
    /// An etcd runs on it, or wrote to it while it was read.
    Running,
    /// There is no member in it.
    Empty,
    /// etcd starts as it is.
    Starts,
    /// etcd starts, and something is gone.
    StartsWithLoss,
    /// A new cluster can be restored from its database.
    RestoreFrom,
    /// Neither.
    BeyondUse,
    /// It could not be read.
    #[default]
    Unreadable,
}

/// What a comparison comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The directory to recover from; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// In a sentence.
    pub summary: String,
    /// How many voting members the cluster has, as the best one knows.
    pub voters: usize,
    /// Whether the directories with all their member ever confirmed are those of a majority of the voters: only then no
    /// acknowledged write is missing for sure.
    pub majority: bool,
    /// What else the comparison has to say.
    pub notes: Vec<String>,
}

impl DataDirs {
    /// As given.
    pub fn inspected(found: &[DataDir]) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "DataDirs",
            directories: found.iter().map(directory).collect(),
            comparison: None,
        }
    }

    /// Best first.
    pub fn compared(found: &[DataDir], ranking: &Ranking) -> Self {
        let directories = ranking
            .order
            .iter()
            .map(|ranked| directory(&found[ranked.which]))
            .collect();
        let best = ranking
            .best()
            .map(|best| found[best.which].path.display().to_string());
        let summary = match &best {
            Some(best) if ranking.majority => {
                format!(
                    "recover from {best}: whole logs of a majority of {} voters were compared, it has every acknowledged write",
                    ranking.voters
                )
            }
            Some(best) => format!(
                "recover from {best}: but there are whole logs of fewer than a majority of {} voters, writes that only the others had may be missing",
                ranking.voters
            ),
            None if ranking.clusters.len() > 1 => {
                let ids: Vec<String> = ranking.clusters.iter().map(ToString::to_string).collect();
                format!(
                    "these belong to different clusters ({}): their order means nothing",
                    ids.join(", ")
                )
            }
            None => "none of these can be used".to_owned(),
        };
        let comparison = Comparison {
            best,
            summary,
            voters: ranking.voters,
            majority: ranking.majority,
            notes: notes(found, ranking),
        };
        Self {
            api_version: API_VERSION,
            kind: "DataDirs",
            directories,
            comparison: Some(comparison),
        }
    }

    /// With a directory that could not be read; it comes last.
    pub fn and_unreadable(mut self, path: String, why: &str) -> Self {
        self.directories.push(unreadable(path, why));
        self
    }
}

fn notes(found: &[DataDir], ranking: &Ranking) -> Vec<String> {
    let twice = ranking
        .given_twice
        .iter()
        .map(|id| format!("several of these are of member {id}: they count once"));
    // Alone, it is compared with nothing.
    let compared = found.iter().filter(|dir| dir.reach().is_some()).count() > 1;
    let unknown = ranking.of_unknown_cluster.iter().filter(|_| compared);
    let unknown = unknown.map(|&which| {
        format!(
            "{} does not say which cluster it is of: it cannot be told whether it belongs to the others",
            found[which].path.display()
        )
    });
    twice.chain(unknown).collect()
}

fn unreadable(path: String, why: &str) -> Directory {
    Directory {
        path,
        verdict: Fitness::Unreadable,
        summary: format!("unreadable: {why}"),
        ..Directory::default()
    }
}

fn directory(dir: &DataDir) -> Directory {
    let facts = dir.database.facts();
    let view = dir.membership.views.first().map(|(_, view)| view);
    let own = dir
        .member_id
        .and_then(|id| view?.members.get(&id))
        .and_then(|member| member.name.clone());
    let (verdict, summary, losses) = judged(dir);
    Directory {
        path: dir.path.display().to_string(),
        verdict,
        summary,
        member_id: dir.member_id.map(|id| id.to_string()),
        member: own.filter(|name| !name.is_empty()),
        cluster_id: dir.cluster_id.map(|id| id.to_string()),
        members: view.map(|view| names(&view.members)).unwrap_or_default(),
        members_agree: dir.membership.differences.is_empty(),
        last_term: dir.wal.as_ref().map(|wal| wal.last.term),
        last_index: dir.wal.as_ref().map(|wal| wal.last.index),
        commit: dir.wal.as_ref().map(|wal| wal.commit()),
        consistent_index: facts.map(|facts| facts.consistent_index()),
        revision: facts.map(|facts| facts.revision),
        db_bytes: facts.map(|facts| facts.size_bytes),
        cluster_version: facts.and_then(|facts| facts.cluster_version.clone()),
        losses,
        findings: dir.findings.iter().map(ToString::to_string).collect(),
    }
}

fn names(members: &BTreeMap<MemberId, ViewMember>) -> Vec<String> {
    let name = |(id, member): (&MemberId, &ViewMember)| match &member.name {
        Some(name) if !name.is_empty() => name.clone(),
        Some(_) | None => id.to_string(),
    };
    members.iter().map(name).collect()
}

fn judged(dir: &DataDir) -> (Fitness, String, Vec<String>) {
    match &dir.verdict {
        Verdict::Running => (
            Fitness::Running,
            "an etcd runs on it, or it was changed while it was read: what was read may be of no single moment".to_owned(),
            Vec::new(),
        ),
        Verdict::Empty => (
            Fitness::Empty,
            "there is no member in it".to_owned(),
            Vec::new(),
        ),
        Verdict::Starts(_) => (
            Fitness::Starts,
            "etcd starts from it as it is".to_owned(),
            Vec::new(),
        ),
        Verdict::StartsWithLoss(_, losses) => {
            let losses: Vec<String> = losses.iter().map(ToString::to_string).collect();
            (
                Fitness::StartsWithLoss,
                format!("etcd starts from it with a loss: {}", losses.join("; ")),
                losses,
            )
        }
        Verdict::RestoreFrom(why) => {
            let database = if dir.database.is_whole() {
                "its database can be restored from"
            } else {
                "its database, which was not checked, can be read and restored from"
            };
            (
                Fitness::RestoreFrom,
                format!("etcd does not start from it, but {database}: {why}"),
                Vec::new(),
            )
        }
        // Nothing is lost with it: it is as good as an empty one.
        Verdict::BeyondUse(why @ Refusal::NeverJoined) => {
            (Fitness::Empty, why.to_string(), Vec::new())
        }
        Verdict::BeyondUse(why) => {
            let database = match &dir.database {
                DatabaseState::Unreadable(error) => format!("; {error}"),
                DatabaseState::Missing | DatabaseState::Readable(_) => String::new(),
            };
            (
                Fitness::BeyondUse,
                format!("beyond use: {why}{database}"),
                Vec::new(),
            )
        }
    }
}

impl View for DataDirs {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let mut grid =
            Grid::new("DIRECTORY|MEMBER|VERDICT|>TERM|>INDEX|>COMMIT|>IN DB|>REVISION|>DB")
                .and(wide, "MEMBER ID|CLUSTER ID|VERSION|MEMBERS");
        for dir in &self.directories {
            grid.row(row(dir, wide));
        }
        let mut text = grid.draw(paint);
        for dir in &self.directories {
            text.push_str(&format!("{}: {}\n", clean(&dir.path), clean(&dir.summary)));
            for finding in &dir.findings {
                text.push_str(&format!("  {}\n", clean(finding)));
            }
        }
        if let Some(comparison) = &self.comparison {
            text.push_str(&format!("{}\n", clean(&comparison.summary)));
            for note in &comparison.notes {
                text.push_str(&format!("  {}\n", clean(note)));
            }
        }
        text
    }
}

fn row(dir: &Directory, wide: bool) -> Vec<Field> {
    let (word, tone) = match dir.verdict {
        Fitness::Running => ("running", Tone::Warn),
        Fitness::Empty => ("empty", Tone::Warn),
        Fitness::Starts => ("starts", Tone::Good),
        Fitness::StartsWithLoss => ("starts with loss", Tone::Warn),
        Fitness::RestoreFrom => ("restore from it", Tone::Bad),
        Fitness::BeyondUse => ("beyond use", Tone::Bad),
        Fitness::Unreadable => ("unreadable", Tone::Bad),
    };
    let mut fields = vec![
        field(&dir.path),
        maybe(dir.member.as_deref().or(dir.member_id.as_deref())),
        field(word).tone(tone),
        maybe(dir.last_term.map(|term| term.to_string())),
        maybe(dir.last_index.map(count)),
        maybe(dir.commit.map(count)),
        maybe(dir.consistent_index.map(count)),
        maybe(dir.revision.map(count)),
        maybe(dir.db_bytes.map(bytes)),
    ];
    if wide {
        fields.push(maybe(dir.member_id.as_deref()));
        fields.push(maybe(dir.cluster_id.as_deref()));
        fields.push(maybe(dir.cluster_version.as_deref()));
        fields.push(field(dir.members.join(",")));
    }
    fields
}

#[cfg(test)]
mod tests {
    use etcd_datadir::membership::Membership;

    use super::*;

    #[test]
    fn a_member_that_never_joined_is_empty_and_not_beyond_use() {
        let dir = DataDir {
            path: "/var/lib/etcd".into(),
            wal_dir: "/var/lib/etcd/member/wal".into(),
            database_path: "/var/lib/etcd/member/snap/db".into(),
            member_id: None,
            cluster_id: None,
            wal: None,
            snaps: Vec::new(),
            database: DatabaseState::Missing,
            received: Vec::new(),
            membership: Membership::default(),
            verdict: Verdict::BeyondUse(Refusal::NeverJoined),
            findings: Vec::new(),
        };
        let view = DataDirs::inspected(&[dir]);
        let found = view.directories.first().unwrap();
        assert_eq!(found.verdict, Fitness::Empty);
        assert!(found.summary.starts_with("it is new"), "{}", found.summary);
    }
}
