//! Lines that are longer than the terminal is wide, folded between words.

use textwrap::core::display_width;
use textwrap::{Options, WordSplitter};

/// No line is folded to less: on such a terminal the terminal does it.
const NARROWEST: usize = 40;

/// The text with its long lines folded. What follows stands below the words of the first line: below those behind a label
/// (`Next  kubectl …`), or two columns in.
pub(crate) fn fold(text: &str, width: usize) -> String {
    if width < NARROWEST {
        return text.to_owned();
    }
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        match display_width(line) > width {
            true => folded += &fold_line(line, width),
            false => folded += line,
        }
        folded.push('\n');
    }
    folded
}

fn fold_line(line: &str, width: usize) -> String {
    let indent = " ".repeat(indent(line).min(width / 3));
    let words = line.trim_start();
    // A word is not cut, at a hyphen neither: it may be pasted.
    let options = Options::new(width)
        .initial_indent(&line[..line.len() - words.len()])
        .subsequent_indent(&indent)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(words, options)
}

/// Where the words of a line begin: behind a label and the blanks after it.
fn indent(line: &str) -> usize {
    let blanks = line.len() - line.trim_start().len();
    let label = line.trim_start().find("  ").filter(|at| *at <= 16);
    label.map_or(blanks + 2, |at| {
        let behind = &line[blanks + at..];
        let gap = behind.len() - behind.trim_start().len();
        display_width(&line[..blanks + at]) + gap
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_below_the_words_behind_a_label() {
        let text =
            "Next     kubectl etcd defrag, which alone makes the database files smaller\nshort\n";
        assert_eq!(
            fold(text, 40),
            "Next     kubectl etcd defrag, which\n         alone makes the database files\n         smaller\nshort\n"
        );
        assert_eq!(fold(text, 100), text);
        let word = format!("  {}\n", "x".repeat(60));
        assert_eq!(fold(&word, 40), word, "a word is not cut: it may be pasted");
    }

    #[test]
    fn colours_take_no_room() {
        let line = format!("\u{1b}[31m{}\u{1b}[0m {}\n", "a".repeat(30), "b".repeat(9));
        assert_eq!(fold(&line, 40), line);
    }
}
