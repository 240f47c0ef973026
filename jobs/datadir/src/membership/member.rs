//! One member as etcd describes it in JSON, in the WAL, in `.snap` files and in the database.

use serde::Deserialize;

use crate::gojson::{put_string, put_strings};
use crate::ids::MemberId;
use crate::records::members::Member;

/// `membership.Member` with both its parts; all fields may be missing.
#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    id: u64,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(default, rename = "isLearner")]
    is_learner: bool,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
}

impl Member {
    /// Reads the JSON of a member, or of a part of it (`raftAttributes`, `attributes` in the v2 store).
    ///
    /// # Errors
    /// What is wrong with the JSON, in words.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        Ok(Self {
            id: MemberId(json.id),
            name: json.name,
            peer_urls: json.peer_urls.unwrap_or_default(),
            client_urls: json.client_urls.unwrap_or_default(),
            is_learner: json.is_learner,
        })
    }

    /// The JSON etcd writes, to the byte: empty fields are left away, but not the peer URLs.
    #[must_use]
    pub(crate) fn to_json(&self) -> String {
        let mut out = format!("{{\"id\":{},\"peerURLs\":", self.id.0);
        put_strings(&mut out, self.peer_urls.iter().map(String::as_str));
        if self.is_learner {
            out.push_str(",\"isLearner\":true");
        }
        if !self.name.is_empty() {
            out.push_str(",\"name\":");
            put_string(&mut out, &self.name);
        }
        if !self.client_urls.is_empty() {
            out.push_str(",\"clientURLs\":");
            put_strings(&mut out, self.client_urls.iter().map(String::as_str));
        }
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_that_of_etcd() {
        let json = r#"{"id":9372538179322589801,"peerURLs":["http://10.0.0.1:2380"],"name":"m1"}"#;
        let member = Member::from_json(json.as_bytes()).unwrap();
        assert_eq!(member.to_json(), json);
        let json = r#"{"id":1,"peerURLs":["http://a:1","http://b:2"],"isLearner":true,"name":"m\u0026","clientURLs":["http://c:3"]}"#;
        assert_eq!(Member::from_json(json.as_bytes()).unwrap().to_json(), json);
    }

    #[test]
    fn null_lists_and_promotions_are_read() {
        let promoted = br#"{"id":5,"peerURLs":null,"isPromote":true}"#;
        assert_eq!(
            Member::from_json(promoted).unwrap().peer_urls,
            Vec::<String>::new()
        );
        assert!(Member::from_json(b"{").is_err());
    }
}
