//! How defragmentations are shown: planned, done, stopped.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, Tone, field, maybe};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::assess::model::Role;
use kubectl_etcd_core::assess::order::Step;
use kubectl_etcd_core::format::{and, bytes, counted, took};

/// What is to be or was defragmented, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Defrag {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Defrag`.
    pub kind: &'static str,
    /// Whether only the plan is shown.
    pub dry_run: bool,
    /// The members, in order.
    pub members: Vec<DefragRow>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefragRow {
    /// The node.
    pub node: String,
    /// The member's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// Its role when the plan was made.
    pub role: Role,
    /// How far it is.
    pub state: State,
    /// The database before.
    pub before_bytes: u64,
    /// The database after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_bytes: Option<u64>,
    /// What would be free space after all: known before only as what is not in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// A guess at how long it does not answer, in seconds.
    pub estimated_seconds: u64,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How far a member's defragmentation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has not begun.
    Planned,
    /// There is nothing to gain, so it is not begun.
    NothingToGain,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

impl Defrag {
    /// The plan, and behind it the members with nothing to gain.
    pub fn planned(dry_run: bool, steps: &[Step], skipped: &[Step]) -> Self {
        let row = |step: &Step, state: State| DefragRow {
            node: step.node.clone(),
            member_id: None,
            role: step.role,
            state,
            before_bytes: step.db_size_bytes,
            after_bytes: None,
            free_bytes: step.free_bytes(),
            estimated_seconds: step.estimated_seconds(),
            took_ms: None,
            problem: None,
        };
        let steps = steps.iter().map(|step| row(step, State::Planned));
        let skipped = skipped.iter().map(|step| row(step, State::NothingToGain));
        Self {
            api_version: API_VERSION,
            kind: "Defrag",
            dry_run,
            members: steps.chain(skipped).collect(),
        }
    }
}

impl View for Defrag {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        if self.dry_run {
            plan(self, paint)
        } else {
            result(self, paint)
        }
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

fn plan(view: &Defrag, paint: Paint) -> String {
    let mut grid = Grid::new(">STEP|NODE|ROLE|>DB|>FREE|>STALL");
    for (at, row) in view.members.iter().enumerate() {
        grid.row(vec![
            match row.state {
                State::NothingToGain => field("-").tone(Tone::Dim),
                State::Planned | State::Done | State::Failed => field((at + 1).to_string()),
            },
            field(&row.node),
            field(row.role.word()),
            field(bytes(row.before_bytes)),
            maybe(row.free_bytes.map(bytes)),
            match row.state {
                State::NothingToGain => field("-").tone(Tone::Dim),
                State::Planned | State::Done | State::Failed => {
                    field(format!("~{} s", row.estimated_seconds))
                }
            },
        ]);
    }
    grid.draw(paint) + "each member does not answer during its stall\n" + &skipped(view)
}

/// Why members are left out.
fn skipped(view: &Defrag) -> String {
    let rows = view.members.iter();
    let nodes: Vec<&str> = rows
        .filter(|row| row.state == State::NothingToGain)
        .map(|row| row.node.as_str())
        .collect();
    match nodes.as_slice() {
        [] => String::new(),
        nodes => format!(
            "nothing to gain on {}: --all defragments it all the same\n",
            and(nodes)
        ),
    }
}

fn result(view: &Defrag, paint: Paint) -> String {
    let mut grid = Grid::new("NODE|ROLE|>BEFORE|>AFTER|>FREED|>TOOK|RESULT");
    for row in &view.members {
        let freed = row
            .after_bytes
            .map(|after| bytes(row.before_bytes.saturating_sub(after)));
        grid.row(vec![
            field(&row.node),
            field(row.role.word()),
            field(bytes(row.before_bytes)),
            maybe(row.after_bytes.map(bytes)),
            maybe(freed),
            maybe(row.took_ms.map(|ms| took(Duration::from_millis(ms)))),
            match row.state {
                State::Planned => field("not begun").tone(Tone::Dim),
                State::NothingToGain => field("nothing to gain").tone(Tone::Dim),
                State::Done => field("done").tone(Tone::Good),
                State::Failed => field("failed").tone(Tone::Bad),
            },
        ]);
    }
    let done: Vec<_> = view
        .members
        .iter()
        .filter(|row| row.state == State::Done)
        .collect();
    let freed: u64 = done
        .iter()
        .filter_map(|row| Some(row.before_bytes.saturating_sub(row.after_bytes?)))
        .sum();
    grid.draw(paint)
        + &format!(
            "{} of {} defragmented, {} freed\n",
            done.len(),
            counted(view.members.len(), "member"),
            bytes(freed)
        )
        + &skipped(view)
}
