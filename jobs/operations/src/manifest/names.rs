//! What goes into a manifest: names and values that were looked at before.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::flags::plain_name;
use crate::text::text;

/// A flag's name, without dashes before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlagName(String);

/// A flag's value: a text without control characters. It may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlagValue(String);

/// An image's name, with its registry, tag and digest as far as it has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// Why a text cannot go into a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// As a flag's name.
    #[error("{0:?} is no flag: a letter, then letters, digits, `-`, `.`")]
    Flag(String),
    /// As a flag's value.
    #[error("{0:?} is no flag's value: it has control characters in it")]
    Value(String),
    /// As an image.
    #[error("{0:?} is no image: letters, digits and `.:/@_-`, a letter or digit at both ends")]
    Image(String),
}

impl FromStr for FlagName {
    type Err = NameError;

    /// Takes it with or without dashes before it; `_` becomes `-`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text
            .strip_prefix("--")
            .or_else(|| text.strip_prefix('-'))
            .unwrap_or(text);
        let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if good {
            Ok(Self(plain_name(name)))
        } else {
            Err(NameError::Flag(text.to_owned()))
        }
    }
}

impl FromStr for FlagValue {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.chars().any(char::is_control) {
            Err(NameError::Value(text.to_owned()))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".:/@_-".contains(c));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Image(text.to_owned()))
        }
    }
}

text!(FlagName, NameError);
text!(FlagValue, NameError);
text!(ImageName, NameError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_word_is_taken() {
        assert_eq!(
            "--data_dir".parse::<FlagName>().unwrap().as_str(),
            "data-dir"
        );
        assert_eq!("v".parse::<FlagName>().unwrap().to_string(), "v");
        for bad in ["", "--", "a=b", "a b", "-1", "---a", "ä"] {
            assert!(bad.parse::<FlagName>().is_err(), "{bad:?}");
        }
        assert!("a\nb".parse::<FlagValue>().is_err() && "a\0".parse::<FlagValue>().is_err());
        assert!("".parse::<FlagValue>().is_ok() && "a=b, c: d # é".parse::<FlagValue>().is_ok());
        assert!(
            "registry:5000/etcd:3.6.6-0@sha256:ab"
                .parse::<ImageName>()
                .is_ok()
        );
        assert!("etcd 3".parse::<ImageName>().is_err() && "a:".parse::<ImageName>().is_err());
    }

    #[test]
    fn what_is_read_from_a_journal_is_looked_at_too() {
        let read = |text| serde_json::from_str::<FlagName>(text);
        assert_eq!(read("\"name\"").unwrap().as_str(), "name");
        assert!(read("\"a b\"").is_err());
    }
}
