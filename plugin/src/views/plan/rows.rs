//! What was found, and what it says of the snapshot, as programs see it.

use etcd_operations::look::{Fitness, KindChanges, LogPosition};
use etcd_operations::plan::OtherHost;
use etcd_operations::plan::make::{BroughtBack, Found, Loss, Origin, TakenBy};
use etcd_operations::shell::CommandLine;
use serde::Serialize;

use crate::advice::worded;

/// A host as it was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FoundRow {
    pub(super) node: String,
    pub(super) etcd: &'static str,
    pub(super) data: Option<String>,
    pub(super) term: Option<u64>,
    pub(super) index: Option<u64>,
    pub(super) revision: Option<u64>,
    pub(super) best: bool,
}

/// A manifest that is brought back on a host: no file in kubelet's folder vouches for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BroughtBackRow {
    pub(super) node: String,
    /// The component that is started from it.
    pub(super) component: String,
    pub(super) path: String,
    /// Whether `--manifest` names it; else it is the last that was taken out.
    pub(super) named: bool,
    /// When it was taken out (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archived_at: Option<String>,
    /// The data directory on the host that etcd has by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_dir: Option<String>,
    /// Whether the runtime still knows what ran last.
    pub(super) compared: bool,
    /// In what it differs from what ran last, and what else speaks against it, in a sentence each.
    pub(super) doubts: Vec<String>,
}

pub(super) fn brought_back_row(one: &BroughtBack) -> BroughtBackRow {
    let manifest = &one.manifest;
    let component = manifest.component.map(|component| component.to_string());
    let path = |path: &std::path::PathBuf| path.display().to_string();
    BroughtBackRow {
        node: one.node.clone(),
        component: component.unwrap_or_else(|| manifest.pod.name.clone()),
        path: path(&manifest.path),
        named: manifest.named,
        archived_at: manifest.at.map(|at| at.to_string()),
        data_dir: manifest.data_dir.as_ref().map(path),
        compared: manifest.last_ran.is_some(),
        doubts: manifest.doubts.iter().map(ToString::to_string).collect(),
    }
}

impl BroughtBackRow {
    /// In lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let whence = match (self.named, &self.archived_at) {
            (_, Some(at)) => format!("the archived {}, taken out {at}", self.path),
            (true, None) => self.path.clone(),
            (false, None) => format!("the archived {}", self.path),
        };
        let mut first = format!("{}: {} is started from {whence}", self.node, self.component);
        if let Some(path) = &self.data_dir {
            first.push_str(&format!(", with its data in {path}"));
        }
        let compared = match (self.compared, self.doubts.is_empty()) {
            (true, true) => Some("it is what ran last".to_owned()),
            (true, false) => None,
            (false, _) => Some("what ran last is not known to the runtime any more".to_owned()),
        };
        let doubts = self.doubts.iter().cloned();
        let more = compared.into_iter().chain(doubts);
        let more = more.map(|line| format!("  {line}"));
        [first].into_iter().chain(more).collect()
    }
}

/// A host that takes no part, and the commands for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OtherHostRow {
    pub(super) node: String,
    /// Before the plan is begun, in this order.
    pub(super) before: Vec<String>,
    /// When the plan is done, in this order, and on one host after another.
    pub(super) after: Vec<String>,
}

/// A snapshot that is restored.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SnapshotRow {
    /// Its revision; none: it is of another cluster, where it means nothing.
    pub(super) revision: Option<u64>,
    /// When it was taken.
    pub(super) taken_at: Option<String>,
    /// What says so: `description`, `file` (its date) or `youngest-object` (taken then or later).
    pub(super) taken_by: Option<TakenBy>,
    /// Whether it is of this cluster: `same`, `another` or `unknown`.
    pub(super) cluster: &'static str,
    /// The same with what says so, in a sentence.
    pub(super) evidence: String,
}

