//! YAML as kubelet and kubectl read it: YAML 1.1's truth values and octal numbers, and of a key that is given twice the last
//! value.
//!
//! One library reads and writes it, serde-saphyr. Where each node is in a text, the parser below it tells
//! ([`crate::manifest`]).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

/// Why a text cannot be read or written. It repeats none of the text.
pub type Error = serde_saphyr::Error;

/// Reads a text that has one document; one that has none is what [`Default`] gives.
///
/// # Errors
/// When it is not YAML, has a second document, or is nothing of this type.
pub fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Error> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let read: Option<T> = serde_saphyr::from_str_with_options(text, options)?;
    Ok(read.unwrap_or_default())
}

/// Writes a value so that readers of YAML 1.1 take each text for a text. No text is a block: one that begins with a tab is
/// none to kubelet's reader.
///
/// # Errors
/// When the value cannot be told in YAML.
pub fn write(value: &impl Serialize) -> Result<String, serde_saphyr::ser::Error> {
    let quotes = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, quotes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn values_are_read_as_yaml_1_1_has_them() {
        for (text, value) in [
            ("on", json!(true)),
            ("no", json!(false)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("\"0644\"", json!("0644")),
            (".inf", json!(".inf")),
            ("a: 1\na: 2", json!({"a": 2})),
            ("", Value::Null),
        ] {
            assert_eq!(read::<Value>(text).unwrap(), value, "{text}");
        }
        assert!(read::<Value>("---\na\n---\nb").is_err());
    }

    #[test]
    fn texts_are_written_so_that_another_reader_takes_them_for_texts() {
        for text in [
            "yes",
            "0644",
            "1e3",
            "1:30",
            "<<",
            "=",
            "2001-01-01",
            "~",
            "null",
            "\tx\ny",
            "\t\n",
            "a\n\tb",
            " x",
            "x: y",
            "#",
        ] {
            let written = write(&json!({ "text": text })).unwrap();
            let back: serde_yaml::Value = serde_yaml::from_str(&written).unwrap();
            assert_eq!(back["text"].as_str(), Some(text), "{written}");
        }
    }
}
