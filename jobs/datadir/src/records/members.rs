//! Records of the buckets `members` and `members_removed`.
//!
//! Up to etcd 3.5 these are a shadow of the membership kept elsewhere (the v2 store in the `.snap` file); from 3.6 on
//! they are the membership.

use serde::{Deserialize, Serialize};

use super::BadRecord;
use crate::ids::MemberId;

/// A member as its record tells it (`membership.Member` as JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    #[serde(deserialize_with = "from_number")]
    pub id: MemberId,
    /// Where it listens for its peers.
    #[serde(rename = "peerURLs", default, deserialize_with = "null_as_empty")]
    pub peer_urls: Vec<String>,
    /// Whether it only learns and does not vote.
    #[serde(rename = "isLearner", default)]
    pub is_learner: bool,
    /// Its name; empty until it has started once.
    #[serde(default)]
    pub name: String,
    /// Where it listens for clients; empty until it has started once.
    #[serde(rename = "clientURLs", default, deserialize_with = "null_as_empty")]
    pub client_urls: Vec<String>,
}

fn from_number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<MemberId, D::Error> {
    u64::deserialize(from).map(MemberId)
}

/// Go writes an empty list as `null`.
fn null_as_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Member {
    /// Decodes a record of `members`: key is the id in hexadecimal, value the member as JSON.
    ///
    /// # Errors
    /// [`BadRecord`].
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, BadRecord> {
        let id = parse_id(key)?;
        let member: Self = serde_json::from_slice(value)
            .map_err(|_| BadRecord::Contradiction("its value is not a member in JSON"))?;
        if member.id != id {
            return Err(BadRecord::Contradiction(
                "the member's id is not the one it is stored under",
            ));
        }
        Ok(member)
    }
}

/// The id in the key of a record of `members_removed`.
///
/// # Errors
/// [`BadRecord`].
pub(crate) fn removed_id(key: &[u8]) -> Result<MemberId, BadRecord> {
    parse_id(key)
}

fn parse_id(key: &[u8]) -> Result<MemberId, BadRecord> {
    let bad = BadRecord::Contradiction("its key is not a member id in hexadecimal");
    let text = std::str::from_utf8(key).map_err(|_| bad)?;
    if text.is_empty() || text.starts_with('+') {
        return Err(bad);
    }
    u64::from_str_radix(text, 16).map(MemberId).map_err(|_| bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_as_etcd_writes_them() {
        let value = br#"{"id":549755813890,"peerURLs":["http://a:2380"],"isLearner":true}"#;
        let member = Member::decode(b"8000000002", value).unwrap();
        assert_eq!(
            (member.id, member.is_learner, member.name.as_str()),
            (MemberId(0x80_0000_0002), true, "")
        );
        assert!(Member::decode(b"8000000003", value).is_err());
        assert!(Member::decode(b"8000000002", br#"{"id":549755813890,"peerURLs":null}"#).is_ok());
        assert!(Member::decode(b"8000000002", b"{").is_err());
        assert!(Member::decode(b"+8000000002", value).is_err());
    }
}
