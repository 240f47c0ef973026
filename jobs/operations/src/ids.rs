//! Member and cluster ids: 64-bit numbers that people and JSON see as lower-case hex.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The text was not an id of 1 to 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id (1 to 16 hexadecimal digits)")]
pub struct InvalidId(String);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let hex = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
                hex.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or_else(|| InvalidId(text.into()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_id! {
    /// A member's id: unpadded lower-case hex as etcd prints it, in text and in JSON (JSON numbers lose precision).
    MemberId
}

hex_id! {
    /// A cluster's id, written as [`MemberId`] is.
    ClusterId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unpadded_hex_strings() {
        let id: MemberId = "7a23c67093a3029".parse().unwrap();
        assert_eq!(id.0, 0x07a2_3c67_093a_3029);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"7a23c67093a3029\"");
        for bad in ["", "0x1", "+1", "12345678901234567", "g"] {
            assert!(bad.parse::<MemberId>().is_err(), "{bad}");
        }
    }
}
