//! Words of a command line in brackets: `["etcd", "--flag=value"]`, on one line or on several.

use std::ops::Range;

use super::block::{line_end, line_start};
use super::spot::{Items, Splice};
use super::tree::Node;

/// A new word behind the one before `index`.
pub(super) fn insert(items: &Items<'_>, index: usize, word: &str) -> Option<Vec<Splice>> {
    let text = items.text;
    let before = index.checked_sub(1)?;
    let node = items.nodes.get(before)?;
    let last = items.nodes.len() == index;
    match own_line(text, node) {
        Some(line) if line.comma => {
            let line_of_own = format!("{}{word},{}", line.indent, line.end);
            Some(vec![put(line.range.end, line_of_own)])
        }
        // The last one has no comma; what may stand behind it is a comment.
        Some(line) if last => Some(vec![
            put(node.range.end, ",".to_owned()),
            put(line.range.end, format!("{}{word}{}", line.indent, line.end)),
        ]),
        _ => {
            let separator = before
                .checked_sub(1)
                .and_then(|earlier| items.nodes.get(earlier))
                .and_then(|earlier| text.get(earlier.range.end..node.start))
                .filter(|between| !between.contains('#'))
                .unwrap_or(", ");
            Some(vec![put(node.range.end, format!("{separator}{word}"))])
        }
    }
}

/// A word goes with the comma that belongs to it; with its whole line, and a comment there, if it has one to itself.
pub(super) fn remove(items: &Items<'_>, index: usize) -> Option<Vec<Splice>> {
    let text = items.text;
    let node = items.nodes.get(index)?;
    let last = items.nodes.len() == index + 1;
    let before = index
        .checked_sub(1)
        .and_then(|before| items.nodes.get(before));
    match (own_line(text, node), before) {
        (Some(line), _) if line.comma => Some(vec![cut(line.range)]),
        (Some(line), Some(before)) if last => {
            let comma = comma(text, before.range.end..node.start)?;
            Some(vec![cut(comma..comma + 1), cut(line.range)])
        }
        (_, Some(before)) => without_comment(text, before.range.end..node.range.end, node),
        (_, None) => {
            let next = items.nodes.get(1)?;
            without_comment(text, node.start..next.start, node)
        }
    }
}

/// The line of a word that has one to itself.
struct OwnLine<'t> {
    range: Range<usize>,
    indent: &'t str,
    end: &'t str,
    comma: bool,
}

fn own_line<'t>(text: &'t str, node: &Node) -> Option<OwnLine<'t>> {
    let start = line_start(text, node.start);
    let indent = text.get(start..node.start)?;
    let (next, end) = line_end(text, node.range.end);
    let behind = text.get(node.range.end..next)?.trim();
    let (comma, behind) = match behind.strip_prefix(',') {
        Some(behind) => (true, behind.trim_start()),
        None => (false, behind),
    };
    let alone =
        is_blank(indent) && !end.is_empty() && (behind.is_empty() || behind.starts_with('#'));
    alone.then_some(OwnLine {
        range: start..next,
        indent,
        end,
        comma,
    })
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c == ' ' || c == '\t')
}

/// The comma between two words: there is nothing else but white space and comments.
fn comma(text: &str, between: Range<usize>) -> Option<usize> {
    let mut comment = false;
    for (at, c) in text.get(between.clone())?.char_indices() {
        match c {
            '\n' | '\r' => comment = false,
            '#' => comment = true,
            ',' if !comment => return Some(between.start + at),
            _ => {}
        }
    }
    None
}

/// Cuts the range, if it holds no comment beside the word.
fn without_comment(text: &str, range: Range<usize>, node: &Node) -> Option<Vec<Splice>> {
    let before = text.get(range.start..node.start)?;
    let behind = text.get(node.range.end..range.end)?;
    let comment = before.contains('#') || behind.contains('#');
    (!comment).then(|| vec![cut(range)])
}

fn put(at: usize, text: String) -> Splice {
    Splice {
        range: at..at,
        text,
    }
}

fn cut(range: Range<usize>) -> Splice {
    Splice {
        range,
        text: String::new(),
    }
}
