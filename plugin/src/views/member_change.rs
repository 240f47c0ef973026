//! How a change of the members or of the leader is shown: planned, done, or nothing to do.

use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, Tone, clean, field, painted};
use crate::views::members::{self, MemberRow};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::assess::votes::Votes;

/// Which change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A member is added.
    Add,
    /// A member is removed.
    Remove,
    /// A learner gets a vote.
    Promote,
    /// Another member leads.
    MoveLeader,
}

impl Action {
    /// The command it is of.
    pub fn command(self) -> &'static str {
        match self {
            Self::Add => "member add",
            Self::Remove => "member remove",
            Self::Promote => "member promote",
            Self::MoveLeader => "member move-leader",
        }
    }
}

/// A change of the members or of the leader, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberChange {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `MemberChange`.
    pub kind: &'static str,
    /// Which change.
    pub action: Action,
    /// Whether only the plan is shown.
    pub dry_run: bool,
    /// Whether anything was changed.
    pub changed: bool,
    /// Why there is nothing to do; absent when there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nothing_to_do: Option<String>,
    /// The node of the member it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Its id; of a new member once it is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// What is done, in order.
    pub steps: Vec<StepRow>,
    /// The votes before.
    pub before: Votes,
    /// The votes after: as they are when it is done, else as they would be.
    pub after: Votes,
    /// What it costs beside votes.
    pub costs: Vec<String>,
    /// What is left for people to do.
    pub next: Vec<String>,
    /// The member that leads afterwards, when it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The members: after the change, when it is done.
    pub members: Vec<MemberRow>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepRow {
    /// The node on which it is asked for.
    pub node: String,
    /// What is done.
    pub what: String,
}

impl MemberChange {
    /// One that does nothing yet.
    pub fn new(action: Action, before: Votes, after: Votes) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "MemberChange",
            action,
            dry_run: false,
            changed: false,
            nothing_to_do: None,
            node: None,
            member: None,
            member_id: None,
            steps: Vec::new(),
            before,
            after,
            costs: Vec::new(),
            next: Vec::new(),
            leader: None,
            members: Vec::new(),
        }
    }
}

impl View for MemberChange {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let listed = || members::table(&self.members, wide, paint);
        match (&self.nothing_to_do, self.changed) {
            (Some(why), _) => format!("{}nothing to do: {}\n", listed(), clean(why)) + &next(self),
            (None, false) => plan(self, paint),
            (None, true) => listed() + &done(self, paint),
        }
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

fn plan(view: &MemberChange, paint: Paint) -> String {
    let mut grid = Grid::new(">STEP|ON|WHAT");
    for (at, step) in view.steps.iter().enumerate() {
        grid.row(vec![
            field((at + 1).to_string()),
            field(&step.node),
            field(&step.what),
        ]);
    }
    let mut text = grid.draw(paint);
    text.push_str(&format!("before: {}\n", votes(view.before, paint)));
    text.push_str(&format!("after:  {}\n", votes(view.after, paint)));
    for cost in &view.costs {
        let word = painted("warning", Tone::Warn, paint);
        text.push_str(&format!("{word}: {}\n", clean(cost)));
    }
    text
}

fn done(view: &MemberChange, paint: Paint) -> String {
    let who = match (&view.member, &view.member_id) {
        (Some(name), Some(id)) if name != id => format!("{name} ({id})"),
        (Some(name), _) => name.clone(),
        (None, Some(id)) => id.clone(),
        (None, None) => "the member".to_owned(),
    };
    let who = clean(&who);
    let what = match view.action {
        Action::Add => format!("{who} was added"),
        Action::Remove => format!("{who} was removed"),
        Action::Promote => format!("{who} votes"),
        Action::MoveLeader => format!("{who} leads"),
    };
    format!("{what}: {}\n", votes(view.after, paint)) + &next(view)
}

fn next(view: &MemberChange) -> String {
    let lines = view.next.iter();
    lines
        .map(|next| format!("next: {}\n", clean(next)))
        .collect()
}

fn votes(votes: Votes, paint: Paint) -> String {
    let tone = match votes.holds {
        true => Tone::Plain,
        false => Tone::Bad,
    };
    painted(&votes.words(), tone, paint)
}
