//! How the difference of two manifests is shown.

use etcd_operations::manifest::{self, LineEnd, ManifestFile, Side};
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Paint, Tone, painted};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::clean::is_hidden;

/// What differs between two manifests of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestDiff {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `ManifestDiff`.
    pub kind: &'static str,
    /// Whose manifests.
    pub component: String,
    /// The kept one.
    pub old: String,
    /// The one that counts now.
    pub new: String,
    /// The parts that differ, with the lines around them; none: they are the same.
    pub hunks: Vec<Hunk>,
}

/// A part of two texts in which they differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hunk {
    /// Its first line in the old text, counted from 1.
    pub old_start: usize,
    /// How many lines of the old text.
    pub old_lines: usize,
    /// Its first line in the new text, counted from 1.
    pub new_start: usize,
    /// How many lines of the new text.
    pub new_lines: usize,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Which of the texts has it.
    pub side: LineSide,
    /// What stands in it, without its end.
    pub text: String,
    /// How it ends: `\n`, `\r\n`, `\r`, or nothing.
    pub end: &'static str,
}

/// Which of two texts has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LineSide {
    /// Both.
    Both,
    /// The old one alone.
    Old,
    /// The new one alone.
    New,
}

impl ManifestDiff {
    /// Compares two.
    pub fn new(component: &str, old: &ManifestFile, new: &ManifestFile) -> Self {
        let hunks = manifest::diff(old.manifest.bytes(), new.manifest.bytes());
        Self {
            api_version: API_VERSION,
            kind: "ManifestDiff",
            component: component.to_owned(),
            old: old.path.display().to_string(),
            new: new.path.display().to_string(),
            hunks: hunks.into_iter().map(hunk).collect(),
        }
    }
}

fn hunk(hunk: manifest::Hunk) -> Hunk {
    let line = |line: manifest::Line| Line {
        side: match line.side {
            Side::Both => LineSide::Both,
            Side::Old => LineSide::Old,
            Side::New => LineSide::New,
        },
        text: line.text,
        end: match line.end {
            LineEnd::Nothing => "",
            LineEnd::Lf => "\n",
            LineEnd::CrLf => "\r\n",
            LineEnd::Cr => "\r",
        },
    };
    Hunk {
        old_start: hunk.old_start,
        old_lines: hunk.old_lines,
        new_start: hunk.new_start,
        new_lines: hunk.new_lines,
        lines: hunk.lines.into_iter().map(line).collect(),
    }
}

impl View for ManifestDiff {
    fn table(&self, _wide: bool, paint: Paint) -> String {
        if self.hunks.is_empty() {
            return format!(
                "{} and {} are the same\n",
                visible(&self.old),
                visible(&self.new)
            );
        }
        let mut text = format!("--- {}\n+++ {}\n", visible(&self.old), visible(&self.new));
        for hunk in &self.hunks {
            text.push_str(&format!(
                "@@ -{},{} +{},{} @@\n",
                hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines
            ));
            for line in &hunk.lines {
                text.push_str(&line.shown(paint));
            }
        }
        text
    }
}

impl Line {
    fn shown(&self, paint: Paint) -> String {
        let (sign, tone) = match self.side {
            LineSide::Both => (' ', Tone::Plain),
            LineSide::Old => ('-', Tone::Bad),
            LineSide::New => ('+', Tone::Good),
        };
        // Else lines would differ in nothing that is seen.
        let end = match self.end {
            "\n" => "",
            "\r\n" => "\\r",
            "\r" => "\\r alone",
            _ => "\n\\ No newline at end of file",
        };
        let line = format!("{sign}{}", visible(&self.text));
        format!("{}{end}\n", painted(&line, tone, paint))
    }
}

/// Without anything a terminal would act on; blanks stay where they are.
fn visible(text: &str) -> String {
    let shown = |c: char| if is_hidden(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
