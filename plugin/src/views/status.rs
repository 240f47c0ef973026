//! How a cluster's state is shown.

use std::time::Duration;

use crate::advice::{Worded, worded};
use crate::views::View;
use crate::views::grid::{Field, Grid, Paint, Tone, clean, field, maybe, one_line, painted};
use kubectl_etcd_core::assess::model::{
    QuotaSource, Role, Row, Severity, SnapshotSource, Status, Summary, VerdictWord,
};
use kubectl_etcd_core::assess::{LAG_ENTRIES, NEAR_QUOTA_PERCENT};
use kubectl_etcd_core::format::{age, bytes, count, percent, revision};

impl View for Worded<Status> {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let mut text = if self.rows.is_empty() {
            String::new()
        } else {
            grid(&self.rows, wide).draw(paint)
        };
        text.push_str(&summary(&self.summary, self.verdict, paint));
        for row in &self.rows {
            if let Some(line) = trouble(row) {
                text.push_str(&format!("{}\n", clean(&line)));
            }
        }
        for warning in &self.warnings {
            let (word, tone) = match warning.severity {
                Severity::Warning => ("warning", Tone::Warn),
                Severity::Note => ("note", Tone::Dim),
            };
            text.push_str(&format!(
                "{}: {}\n",
                painted(word, tone, paint),
                clean(&warning.message)
            ));
            if let Some(hint) = &warning.hint {
                text.push_str(&format!("  next: {}\n", clean(&worded(hint))));
            }
        }
        if let Some(last) = &self.last_snapshot {
            let source = match &last.source {
                SnapshotSource::Kept {
                    node,
                    name,
                    revision: of,
                } => format!(
                    "{}/{}, revision {}",
                    clean(node),
                    clean(name),
                    revision(*of)
                ),
                SnapshotSource::Scheduled { schedule } => {
                    format!("by the schedule {}", clean(schedule))
                }
            };
            let passed = age(Duration::from_secs(last.age_seconds));
            text.push_str(&format!(
                "last verified snapshot: {passed} ago ({source})\n"
            ));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.rows
            .iter()
            .filter_map(|row| row.node.clone().or_else(|| row.member.clone()))
            .collect()
    }
}

/// The line that says the verdict.
pub(super) fn summary(summary: &Summary, verdict: VerdictWord, paint: Paint) -> String {
    let word = painted(summary.word, tone(verdict), paint);
    format!("{word}: {}\n", one_line(&summary.details))
}

pub(super) fn tone(verdict: VerdictWord) -> Tone {
    match verdict {
        VerdictWord::Healthy => Tone::Good,
        VerdictWord::Degraded => Tone::Warn,
        VerdictWord::QuorumLost | VerdictWord::Damaged | VerdictWord::NothingReached => Tone::Bad,
    }
}

/// What is wrong with a node, under the table; what a warning says already is left to it.
fn trouble(row: &Row) -> Option<String> {
    let problem = row.problem.as_ref()?;
    if row.seen_from.is_some() {
        return None;
    }
    let name = row.node.as_ref().or(row.member.as_ref())?;
    let next = problem
        .hint
        .as_ref()
        .map(|hint| format!("; {}", worded(hint)))
        .unwrap_or_default();
    Some(format!("{name}: {}{next}", problem.detail))
}

fn grid(rows: &[Row], wide: bool) -> Grid {
    // Few have one, and it is wide enough without.
    let with_others = wide && rows.iter().any(|row| !row.other_etcds.is_empty());
    let mut grid = Grid::new("NODE|MEMBER|VERSION|>DB|>IN USE|>FREE|QUOTA|ROLE|>TERM|>APPLIED|>LAG|ALARMS")
        .and(
            wide,
            "MEMBER ID|CLUSTER ID|STORAGE|>INDEX|>REVISION|ENDPOINT|CLIENT URLS|PEER URLS|DOWNGRADE|VIA|>TOOK",
        )
        .and(with_others, "OTHER ETCDS");
    for row in rows {
        let mut fields = narrow(row);
        if wide {
            fields.extend(more(row));
        }
        if with_others {
            fields.push(others(row));
        }
        grid.row(fields);
    }
    grid
}

fn narrow(row: &Row) -> Vec<Field> {
    vec![
        maybe(row.node.as_deref()),
        maybe(row.member.as_deref()),
        maybe(row.version.as_deref()),
        maybe(row.db_size_bytes.map(bytes)),
        maybe(row.db_in_use_bytes.map(bytes)),
        maybe(free(row)),
        quota(row),
        role(row),
        maybe(row.raft_term.map(|term| term.to_string())),
        maybe(row.raft_applied_index.map(count)),
        maybe(row.lag.map(count)).tone(match row.lag {
            Some(lag) if lag >= LAG_ENTRIES => Tone::Warn,
            _ => Tone::Plain,
        }),
        alarms(row),
    ]
}

fn more(row: &Row) -> Vec<Field> {
    vec![
        maybe(row.member_id.as_deref()),
        maybe(row.cluster_id.as_deref()),
        maybe(row.storage_version.as_deref()),
        maybe(row.raft_index.map(count)),
        maybe(row.revision.map(revision)),
        maybe(row.endpoint.as_deref()),
        field(row.client_urls.join(",")),
        field(row.peer_urls.join(",")),
        maybe(row.downgrade_target.as_deref()),
        maybe(row.via.as_deref()),
        maybe(row.took_ms.map(|ms| format!("{ms} ms"))),
    ]
}

fn others(row: &Row) -> Field {
    match row.other_etcds.as_slice() {
        [] => field(""),
        others => field(format!("{}: left alone", others.join(", "))),
    }
}

/// What a defragmentation gives back.
fn free(row: &Row) -> Option<String> {
    Some(bytes(
        row.db_size_bytes?.saturating_sub(row.db_in_use_bytes?),
    ))
}

fn quota(row: &Row) -> Field {
    let Some(quota) = row.quota_bytes else {
        return field("");
    };
    let used = row.db_size_bytes.map(|size| percent(size, quota));
    let default = row.quota_source == Some(QuotaSource::Default);
    let text = match (used, default) {
        (Some(used), true) => format!("{} ({used}, default)", bytes(quota)),
        (Some(used), false) => format!("{} ({used})", bytes(quota)),
        (None, _) => bytes(quota),
    };
    let near = row.db_size_bytes.is_some_and(|size| {
        u128::from(size) * 100 >= u128::from(quota) * u128::from(NEAR_QUOTA_PERCENT)
    });
    field(text).tone(if near { Tone::Warn } else { Tone::Plain })
}

fn role(row: &Row) -> Field {
    let tone = match row.role {
        Role::Leader => Tone::Good,
        Role::Follower => Tone::Plain,
        Role::Learner | Role::NotStarted | Role::Unknown => Tone::Warn,
        Role::NoLeader | Role::Down | Role::NoEtcd => Tone::Bad,
    };
    field(row.role.word()).tone(tone)
}

/// Alarms first, then what is wrong, then what the member complains of, then from where it is seen.
fn alarms(row: &Row) -> Field {
    let mut parts: Vec<String> = row.alarms.clone();
    parts.extend(row.problem.as_ref().map(|problem| problem.short.clone()));
    if !row.errors.is_empty() {
        parts.push("see below".to_owned());
    }
    parts.extend(
        row.seen_from
            .as_ref()
            .map(|node| format!("seen from {node}")),
    );
    let tone = if row.alarms.is_empty() && row.problem.is_none() {
        Tone::Dim
    } else {
        Tone::Bad
    };
    field(parts.join(", ")).tone(tone)
}
