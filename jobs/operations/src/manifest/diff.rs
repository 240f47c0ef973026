//! What differs between two manifests, line by line, with the lines around it.

use std::time::Duration;

use serde::Serialize;
use similar::{Change, ChangeTag, TextDiff};

/// How many equal lines are shown around those that differ.
const AROUND: usize = 3;

/// The longest search for the shortest difference; then a longer one is taken. Manifests take microseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// A part of two texts in which they differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Hunk {
    /// Its first line in the old text, counted from 1; of nothing, the line before it.
    pub old_start: usize,
    /// How many lines of the old text.
    pub old_lines: usize,
    /// Its first line in the new text, counted from 1; of nothing, the line before it.
    pub new_start: usize,
    /// How many lines of the new text.
    pub new_lines: usize,
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Which of the texts has it.
    pub side: Side,
    /// What stands in it, without its end. Bytes that are not UTF-8 are shown as `\u{fffd}`.
    pub text: String,
    /// How it ends: `\n`, `\r\n`, `\r`, or nothing.
    pub end: &'static str,
}

/// Which of two texts has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Both.
    Both,
    /// The old one alone.
    Old,
    /// The new one alone.
    New,
}

/// The difference of two texts, as `diff -u` has it. Nothing when they are the same.
pub fn diff(old: &[u8], new: &[u8]) -> Vec<Hunk> {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let mut config = TextDiff::configure();
    config.timeout(PATIENCE);
    let diff = config.diff_lines(old.as_ref(), new.as_ref());
    let hunks = diff.grouped_ops(AROUND).into_iter();
    hunks
        .filter_map(|ops| {
            let (first, last) = (ops.first()?, ops.last()?);
            let old = first.old_range().start..last.old_range().end;
            let new = first.new_range().start..last.new_range().end;
            Some(Hunk {
                old_start: old.start + usize::from(!old.is_empty()),
                old_lines: old.len(),
                new_start: new.start + usize::from(!new.is_empty()),
                new_lines: new.len(),
                lines: ops
                    .iter()
                    .flat_map(|op| diff.iter_changes(op))
                    .map(line)
                    .collect(),
            })
        })
        .collect()
}

fn line(change: Change<&str>) -> Line {
    let side = match change.tag() {
        ChangeTag::Equal => Side::Both,
        ChangeTag::Delete => Side::Old,
        ChangeTag::Insert => Side::New,
    };
    let line = change.value();
    let ends = ["\r\n", "\n", "\r", ""].into_iter();
    let mut cut = ends.filter_map(|end| Some((line.strip_suffix(end)?, end)));
    let (text, end) = cut.next().unwrap_or((line, ""));
    Line {
        side,
        text: text.to_owned(),
        end,
    }
}

/// As `diff -u` prints it, with the ends of lines that are not `\n`.
#[cfg(test)]
pub(super) fn shown(old: &str, new: &str) -> String {
    let mut out = String::new();
    for hunk in diff(old.as_bytes(), new.as_bytes()) {
        out += &format!(
            "@@ -{},{} +{},{} @@\n",
            hunk.old_start, hunk.old_lines, hunk.new_start, hunk.new_lines
        );
        for line in hunk.lines {
            let sign = match line.side {
                Side::Both => ' ',
                Side::Old => '-',
                Side::New => '+',
            };
            out += &format!(
                "{sign}{}{}\n",
                line.text,
                match line.end {
                    "\n" => "",
                    "\r\n" => "\\r",
                    "\r" => "\\r only",
                    _ => "\\ no newline",
                }
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_differ_stand_among_those_around_them() {
        let old: String = (1..20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("5\n", "5\r\n").replace("\n19\n", "\n19");
        insta::assert_snapshot!(shown(&old, &new), @r"
        @@ -2,7 +2,7 @@
         2
         3
         4
        -5
        +5\r
         6
         7
         8
        @@ -12,8 +12,8 @@
         12
         13
         14
        -15
        +15\r
         16
         17
         18
        -19
        +19\ no newline
        ");
        assert_eq!(shown("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(diff(b"a\xff\n", b"a\xff\n"), []);
    }

    proptest! {
        #[test]
        fn both_texts_are_in_it(old in "([a-c]{0,2}(\n|\r\n|\r)?){0,12}", new in "([a-c]{0,2}(\n|\r\n|\r)?){0,12}") {
            let hunks = diff(old.as_bytes(), new.as_bytes());
            prop_assert_eq!(hunks.is_empty(), old == new);
            for hunk in hunks {
                let of = |side| hunk.lines.iter().filter(|line| line.side == Side::Both || line.side == side).count();
                prop_assert_eq!(of(Side::Old), hunk.old_lines);
                prop_assert_eq!(of(Side::New), hunk.new_lines);
            }
        }
    }
}
