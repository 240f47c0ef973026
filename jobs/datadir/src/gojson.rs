//! JSON as Go's `encoding/json` writes it: restored files are to be equal to etcd's own, to the byte.

/// Appends a string with its quotes. Go escapes `<`, `>`, `&` and the two line separators of Unicode as well.
pub(crate) fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Appends a list of strings.
pub(crate) fn put_strings<'t>(out: &mut String, texts: impl IntoIterator<Item = &'t str>) {
    out.push('[');
    for (i, text) in texts.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        put_string(out, text);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = String::new();
        put_strings(&mut out, ["a\"b\\", "<&>\u{1}\n", "é\u{2028}"]);
        assert_eq!(
            out,
            "[\"a\\\"b\\\\\",\"\\u003c\\u0026\\u003e\\u0001\\n\",\"é\\u2028\"]"
        );
    }
}
