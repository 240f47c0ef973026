//! Member and cluster ids, and the peer URLs they are made from.
//!
//! A member of a new cluster has as its id the first eight bytes, big-endian, of the SHA-1 over its sorted peer URLs,
//! one after the other, followed by the cluster's token (`server/etcdserver/api/membership/member.go`). The cluster's
//! id is made the same way from the members' ids in ascending order, eight bytes big-endian each (`cluster.go`, `genID`).
//! So the same URLs and token give the same ids again: a restored cluster that keeps the token can be mistaken for
//! the old one by old members that are still alive. (A member added later has the time in its id as well.)

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha1::{Digest, Sha1};
use thiserror::Error;

/// The text was not an id of 1 to 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not an id (1 to 16 hexadecimal digits)")]
pub struct InvalidId(String);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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

impl MemberId {
    /// The id of a member of a new cluster. The URLs may come in any order.
    #[must_use]
    pub(crate) fn of_new_member(urls: &[PeerUrl], token: &str) -> Self {
        let mut sorted: Vec<&str> = urls.iter().map(PeerUrl::as_str).collect();
        sorted.sort_unstable();
        let mut sha = Sha1::new();
        for url in sorted {
            sha.update(url.as_bytes());
        }
        sha.update(token.as_bytes());
        Self(first_eight(&sha.finalize()))
    }
}

impl ClusterId {
    /// The id of a new cluster of these members, in any order.
    #[must_use]
    pub(crate) fn of_new_cluster(members: &[MemberId]) -> Self {
        let mut sorted = members.to_vec();
        sorted.sort_unstable();
        let mut sha = Sha1::new();
        for id in sorted {
            sha.update(id.0.to_be_bytes());
        }
        Self(first_eight(&sha.finalize()))
    }
}

fn first_eight(digest: &[u8]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |id, &byte| id << 8 | u64::from(byte))
}

/// Why a text is not a peer URL etcd would take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerUrlError {
    /// The scheme is not one of etcd's.
    #[error("peer URL {url:?} must start with http://, https://, unix:// or unixs://")]
    Scheme {
        /// The text.
        url: String,
    },
    /// There is more than a host and a port, or less.
    #[error("peer URL {url:?} must end with host:port and have no path")]
    HostPort {
        /// The text.
        url: String,
    },
}

/// A peer URL as etcd writes it into ids and members: scheme in lower case, host and port, no path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerUrl(String);

impl PeerUrl {
    /// Reads a peer URL by etcd's rules (`client/pkg/types/urls.go`); white space around it is dropped. Forms that Go's
    /// URL type would rewrite (escapes, user names, queries) are refused rather than guessed at: ids depend on every byte.
    ///
    /// # Errors
    /// [`PeerUrlError`] for a text etcd would refuse, too.
    pub fn parse(text: &str) -> Result<Self, PeerUrlError> {
        let text = text.trim();
        let no_scheme = || PeerUrlError::Scheme {
            url: text.to_owned(),
        };
        let bad_host = || PeerUrlError::HostPort {
            url: text.to_owned(),
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(no_scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "http" | "https" | "unix" | "unixs") {
            return Err(no_scheme());
        }
        let (host, port) = rest.rsplit_once(':').ok_or_else(bad_host)?;
        let port_number: u16 = match port.bytes().all(|b| b.is_ascii_digit()) {
            true => port.parse().map_err(|_| bad_host())?,
            false => return Err(bad_host()),
        };
        if port_number == 0 || !is_host(host) {
            return Err(bad_host());
        }
        Ok(Self(format!("{scheme}://{rest}")))
    }

    /// The URL as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let Some(address) = inner.strip_suffix(']') else {
            return false;
        };
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
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

    fn url(text: &str) -> PeerUrl {
        PeerUrl::parse(text).unwrap()
    }

    #[test]
    fn ids_are_those_of_etcd() {
        // The ids etcd's own documentation shows for one member on the default URL and token.
        let one = MemberId::of_new_member(&[url("http://localhost:2380")], "etcd-cluster");
        assert_eq!(one.to_string(), "8e9e05c52164694d");
        assert_eq!(
            ClusterId::of_new_cluster(&[one]).to_string(),
            "cdf818194e3a8c32"
        );
    }

    #[test]
    fn the_order_of_urls_and_members_does_not_matter() {
        let (a, b) = (url("http://10.0.0.1:2380"), url("https://a.example:2380"));
        let there = MemberId::of_new_member(&[a.clone(), b.clone()], "t");
        assert_eq!(there, MemberId::of_new_member(&[b, a], "t"));
        let other = MemberId(7);
        assert_eq!(
            ClusterId::of_new_cluster(&[there, other]),
            ClusterId::of_new_cluster(&[other, there])
        );
    }

    #[test]
    fn urls_are_taken_and_refused_as_etcd_does() {
        assert_eq!(url(" HTTPS://a.b:2380 ").as_str(), "https://a.b:2380");
        assert_eq!(
            url("http://[fd00::1]:2380").as_str(),
            "http://[fd00::1]:2380"
        );
        for bad in [
            "a:2380",
            "ftp://a:1",
            "http://a",
            "http://a:",
            "http://a:0",
            "http://a:99999",
            "http://a:1/",
            "http://:1",
            "http://a:1/x",
            "http://u@a:1",
            "http://a:1?x",
            "http://[::1:2380",
            "http://a b:1",
            "http://",
            "",
            "http://a:+1",
        ] {
            assert!(PeerUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
