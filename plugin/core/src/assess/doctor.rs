//! From what was seen on hosts, or what the members answered, to what is wrong and what to run.

mod of_status;

use etcd_operations::doctor as found;
pub use etcd_operations::doctor::{Next, Severity};
use etcd_operations::report::API_VERSION;
use schemars::JsonSchema;
use serde::Serialize;

use super::model::VerdictWord;

/// Which situation a control plane is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Doctor {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Doctor`.
    pub kind: &'static str,
    /// The verdict: decides the exit code.
    pub verdict: VerdictWord,
    /// The verdict in a sentence.
    pub summary: String,
    /// The nodes whose hosts were looked at. Of others only what their etcd answered, or what the API tells, was seen.
    pub looked_at: Vec<String>,
    /// The other nodes that are known.
    pub not_looked_at: Vec<String>,
    /// What is wrong, in the order in which it should be mended.
    pub situations: Vec<Situation>,
    /// What could not be looked at.
    pub unseen: Vec<Unseen>,
    /// What was seen to be in order.
    pub in_order: Vec<Seen>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Situation {
    /// What, as a word: `quorum-lost`, `database-damaged`, `stray-manifest` and others.
    pub kind: String,
    /// The node it is about; absent: the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// What is so, in a sentence.
    pub summary: String,
    /// What was seen of it.
    pub evidence: Vec<Seen>,
    /// What to run next.
    pub next: Next,
}

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// From which node; absent: through the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What.
    pub text: String,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unseen {
    /// On which node; absent: through the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

impl Doctor {
    /// Of hosts that were looked at. `others` are the members on hosts that were not.
    pub fn of_hosts(
        looked_at: Vec<String>,
        others: Vec<String>,
        diagnosis: &found::Diagnosis,
    ) -> Self {
        use found::SituationKind as Kind;
        let without_quorum =
            |one: &found::Situation| matches!(one.kind, Kind::QuorumLost | Kind::NoLeader);
        let verdict = match diagnosis.severity() {
            Some(Severity::Lost) if diagnosis.situations.iter().any(without_quorum) => {
                VerdictWord::QuorumLost
            }
            Some(Severity::Lost) => VerdictWord::Damaged,
            Some(Severity::Degraded) => VerdictWord::Degraded,
            // What could not be seen may be anything.
            None if !diagnosis.unseen.is_empty() => VerdictWord::Degraded,
            None => VerdictWord::Healthy,
        };
        let seen = |one: &found::Evidence| Seen {
            node: Some(one.node.clone()),
            text: one.text.clone(),
        };
        let situation = |one: &found::Situation| Situation {
            kind: word(one.kind),
            node: one.node.clone(),
            severity: one.severity,
            summary: one.summary.clone(),
            evidence: one.evidence.iter().map(seen).collect(),
            next: one.next.clone(),
        };
        let unseen = |one: &found::Unseen| Unseen {
            node: Some(one.node.clone()),
            what: one.what.clone(),
            why: one.why.clone(),
        };
        let situations = diagnosis.situations.iter().map(situation).collect();
        let unseen: Vec<Unseen> = diagnosis.unseen.iter().map(unseen).collect();
        Self {
            in_order: diagnosis.in_order.iter().map(seen).collect(),
            ..Self::new(verdict, looked_at, others, situations, unseen)
        }
    }

    /// With a summary made from what is wrong.
    pub fn new(
        verdict: VerdictWord,
        looked_at: Vec<String>,
        not_looked_at: Vec<String>,
        situations: Vec<Situation>,
        unseen: Vec<Unseen>,
    ) -> Self {
        let summary = match (situations.as_slice(), unseen.len()) {
            ([], 0) => "nothing is wrong, as far as was seen".to_owned(),
            ([], _) => "nothing wrong was seen, but not all could be looked at".to_owned(),
            ([one], _) => one.summary.clone(),
            ([first, rest @ ..], _) => {
                format!("{} (and {} more)", first.summary, rest.len())
            }
        };
        Self {
            api_version: API_VERSION,
            kind: "Doctor",
            verdict,
            summary,
            looked_at,
            not_looked_at,
            situations,
            unseen,
            in_order: Vec::new(),
        }
    }
}

/// A kind as its word in JSON.
fn word(kind: found::SituationKind) -> String {
    let value = serde_json::to_value(kind).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}