/// What was changed after a snapshot, each object counted once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ChangesRow {
    /// Where it was counted.
    pub(super) node: String,
    /// Up to which revision; none: it could not be counted.
    pub(super) revision: Option<u64>,
    /// Why it could not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// Entries of the log beyond the database, which were not looked into.
    pub(super) log_entries: u64,
    /// Objects that are there and were written; without leases and events.
    pub(super) written: u64,
    /// Objects that were deleted; without leases and events.
    pub(super) deleted: u64,
    /// Whether those are all that were deleted; else some are compacted away.
    pub(super) deleted_complete: bool,
    /// By kind, the most changed first.
    pub(super) kinds: Vec<KindChanges>,
    /// Leases and events, which are written anew all the time.
    pub(super) fleeting: Vec<KindChanges>,
}

pub(super) fn found_row(found: &Found) -> FoundRow {
    let word = found.fitness.map(|fitness| match fitness {
        Fitness::Running => "in use",
        Fitness::Empty => "empty",
        Fitness::Starts => "whole",
        Fitness::StartsWithLoss => "starts with a loss",
        Fitness::RestoreFrom => "database whole, log not",
        Fitness::BeyondUse => "beyond use",
    });
    let data = word.map(|word| match &found.why {
        Some(why) => format!("{word}: {why}"),
        None => word.to_owned(),
    });
    let at: Option<LogPosition> = found.reach;
    FoundRow {
        node: found.node.clone(),
        etcd: if found.running { "runs" } else { "stopped" },
        data,
        term: at.map(|at| at.term),
        index: at.map(|at| at.index),
        revision: found.revision,
        best: found.best,
    }
}

pub(super) fn snapshot_row(origin: &Origin, losses: &[Loss]) -> SnapshotRow {
    let since = losses.iter().find_map(|loss| match loss {
        Loss::SinceSnapshot {
            revision, taken, ..
        } => Some((*revision, *taken)),
        _ => None,
    });
    let taken = since.and_then(|(_, taken)| taken);
    SnapshotRow {
        revision: since.map(|(revision, _)| revision),
        taken_at: taken.map(|taken| taken.at.to_string()),
        taken_by: taken.map(|taken| taken.by),
        cluster: match origin {
            Origin::Same { .. } => "same",
            Origin::Another { .. } => "another",
            Origin::Unknown { .. } => "unknown",
        },
        evidence: origin.to_string(),
    }
}

pub(super) fn changes_row(loss: &Loss) -> Option<ChangesRow> {
    let Loss::SinceSnapshot {
        newest: Some(newest),
        changes: Some(changes),
        ..
    } = loss
    else {
        return None;
    };
    let rows = |fleeting: bool| -> Vec<KindChanges> {
        let kinds = changes.ok().map(|changes| changes.kinds.as_slice());
        let kinds = kinds.unwrap_or_default().iter();
        kinds
            .filter(|kind| kind.is_fleeting() == fleeting)
            .cloned()
            .collect()
    };
    let kinds = rows(false);
    let objects = || kinds.iter().filter(|kind| !kind.kind.is_empty());
    Some(ChangesRow {
        node: newest.node.clone(),
        revision: changes.ok().map(|changes| changes.revision),
        why: changes.failure().map(|failure| failure.message.clone()),
        log_entries: newest.beyond,
        written: objects().map(|kind| kind.written).sum(),
        deleted: objects().map(|kind| kind.deleted).sum(),
        deleted_complete: changes.ok().is_some_and(|one| one.deletions_complete),
        fleeting: rows(true),
        kinds,
    })
}

pub(super) fn other_host_row(host: &OtherHost) -> OtherHostRow {
    OtherHostRow {
        node: host.node.clone(),
        before: host
            .before
            .iter()
            .map(|one| by_hand(&worded(one)))
            .collect(),
        after: host.after.iter().map(|one| by_hand(&worded(one))).collect(),
    }
}

/// A command to be run by hand, as a plan has it: that may be of another host, which may lie.
fn by_hand(command: &str) -> String {
    let own = CommandLine::of_program(&["kubectl", "etcd"], command);
    own.map_or_else(
        || "(a command of another program is left out)".to_owned(),
        String::from,
    )
}
