//! The plans of a host.

use jiff::Timestamp;
use serde::Serialize;

use super::{PlanView, Progress};
use crate::views::grid::{Grid, Paint, Tone, field, maybe};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::executor::PlanState;

/// Plans in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanList {
    api_version: &'static str,
    kind: &'static str,
    /// The plans, the newest first.
    items: Vec<PlanView>,
    #[serde(skip)]
    now: Timestamp,
}

impl PlanList {
    /// Of plans as their hosts have them.
    pub(crate) fn new(states: &[PlanState], now: Timestamp) -> Self {
        let mut items: Vec<PlanView> = states.iter().map(PlanView::kept).collect();
        items.sort_by(|one, other| other.made.cmp(&one.made));
        Self {
            api_version: API_VERSION,
            kind: "PlanList",
            items,
            now,
        }
    }
}

impl View for PlanList {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        if self.items.is_empty() {
            return "no plan was found\n".to_owned();
        }
        let mut grid = Grid::new("PLAN|STATE|AGE|WHAT");
        for plan in &self.items {
            let (word, tone) = match plan.state {
                Progress::Planned => ("not begun", Tone::Dim),
                Progress::Unfinished => ("unfinished", Tone::Warn),
                Progress::Done => ("done", Tone::Good),
                Progress::BeingUndone => ("being undone", Tone::Warn),
                Progress::Undone => ("undone", Tone::Plain),
            };
            let made: Option<Timestamp> = plan.made.parse().ok();
            grid.row(vec![
                field(&plan.id),
                field(word).tone(tone),
                maybe(made.map(|made| age(made, self.now))),
                field(&plan.title),
            ]);
        }
        grid.draw(paint)
    }

    fn names(&self) -> Vec<String> {
        self.items.iter().map(|plan| plan.id.clone()).collect()
    }
}

fn age(made: Timestamp, now: Timestamp) -> String {
    let age = now.duration_since(made);
    kubectl_etcd_core::format::age(age.try_into().unwrap_or_default())
}
