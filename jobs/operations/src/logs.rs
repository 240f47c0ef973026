//! What the control plane's containers logged, by line: when, how grave, and what; all lines, or those that matter.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::evidence::{self, POD_LOGS};
use crate::failure::{Answer, Failure};
use crate::kubelet;
use crate::limits::{LOG_LINE_CHARS, LOG_READ_BYTES};
use crate::look::etcd_manifest;
use crate::manifest::Selection;

/// What of the logs is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogQuery {
    /// Of which components.
    pub components: Vec<ControlPlane>,
    /// Of the container before the newest one.
    #[serde(default)]
    pub previous: bool,
    /// All lines, not only those that matter.
    #[serde(default)]
    pub all: bool,
    /// At most so many of each component, the last ones.
    pub tail: usize,
    /// None from before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It does not say.
    Unknown,
    /// As it should be.
    Info,
    /// Worth a look.
    Warning,
    /// Something failed.
    Error,
    /// The program ended by it.
    Fatal,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// When the container runtime had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How grave it is.
    pub level: Level,
    /// What it says.
    pub text: String,
}

/// The lines of a component on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentLog {
    /// Which.
    pub component: ControlPlane,
    /// Its lines, the oldest first.
    pub lines: Answer<Vec<LogLine>>,
}

/// What somebody looks for who asks how it went: starts, ends, elections, changes of the members, slow requests. etcd and
/// the apiserver log them as information.
const TELLING: [&str; 22] = [
    "starting etcd",
    "starting an etcd server",
    "ready to serve client requests",
    "received signal",
    "closing etcd server",
    "closed etcd server",
    "elected leader",
    "lost leader",
    "changed leader",
    "became leader",
    "became candidate",
    "is starting a new election",
    "leadership transfer",
    "added member",
    "removed member",
    "promoted member",
    "finished defragmenting",
    "alarm",
    "serving securely on",
    "[graceful-termination]",
    "shutting down",
    "(total time:",
];

/// How a log puts the time before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `TIME STREAM TAG WORDS`, as the runtime writes files.
    File,
    /// `TIME WORDS`, as the apiserver sends them with `timestamps=true`.
    Sent,
}

/// The lines of a text that the apiserver sent with `timestamps=true`.
pub fn sent(text: &str, query: &LogQuery) -> Vec<LogLine> {
    understood(text, Shape::Sent, query)
}

/// The lines of a host's components.
pub(crate) fn of_host(root: &Path, selection: &Selection, query: &LogQuery) -> Vec<ComponentLog> {
    let lines = |component: &ControlPlane| ComponentLog {
        component: *component,
        lines: of_component(root, selection, *component, query).into(),
    };
    query.components.iter().map(lines).collect()
}

fn of_component(
    root: &Path,
    selection: &Selection,
    component: ControlPlane,
    query: &LogQuery,
) -> Result<Vec<LogLine>, Failure> {
    let etcd = etcd_manifest(root, selection).ok();
    let pod = match (component, etcd) {
        (ControlPlane::Etcd, Some(found)) => found.target.pod,
        _ => format!("{component}-{}", kubelet::node_name(root)?),
    };
    let logs = evidence::logs(&root.join(POD_LOGS.trim_start_matches('/')), &pod);
    let back = usize::from(query.previous);
    let Some(log) = logs.iter().rev().nth(back) else {
        let which = if query.previous {
            "log of an earlier container"
        } else {
            "log"
        };
        let message = format!("no {which} of the pod {pod} is in {POD_LOGS}");
        return Err(Failure::missing(message));
    };
    let text = end_of(&log.path).map_err(|error| {
        Failure::missing(format!("could not read {}: {error}", log.path.display()))
    })?;
    Ok(understood(&text, Shape::File, query))
}

