//! Words of a command line on lines of their own: `- --flag=value`.

use granit_parser::ScalarStyle;

use super::spot::{Items, Splice};
use super::tree::{Kind, Node};

/// A new line behind that of the word before `index`.
pub(super) fn insert(items: &Items<'_>, index: usize, word: &str) -> Option<Vec<Splice>> {
    let before = items.nodes.get(index.checked_sub(1)?)?;
    // Its end is not the end of a line.
    if matches!(
        &before.kind,
        Kind::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded)
    ) {
        return None;
    }
    let like = |node| dash(items.text, node).map(|(_, dash)| dash);
    // One whose word stands on the line below its dash is no model.
    let dash = like(before).or_else(|| items.nodes.iter().find_map(like))?;
    let (at, ended) = line_end(items.text, before.range.end);
    let text = match ended {
        // The last line has no end, and shall have none.
        "" => {
            let end = break_before(items.text, line_start(items.text, before.start));
            format!("{end}{dash}{word}")
        }
        end => format!("{dash}{word}{end}"),
    };
    Some(vec![Splice {
        range: at..at,
        text,
    }])
}

/// The lines of a word go, with a comment behind it, which is about it.
pub(super) fn remove(items: &Items<'_>, index: usize) -> Option<Vec<Splice>> {
    let node = items.nodes.get(index)?;
    let (mut start, _) = dash(items.text, node)?;
    let (end, ended) = line_end(items.text, node.range.end);
    if ended.is_empty() {
        start -= break_before(items.text, start).len();
    }
    Some(vec![Splice {
        range: start..end,
        text: String::new(),
    }])
}

/// Where a word's line begins and what is before the word in it, if that is a dash alone.
fn dash<'t>(text: &'t str, node: &Node) -> Option<(usize, &'t str)> {
    let start = line_start(text, node.start);
    let before = text.get(start..node.start)?;
    let gap = before.trim_start_matches(' ').strip_prefix('-')?;
    let blank = !gap.is_empty() && gap.chars().all(|c| c == ' ');
    // A word's own anchor is not the next one's.
    blank.then_some((start, before))
}

/// Where the line of a byte begins.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    // A byte order mark is no part of the line.
    if start == 0 && before.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        start
    }
}

/// Where the next line begins, and what ends this one: nothing for the last line.
pub(super) fn line_end(text: &str, at: usize) -> (usize, &str) {
    let rest = text.get(at..).unwrap_or_default();
    let Some(end) = rest.find(['\n', '\r']) else {
        return (text.len(), "");
    };
    let ended = break_at(&rest[end..]);
    (at + end + ended.len(), ended)
}

fn break_at(text: &str) -> &str {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => &text[..2],
        [b'\r' | b'\n', ..] => &text[..1],
        _ => "",
    }
}

fn break_before(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    match before.as_bytes() {
        [.., b'\r', b'\n'] => &before[before.len() - 2..],
        [.., b'\r' | b'\n'] => &before[before.len() - 1..],
        _ => "",
    }
}
