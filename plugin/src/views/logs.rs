//! How the lines of logs are shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Grid, Paint, Tone, field, maybe, one_line};
use crate::views::{API_VERSION, View};
use etcd_operations::failure::Answer;
use etcd_operations::logs::Level;
use kubectl_etcd_core::logs::NodeLog;

/// The lines of several nodes, in the order of their times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logs {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Logs`.
    pub kind: &'static str,
    /// The lines.
    pub lines: Vec<LogRow>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogRow {
    /// The node.
    pub node: String,
    /// The component.
    pub component: String,
    /// When; absent: it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// How grave it is.
    pub level: Level,
    /// What it says.
    pub text: String,
}

/// A log that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unread {
    /// The node.
    pub node: String,
    /// The component; absent: nothing of the node was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Why.
    pub why: String,
}

impl Logs {
    /// Of these logs.
    pub fn new(logs: &[NodeLog], mut unread: Vec<Unread>) -> Self {
        let mut lines = Vec::new();
        for NodeLog { node, log } in logs {
            let component = log.component.name();
            match &log.lines {
                Answer::Ok(read) => lines.extend(read.iter().map(|line| {
                    let row = LogRow {
                        node: node.clone(),
                        component: component.to_owned(),
                        time: line
                            .at
                            .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
                        level: line.level,
                        text: line.text.clone(),
                    };
                    (line.at, row)
                })),
                Answer::Failed(failure) => unread.push(Unread {
                    node: node.clone(),
                    component: Some(component.to_owned()),
                    why: failure.message.clone(),
                }),
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        Self {
            api_version: API_VERSION,
            kind: "Logs",
            lines: lines.into_iter().map(|(_, row)| row).collect(),
            unread,
        }
    }
}

fn level(level: Level) -> (&'static str, Tone) {
    match level {
        Level::Unknown => ("", Tone::Dim),
        Level::Info => ("info", Tone::Dim),
        Level::Warning => ("warn", Tone::Warn),
        Level::Error => ("error", Tone::Bad),
        Level::Fatal => ("fatal", Tone::Bad),
    }
}

impl View for Logs {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        let mut grid = Grid::new("NODE|COMPONENT|TIME|LEVEL|TEXT");
        for line in &self.lines {
            let (word, tone) = level(line.level);
            grid.row(vec![
                field(&line.node),
                field(&line.component),
                maybe(line.time.as_ref()),
                field(word).tone(tone),
                field(&line.text),
            ]);
        }
        let mut text = match self.lines.is_empty() {
            true => "no line of the logs matters; --all shows every line\n".to_owned(),
            false => grid.draw(paint),
        };
        for one in &self.unread {
            let component = one.component.as_deref().unwrap_or("the host");
            let (node, why) = (one_line(&one.node), one_line(&one.why));
            text += &format!("not read: {component} on {node}: {why}\n");
        }
        text
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use etcd_operations::control_plane::ControlPlane;
    use etcd_operations::failure::Failure;
    use etcd_operations::logs::{ComponentLog, LogLine};

    use super::*;
    use crate::views::table;

    fn log(node: &str, lines: Answer<Vec<LogLine>>) -> NodeLog {
        NodeLog {
            node: node.to_owned(),
            log: ComponentLog {
                component: ControlPlane::Etcd,
                lines,
            },
        }
    }

    fn line(at: &str, text: &str) -> LogLine {
        LogLine {
            at: at.parse().ok(),
            level: Level::Warning,
            text: text.to_owned(),
        }
    }

    pub(crate) fn sample() -> Logs {
        let slow = "apply request took too long took=212ms prefix=read-only range request=key:\"/registry/health\"";
        let logs = [
            log("m1", Answer::Ok(vec![line("2026-11-21T10:00:02.5Z", slow)])),
            log(
                "m2",
                Answer::Ok(vec![line("2026-11-21T10:00:01Z", "lost leader")]),
            ),
            log(
                "m3",
                Answer::Failed(Failure::unreachable("no route to host")),
            ),
        ];
        Logs::new(&logs, Vec::new())
    }

    #[test]
    fn lines_of_all_nodes_are_in_the_order_of_time_and_never_wider_than_the_terminal() {
        let text = table(&sample(), false, Paint::PLAIN.within(Some(80)));
        let (lost, slow) = (text.find("lost leader"), text.find("apply request"));
        assert!(lost < slow, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(
            text.ends_with("not read: etcd on m3: no route to host\n"),
            "{text}"
        );
        let whole = table(&sample(), true, Paint::PLAIN);
        assert!(
            whole.contains("request=key:\"/registry/health\""),
            "{whole}"
        );
    }
}
