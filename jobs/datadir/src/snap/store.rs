//! etcd's v2 store, of which only the members are left.
//!
//! A tree of nodes: `/0/members/<id>/raftAttributes` and `/attributes`, `/0/removed_members/<id>`, `/0/version`, and
//! under `/1` what users of the v2 API kept (`server/etcdserver/api/v2store`, `membership/storev2.go`).

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use crate::gojson::{put_string, put_strings};
use crate::ids::MemberId;
use crate::membership::Member;

/// Events the store's history has room for; unused places are written as `null`.
const HISTORY: usize = 1000;
/// Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Why a store cannot be read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Not the JSON it should be.
    #[error("{0}")]
    Json(String),
    /// The name of a member's node is no id.
    #[error("member node {0:?} is not named by an id")]
    MemberName(String),
    /// A member's attributes cannot be read.
    #[error("member {id}: {what}")]
    Member {
        /// The member.
        id: MemberId,
        /// What is wrong.
        what: String,
    },
}

/// What a store says of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct V2Store {
    /// The members, by id.
    pub members: Vec<Member>,
    /// Members that were removed and cannot come back, by id.
    pub removed: Vec<MemberId>,
    /// The cluster version, when one was set.
    pub cluster_version: Option<String>,
    /// Whether users of the v2 API left data. etcd 3.6 refuses to start with such.
    pub has_user_data: bool,
}

#[derive(Deserialize)]
struct Store {
    #[serde(rename = "Root")]
    root: Node,
}

#[derive(Deserialize, Default)]
struct Node {
    #[serde(rename = "Value", default)]
    value: String,
    #[serde(rename = "Children", default)]
    children: Option<BTreeMap<String, Node>>,
}

impl Node {
    fn child(&self, name: &str) -> Option<&Self> {
        self.children.as_ref()?.get(name)
    }

    fn children(&self) -> impl Iterator<Item = (&String, &Self)> {
        self.children.iter().flatten()
    }
}

impl V2Store {
    /// Reads a store's JSON.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn decode(json: &[u8]) -> Result<Self, StoreError> {
        let store: Store =
            serde_json::from_slice(json).map_err(|e| StoreError::Json(e.to_string()))?;
        let users = store.root.child("1");
        let has_user_data = users.is_some_and(|node| node.children().next().is_some());
        let mut found = Self {
            has_user_data,
            ..Self::default()
        };
        let Some(cluster) = store.root.child("0") else {
            return Ok(found);
        };
        if let Some(members) = cluster.child("members") {
            for (name, node) in members.children() {
                found.members.push(member(member_id(name)?, node)?);
            }
        }
        if let Some(removed) = cluster.child("removed_members") {
            found.removed = removed
                .children()
                .map(|(name, _)| member_id(name))
                .collect::<Result<_, _>>()?;
        }
        found.cluster_version = cluster.child("version").map(|node| node.value.clone());
        found.members.sort_unstable_by_key(|member| member.id);
        found.removed.sort_unstable();
        Ok(found)
    }
}

fn member_id(name: &str) -> Result<MemberId, StoreError> {
    u64::from_str_radix(name, 16)
        .map(MemberId)
        .map_err(|_| StoreError::MemberName(name.to_owned()))
}

fn member(id: MemberId, node: &Node) -> Result<Member, StoreError> {
    let part = |name| match node.child(name) {
        Some(node) => Member::from_json(node.value.as_bytes()).map(Some),
        None => Ok(None),
    };
    let bad = |what| StoreError::Member { id, what };
    let raft = part("raftAttributes")
        .map_err(bad)?
        .ok_or_else(|| bad("no peer URLs".to_owned()))?;
    let own = part("attributes").map_err(bad)?;
    let (name, client_urls) = own
        .map(|own| (own.name, own.client_urls))
        .unwrap_or_default();
    Ok(Member {
        id,
        name,
        peer_urls: raft.peer_urls,
        client_urls,
        is_learner: raft.is_learner,
    })
}

/// The store of a new cluster, to the byte as `etcdutl snapshot restore` of 3.5 writes it: the members were created
/// one after the other in the order of their ids.
#[must_use]
pub fn initial_store(members: &[Member]) -> String {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_unstable_by_key(|member| member.id);
    let n = members.len();
    // Children come in the order of their names, and a shorter id sorts by its first digit.
    let mut by_name: Vec<(String, usize)> = members
        .iter()
        .zip(1..)
        .map(|(m, i)| (m.id.to_string(), i))
        .collect();
    by_name.sort_unstable();
    let mut out = String::with_capacity(8192);
    out.push_str("{\"Root\":");
    open_node(&mut out, "/", 0);
    out.push_str("{\"0\":");
    open_node(&mut out, "/0", 0);
    out.push_str("{\"members\":");
    open_node(&mut out, "/0/members", 1);
    out.push('{');
    for (at, (name, index)) in by_name.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let path = format!("/0/members/{name}");
        out.push_str(&format!("\"{name}\":"));
        open_node(&mut out, &path, *index);
        out.push_str("{\"raftAttributes\":");
        let value = raft_attributes(members[index - 1]);
        put_node(&mut out, &format!("{path}/raftAttributes"), *index, &value);
        out.push_str("null}}}");
    }
    out.push_str("}}}},\"1\":");
    open_node(&mut out, "/1", 0);
    out.push_str("{}}}},\"WatcherHub\":{\"EventHistory\":{\"Queue\":{\"Events\":[");
    for (i, member) in members.iter().enumerate() {
        put_event(&mut out, member, i + 1);
        out.push(',');
    }
    out.push_str(&"null,".repeat(HISTORY.saturating_sub(n)));
    out.pop();
    out.push_str(&format!(
        "],\"Size\":{n},\"Front\":0,\"Back\":{n},\"Capacity\":{HISTORY}}},\"StartIndex\":1,\"LastIndex\":{n}}}}},\
         \"CurrentIndex\":{n},\"Stats\":{{\"getsSuccess\":0,\"getsFail\":0,\"setsSuccess\":0,\"setsFail\":0,\
         \"deleteSuccess\":0,\"deleteFail\":0,\"updateSuccess\":0,\"updateFail\":0,\"createSuccess\":{n},\
         \"createFail\":0,\"compareAndSwapSuccess\":0,\"compareAndSwapFail\":0,\"compareAndDeleteSuccess\":0,\
         \"compareAndDeleteFail\":0,\"expireCount\":0,\"watchers\":0}},\"CurrentVersion\":2}}"
    ));
    out
}

