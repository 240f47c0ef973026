//! How the health of members is shown.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::assess::model::{Problem, VerdictWord};
use crate::error::Verdict;
use crate::format::took;
use crate::views::View;
use crate::views::grid::{Grid, Paint, Tone, clean, field, maybe, one_line, painted};

/// Whether the members do their work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// [`crate::views::API_VERSION`].
    pub api_version: &'static str,
    /// `Health`.
    pub kind: &'static str,
    /// The verdict: decides the exit code.
    pub verdict: VerdictWord,
    /// The verdict in a sentence.
    pub summary: String,
    /// One row a control-plane node.
    pub members: Vec<HealthRow>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthRow {
    /// The node.
    pub node: String,
    /// The member's name by its flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// Whether it answered a linearizable read and has no alarm.
    pub healthy: bool,
    /// How long the read took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_us: Option<u64>,
    /// Its alarms.
    pub alarms: Vec<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Health {
    /// What the process ends with.
    pub fn verdict(&self) -> Verdict {
        self.verdict.verdict()
    }
}

impl View for Health {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let grid = Grid::new()
            .text("NODE")
            .text("MEMBER")
            .text("HEALTH")
            .number("READ")
            .text("ALARMS");
        let mut grid = if wide { grid.text("MEMBER ID") } else { grid };
        for row in &self.members {
            let mut trouble = row.alarms.clone();
            trouble.extend(row.problem.as_ref().map(|problem| problem.short.clone()));
            let mut fields = vec![
                field(&row.node),
                maybe(row.member.as_deref()),
                if row.healthy {
                    field("healthy").tone(Tone::Good)
                } else {
                    field("unhealthy").tone(Tone::Bad)
                },
                maybe(row.read_us.map(|us| took(Duration::from_micros(us)))),
                field(trouble.join(", ")).tone(Tone::Bad),
            ];
            if wide {
                fields.push(maybe(row.member_id.as_deref()));
            }
            grid.row(fields);
        }
        let mut text = if self.members.is_empty() {
            String::new()
        } else {
            grid.draw(paint)
        };
        let tone = match self.verdict {
            VerdictWord::Healthy => Tone::Good,
            VerdictWord::Degraded => Tone::Warn,
            VerdictWord::QuorumLost | VerdictWord::Damaged | VerdictWord::NothingReached => {
                Tone::Bad
            }
        };
        let (word, rest) = self.summary.split_once(':').unwrap_or((&self.summary, ""));
        text.push_str(&format!(
            "{}:{}\n",
            painted(word, tone, paint),
            one_line(rest)
        ));
        for row in &self.members {
            if let Some(problem) = &row.problem {
                let next = problem
                    .hint
                    .as_ref()
                    .map(|hint| format!("; {hint}"))
                    .unwrap_or_default();
                let line = format!("{}: {}{next}", row.node, problem.detail);
                text.push_str(&(clean(&line) + "\n"));
            }
        }
        text
    }
}
