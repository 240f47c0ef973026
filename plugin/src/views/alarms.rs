//! How alarms are shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, Tone, field, maybe};
use crate::views::{API_VERSION, View};

/// Alarms: those raised, or those that were disarmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alarms {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `AlarmList` or `AlarmDisarm`.
    pub kind: AlarmsKind,
    /// The cluster's id.
    pub cluster_id: String,
    /// The alarms.
    pub alarms: Vec<AlarmRow>,
    /// Those that were disarmed and raised again at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still_raised: Vec<AlarmRow>,
}

/// What became of the alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum AlarmsKind {
    /// They are raised.
    #[serde(rename = "AlarmList")]
    Raised,
    /// They were raised and no longer are.
    #[serde(rename = "AlarmDisarm")]
    Disarmed,
}

/// One alarm of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlarmRow {
    /// `NOSPACE` or `CORRUPT`.
    pub alarm: String,
    /// The node the member is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The member's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The member's id.
    pub member_id: String,
}

impl Alarms {
    /// Alarms of a cluster.
    pub fn new(kind: AlarmsKind, cluster_id: String, alarms: Vec<AlarmRow>) -> Self {
        Self {
            api_version: API_VERSION,
            kind,
            cluster_id,
            alarms,
            still_raised: Vec::new(),
        }
    }
}

impl View for Alarms {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("ALARM|NODE|MEMBER|MEMBER ID");
        let tone = match self.kind {
            AlarmsKind::Raised => Tone::Bad,
            AlarmsKind::Disarmed => Tone::Plain,
        };
        let back = self.still_raised.iter().map(|row| (row, Tone::Bad));
        for (row, tone) in self.alarms.iter().map(|row| (row, tone)).chain(back) {
            grid.row(vec![
                field(&row.alarm).tone(tone),
                maybe(row.node.as_deref()),
                maybe(row.member.as_deref()),
                field(&row.member_id),
            ]);
        }
        if !self.still_raised.is_empty() {
            let count = self.still_raised.len();
            let back = if self.alarms.is_empty() {
                "raised again at once".to_owned()
            } else {
                format!(
                    "{} disarmed, {count} raised again at once",
                    self.alarms.len()
                )
            };
            return grid.draw(paint)
                + &back
                + ": what raised it is still so; see kubectl etcd status\n";
        }
        match (self.kind, self.alarms.is_empty()) {
            (AlarmsKind::Raised, true) => "no alarm is raised\n".to_owned(),
            (AlarmsKind::Disarmed, true) => {
                "no such alarm was raised, nothing was changed\n".to_owned()
            }
            (AlarmsKind::Raised, false) => grid.draw(paint),
            (AlarmsKind::Disarmed, false) => grid.draw(paint) + "disarmed\n",
        }
    }
}
