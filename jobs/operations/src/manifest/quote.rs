//! How a text is written as a YAML scalar.
//!
//! Kubernetes reads manifests as YAML 1.1 (`sigs.k8s.io/yaml`), most other tools as 1.2. A text stays without quotes only
//! where both take it for the same text.

use granit_parser::ScalarStyle;

/// Where a scalar stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// On lines, by indentation.
    Block,
    /// In brackets.
    Flow,
}

/// The text as a scalar, in this style if that can hold it.
pub(super) fn scalar(text: &str, style: ScalarStyle, around: Around) -> String {
    let single = || format!("'{}'", text.replace('\'', "''"));
    match (style, around) {
        (ScalarStyle::DoubleQuoted, _) => double(text),
        _ if !text.chars().all(is_plain_char) => double(text),
        (ScalarStyle::SingleQuoted, _) => single(),
        _ if is_plain(text, around) => text.to_owned(),
        (_, Around::Block) => single(),
        // What is in brackets is most often JSON's style.
        (_, Around::Flow) => double(text),
    }
}

/// In double quotes, with escapes that JSON has too.
fn double(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_plain_char(c) => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

/// What may stand anywhere as it is. The others are control characters, line ends of YAML 1.1, the byte order mark and
/// what is no character; tabs mean something in some places.
fn is_plain_char(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether the text needs no quotes there.
fn is_plain(text: &str, around: Around) -> bool {
    begins_plain(text)
        && !means_something_else(text)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && (around == Around::Block || !text.contains([',', '[', ']', '{', '}', '?']))
}

fn begins_plain(text: &str) -> bool {
    let mut chars = text.chars();
    match chars.next() {
        Some('-') => chars.next().is_some_and(|next| next != ' '),
        Some(first) => {
            first.is_alphanumeric() || matches!(first, '/' | '.' | '_' | '$' | '(' | '+')
        }
        None => false,
    }
}

/// Whether a reader would take it for a number, a time, a truth value or nothing. Rather once too often: quotes do no harm.
fn means_something_else(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    let number = word.trim_start_matches(['+', '-']).trim_start_matches('.');
    matches!(
        word.as_str(),
        "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    ) || matches!(number, "inf" | "nan")
        || (number.starts_with(|first: char| first.is_ascii_digit())
            && word
                .chars()
                .all(|c| "0123456789abcdefxo_.:+-tz ".contains(c)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_yaml::Value;

    use super::*;

    const STYLES: [ScalarStyle; 3] = [
        ScalarStyle::Plain,
        ScalarStyle::SingleQuoted,
        ScalarStyle::DoubleQuoted,
    ];

    #[test]
    fn quotes_are_there_when_yaml_needs_them() {
        let block = |text| scalar(text, ScalarStyle::Plain, Around::Block);
        for plain in [
            "--name=m1",
            "-v=2",
            "--a=b: c".trim_end_matches(": c"),
            "--urls=https://10.0.0.1:2379,https://[::1]:2379",
            "--x=#1",
            "/etc/kubernetes/pki",
            "5s",
            "m1=https://10.0.0.1:2380",
            "registry.k8s.io/etcd:3.6.6-0@sha256:00",
            "--größe=ü",
            "$(NODE)",
        ] {
            assert_eq!(block(plain), plain);
        }
        for quoted in [
            "",
            "true",
            "No",
            "~",
            "null",
            "0x1F",
            "1_000",
            "12:30:00",
            "2026-11-20",
            "1e3",
            "-1",
            ".inf",
            "<<",
            "=",
            "- a",
            "-",
            "a: b",
            "a:",
            "a #b",
            " a",
            "a ",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "?",
            ", a",
            "\"a\"",
            "8589934592",
        ] {
            assert_eq!(block(quoted), format!("'{quoted}'"));
        }
        assert_eq!(block("'it's'"), "'''it''s'''");
        assert_eq!(block("a\tb\u{85}\u{1}"), r#""a\u0009b\u0085\u0001""#);
    }

    #[test]
    fn brackets_need_more_of_them() {
        let flow = |text| scalar(text, ScalarStyle::Plain, Around::Flow);
        assert_eq!(flow("--a=http://b:1"), "--a=http://b:1");
        assert_eq!(flow("--a=b,c"), "\"--a=b,c\"");
        assert_eq!(flow("--a={}"), "\"--a={}\"");
    }

    #[test]
    fn quotes_are_the_neighbours() {
        assert_eq!(scalar("a", ScalarStyle::SingleQuoted, Around::Block), "'a'");
        assert_eq!(
            scalar("a\"\\", ScalarStyle::DoubleQuoted, Around::Flow),
            r#""a\"\\""#
        );
        assert_eq!(
            scalar("a\n", ScalarStyle::SingleQuoted, Around::Block),
            r#""a\u000a""#
        );
    }

    proptest! {
        #[test]
        fn every_text_reads_as_itself(
            text in prop_oneof![any::<String>(), "[-a-z0-9:#,'\"\\\\ \\[\\]{}=?!&*%@~|>.\t\n]{0,16}"],
            style in prop::sample::select(STYLES.as_slice()),
        ) {
            let block = format!("a:\n- {}\nb: c\n", scalar(&text, style, Around::Block));
            let flow = format!("{{a: [x, {} ], b: c}}\n", scalar(&text, style, Around::Flow));
            for (written, at) in [(block, 0), (flow, 1)] {
                let value: Value = serde_yaml::from_str(&written).unwrap();
                prop_assert_eq!(value["a"][at].as_str(), Some(text.as_str()), "{}", written);
                prop_assert_eq!(value["b"].as_str(), Some("c"));
            }
            let json = scalar(&text, ScalarStyle::DoubleQuoted, Around::Flow);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