/// The end of a file, from the beginning of a line on.
fn end_of(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    let begin = size.saturating_sub(LOG_READ_BYTES);
    file.seek(SeekFrom::Start(begin))?;
    let mut bytes = Vec::new();
    file.take(LOG_READ_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(match text.split_once('\n') {
        Some((_, whole)) if begin > 0 => whole.to_owned(),
        _ => text,
    })
}

fn understood(text: &str, shape: Shape, query: &LogQuery) -> Vec<LogLine> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in text.lines() {
        let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (partial, words) = match shape {
            Shape::Sent => (false, rest),
            Shape::File => {
                let mut parts = rest.splitn(3, ' ').skip(1);
                let tag = parts.next().unwrap_or_default();
                let partial = tag.split(':').any(|part| part == "P");
                (partial, parts.next().unwrap_or_default())
            }
        };
        if begun.len() < 4 * LOG_LINE_CHARS {
            begun.push_str(words);
        }
        if partial {
            continue;
        }
        let (level, text) = read(&std::mem::take(&mut begun));
        let at: Option<Timestamp> = time.parse().ok();
        let is_old = query
            .since
            .is_some_and(|since| at.is_none_or(|at| at < since));
        if !is_old && !text.is_empty() && (query.all || matters(level, &text)) {
            lines.push(LogLine { at, level, text });
        }
    }
    lines.split_off(lines.len().saturating_sub(query.tail))
}

fn matters(level: Level, text: &str) -> bool {
    match level {
        Level::Warning | Level::Error | Level::Fatal => true,
        Level::Info => {
            let text = text.to_ascii_lowercase();
            TELLING.iter().any(|telling| text.contains(telling))
        }
        Level::Unknown => false,
    }
}

/// How grave a line is, and what it says without what stands in columns of its own.
fn read(words: &str) -> (Level, String) {
    let (level, text) = json(words)
        .or_else(|| klog(words))
        .or_else(|| capnslog(words))
        .unwrap_or_else(|| (plain(words), words.to_owned()));
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let short: String = clean.take(LOG_LINE_CHARS).collect();
    (level, short.trim().to_owned())
}

/// A line of no logger: what Go says when a program panics, or a program that does not know a flag.
fn plain(words: &str) -> Level {
    let ends = [
        "panic: ",
        "fatal error: ",
        "Error: ",
        "error: ",
        "flag provided",
    ];
    match ends.iter().any(|end| words.starts_with(end)) {
        true => Level::Fatal,
        false => Level::Unknown,
    }
}

/// zap as etcd uses it since 3.4, and klog's JSON.
fn json(words: &str) -> Option<(Level, String)> {
    let line: serde_json::Map<String, Value> = serde_json::from_str(words).ok()?;
    let message = line.get("msg").and_then(Value::as_str)?;
    let level = match line.get("level").and_then(Value::as_str) {
        Some("warn") => Level::Warning,
        Some("error" | "dpanic") => Level::Error,
        Some("fatal" | "panic") => Level::Fatal,
        Some(_) => Level::Info,
        None if line.contains_key("err") => Level::Error,
        None => Level::Info,
    };
    let mut text = message.to_owned();
    const APART: [&str; 6] = ["level", "ts", "caller", "msg", "logger", "v"];
    for (name, value) in line
        .iter()
        .filter(|(name, _)| !APART.contains(&name.as_str()))
    {
        let value = match value {
            Value::String(value) => value.clone(),
            other => other.to_string(),
        };
        text += &format!(" {name}={value}");
    }
    Some((level, text))
}

/// `E1121 19:00:12.345678       1 file.go:123] WORDS`
fn klog(words: &str) -> Option<(Level, String)> {
    let (head, text) = words.split_once("] ")?;
    let digits = head.get(1..5)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let level = match head.bytes().next()? {
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    Some((level, text.to_owned()))
}

/// `2026-11-21 19:00:12.345678 W | etcdserver: WORDS`, of etcd 3.4 and before.
fn capnslog(words: &str) -> Option<(Level, String)> {
    let (head, text) = words.split_once(" | ")?;
    let level = match head.rsplit(' ').next()? {
        "I" | "N" | "D" => Level::Info,
        "W" => Level::Warning,
        "E" => Level::Error,
        "C" => Level::Fatal,
        _ => return None,
    };
    Some((level, text.to_owned()))
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