fn raft_attributes(member: &Member) -> String {
    let mut value = String::from("{\"peerURLs\":");
    put_strings(&mut value, member.peer_urls.iter().map(String::as_str));
    value.push('}');
    value
}

/// A directory node up to its children.
fn open_node(out: &mut String, path: &str, index: usize) {
    put_node(out, path, index, "");
}

fn put_node(out: &mut String, path: &str, index: usize, value: &str) {
    out.push_str(&format!(
        "{{\"Path\":\"{path}\",\"CreatedIndex\":{index},\"ModifiedIndex\":{index},\"ExpireTime\":\"{NEVER}\",\"Value\":"
    ));
    put_string(out, value);
    out.push_str(",\"Children\":");
}

fn put_event(out: &mut String, member: &Member, index: usize) {
    let id = member.id;
    out.push_str(&format!(
        "{{\"action\":\"create\",\"node\":{{\"key\":\"/0/members/{id}/raftAttributes\",\"value\":"
    ));
    put_string(out, &raft_attributes(member));
    out.push_str(&format!(
        ",\"modifiedIndex\":{index},\"createdIndex\":{index}}}}}"
    ));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raft::{ConfState, LogPosition};
    use crate::snap::{SnapError, SnapFile, SnapName, fuzz};

    fn three() -> Vec<Member> {
        let member = |id, name: &str| Member {
            id: MemberId(id),
            name: String::new(),
            peer_urls: vec![format!("http://{name}:2380")],
            client_urls: Vec::new(),
            is_learner: false,
        };
        vec![member(0xf000, "c"), member(0x7, "a"), member(0xff, "b")]
    }

    #[test]
    fn a_new_store_comes_back() {
        let store = V2Store::decode(initial_store(&three()).as_bytes()).unwrap();
        let mut members = three();
        members.sort_by_key(|m| m.id);
        assert_eq!(store.members, members);
        assert_eq!(
            (
                store.removed.len(),
                store.cluster_version,
                store.has_user_data
            ),
            (0, None, false)
        );
    }

    #[test]
    fn a_snap_file_comes_back_and_a_flip_is_noticed() {
        let conf_state = ConfState {
            voters: vec![7, 0xff, 0xf000],
            ..ConfState::default()
        };
        let position = LogPosition { term: 1, index: 3 };
        let file = SnapFile::encode(position, &conf_state, &initial_store(&three()));
        let read = SnapFile::decode(&file).unwrap();
        assert_eq!(
            (read.position, &read.conf_state, read.store.members.len()),
            (position, &conf_state, 3)
        );
        let mut flipped = file;
        flipped[200] ^= 1;
        assert!(matches!(
            SnapFile::decode(&flipped),
            Err(SnapError::CrcMismatch { .. })
        ));
        assert!(matches!(SnapFile::decode(&[]), Err(SnapError::Empty)));
    }

    #[test]
    fn names_come_back() {
        let name = SnapName(LogPosition {
            term: 2,
            index: 0xabc,
        });
        assert_eq!(name.to_string(), "0000000000000002-0000000000000abc.snap");
        assert_eq!(SnapName::parse(&name.to_string()), Some(name));
        assert_eq!(SnapName::parse("0000000000000abc.snap.db"), None);
    }

    #[test]
    fn a_deep_store_does_not_overflow_the_stack() {
        let deep = format!("{{\"Root\":{}", "{\"Children\":{\"a\":".repeat(100_000));
        assert!(matches!(
            V2Store::decode(deep.as_bytes()),
            Err(StoreError::Json(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            fuzz::snap(&bytes);
        }

        #[test]
        fn a_changed_file_is_never_taken(at in any::<usize>(), value in any::<u8>()) {
            let file = SnapFile::encode(LogPosition { term: 1, index: 3 }, &ConfState::default(), &initial_store(&three()));
            let whole = SnapFile::decode(&file).unwrap();
            let mut changed = file;
            let at = at % changed.len();
            changed[at] = value;
            prop_assert!(SnapFile::decode(&changed).map_or(true, |read| read == whole));
        }
    }
}
