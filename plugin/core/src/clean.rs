//! What a terminal may get of text that others wrote: names, messages, logs.
//!
//! Three kinds of characters never reach it. Control characters talk to the terminal. Those that turn the direction of
//! writing show a text as another one. Those that are not seen at all make two names look like one.

#[cfg(any(test, feature = "testing"))]
pub mod hostile;

use unicode_general_category::{GeneralCategory, get_general_category};

/// How a text is put on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// Whether colours are used: only on a terminal, and never with `NO_COLOR`.
    pub colour: bool,
    /// How many columns there are; none: as many as it takes.
    pub width: Option<usize>,
}

impl Paint {
    /// With colours.
    pub const COLOUR: Self = Self {
        colour: true,
        width: None,
    };
    /// Plain text.
    pub const PLAIN: Self = Self {
        colour: false,
        width: None,
    };

    /// The same within so many columns.
    #[must_use]
    pub fn within(self, width: Option<usize>) -> Self {
        Self { width, ..self }
    }
}

/// What is shown in the place of a character that is not: it must be seen that something was there.
const REPLACEMENT: char = '\u{fffd}';

/// How this program colours text, which is all that a terminal gets of its own language.
const COLOURS: [&str; 10] = [
    "\u{1b}[0m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[90m",
    // Those of comfy-table.
    "\u{1b}[38;5;8m",
    "\u{1b}[38;5;9m",
    "\u{1b}[38;5;10m",
    "\u{1b}[38;5;11m",
    "\u{1b}[39m",
];

/// Whether a terminal does something with it, or shows nothing of it.
pub fn is_hidden(c: char) -> bool {
    match get_general_category(c) {
        // It moves on, and no more.
        _ if c == '\t' => false,
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => true,
        // What Unicode has as "default ignorable" beside these: fillers, and selectors of a variation.
        _ => {
            matches!(c,
            '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2065}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{e0000}'..='\u{e0fff}' | '\u{fdd0}'..='\u{fdef}')
            // No character, and none that YAML takes.
            || u32::from(c) & 0xfffe == 0xfffe
        }
    }
}

/// The text on one line, without anything that is not seen, nor blanks around it.
pub fn clean(text: &str) -> String {
    one_line(text.trim()).replace('\t', " ")
}

/// The same with the blanks around it.
pub fn one_line(text: &str) -> String {
    text.chars().map(shown).collect()
}

fn shown(c: char) -> char {
    match c {
        '\n' | '\r' => ' ',
        c if is_hidden(c) => REPLACEMENT,
        c => c,
    }
}

/// A text that is laid out already: its lines stay. Colours stay where colours are used; of another's text no more than
/// these can have come through.
pub fn clean_layout(text: &str, paint: Paint) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = || COLOURS.iter().find(|colour| rest.starts_with(**colour));
        let (taken, whole) = match c {
            '\n' => (1, Some("\n")),
            '\u{1b}' if paint.colour => {
                colour().map_or((1, None), |colour| (colour.len(), Some(*colour)))
            }
            _ => (c.len_utf8(), None),
        };
        match whole {
            Some(whole) => clean.push_str(whole),
            None => clean.push(shown(c)),
        }
        rest = &rest[taken..];
    }
    clean
}

/// JSON of the same value, without anything that is not seen: such characters can only be inside of its strings.
pub fn escape_json(json: &str) -> String {
    escape(json, |c, out| {
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// The same of YAML in which all text is in double quotes.
pub fn escape_yaml(yaml: &str) -> String {
    escape(yaml, |c, out| {
        out.push_str(&format!("\\U{:08x}", u32::from(c)));
    })
}

fn escape(text: &str, write: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            c if is_hidden(c) => write(c, &mut out),
            c => out.push(c),
        }
    }
    out
}

/// Whether there is nothing to escape.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c != '\n' && is_hidden(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::hostile::hostile;
    use super::*;

    #[test]
    fn what_is_not_seen_is_shown_as_something() {
        assert_eq!(clean("m\u{200b}1"), "m\u{fffd}1");
        assert_eq!(
            clean("a\u{202e}b\u{1b}[31mc\nd\te\u{9b}"),
            "a\u{fffd}b\u{fffd}[31mc d e\u{fffd}"
        );
        assert_eq!(
            clean(" bücher 日本 e\u{301} 🦀 "),
            "bücher 日本 e\u{301} 🦀"
        );
    }

    #[test]
    fn colours_are_this_programs_own_and_no_more() {
        let text = "\u{1b}[32mgood\u{1b}[0m \u{1b}[8mhidden\u{1b}[2J\n  next\n";
        assert_eq!(
            clean_layout(text, Paint::COLOUR),
            "\u{1b}[32mgood\u{1b}[0m \u{fffd}[8mhidden\u{fffd}[2J\n  next\n"
        );
        assert_eq!(
            clean_layout(text, Paint::PLAIN),
            "\u{fffd}[32mgood\u{fffd}[0m \u{fffd}[8mhidden\u{fffd}[2J\n  next\n"
        );
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in hostile()) {
            prop_assert!(!clean(&text).chars().any(is_hidden));
            let laid_out = clean_layout(&text, Paint::PLAIN);
            prop_assert!(is_plain(&laid_out));
            prop_assert_eq!(laid_out.matches('\n').count(), text.matches('\n').count());
        }

        #[test]
        fn json_and_yaml_stay_what_they_say(text in hostile()) {
            let json = escape_json(&serde_json::to_string_pretty(&[&text]).unwrap());
            prop_assert!(is_plain(&json), "{json}");
            let back: Vec<String> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&back, std::slice::from_ref(&text));
            let yaml = escape_yaml(&serde_json::to_string_pretty(&[&text]).unwrap());
            prop_assert!(is_plain(&yaml), "{yaml}");
            let back: Vec<String> = serde_yaml::from_str(&yaml).unwrap();
            prop_assert_eq!(back, [text]);
        }
    }
}
