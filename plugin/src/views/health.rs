//! How the health of members is shown.

use std::time::Duration;

use crate::advice::{Worded, worded};
use crate::views::View;
use crate::views::grid::{Grid, Paint, Tone, clean, field, maybe};
use crate::views::status::summary;
use kubectl_etcd_core::assess::health::Health;
use kubectl_etcd_core::format::took;

impl View for Worded<Health> {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("NODE|MEMBER|HEALTH|>READ|ALARMS").and(wide, "MEMBER ID");
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
        text.push_str(&summary(&self.summary, self.verdict, paint));
        if let Some(note) = self.data.not_compared() {
            text.push_str(&(clean(&format!("note: {note}")) + "\n"));
        }
        for row in &self.members {
            if let Some(problem) = &row.problem {
                let next = problem
                    .hint
                    .as_ref()
                    .map(|hint| format!("; {}", worded(hint)))
                    .unwrap_or_default();
                let line = format!("{}: {}{next}", row.node, problem.detail);
                text.push_str(&(clean(&line) + "\n"));
            }
        }
        text
    }
}
