//! The cluster to be: members with ids, and its WAL and `.snap` file.

use std::fs::File;
use std::io::Read;

use crate::Error;
use crate::ids::{ClusterId, MemberId, PeerUrl};
use crate::membership::Member;
use crate::raft::{
    ConfChange, ConfChangeKind, ConfState, Entry, EntryKind, HardState, LogPosition,
};
use crate::snap::{SnapFile, SnapName, initial_store};
use crate::wal::{WalMetadata, WalSnapshot, WalWriter};

use super::RestoreError;
use super::options::{MAX_MEMBERS, NewMember, OptionsError, Token};

/// Bytes of a fresh token.
const TOKEN_BYTES: usize = 16;

/// A new cluster's members and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCluster {
    /// The cluster's id.
    pub id: ClusterId,
    /// The token the ids were made with.
    pub token: String,
    /// The members, by ascending id: the order they enter the log in.
    pub members: Vec<Member>,
}

impl NewCluster {
    /// Gives members their ids.
    ///
    /// # Errors
    /// [`RestoreError::Options`] for members etcd would refuse; [`Error::Io`] when there is no randomness.
    pub fn form(members: &[NewMember], token: &Token) -> Result<Self, RestoreError> {
        check(members)?;
        let token = match token {
            Token::Given(token) => token.clone(),
            Token::Fresh => format!("restored-{}", random_hex(TOKEN_BYTES)?),
        };
        let mut formed: Vec<Member> = members
            .iter()
            .map(|member| with_id(member, &token))
            .collect();
        formed.sort_unstable_by_key(|member| member.id);
        if let Some(pair) = formed.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(OptionsError::DuplicateId(pair[0].id).into());
        }
        let ids: Vec<MemberId> = formed.iter().map(|member| member.id).collect();
        Ok(Self {
            id: ClusterId::of_new_cluster(&ids),
            token,
            members: formed,
        })
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Where the log stands when the cluster begins: one entry for each member, all committed.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        LogPosition {
            term: 1,
            index: self.members.len() as u64,
        }
    }

    fn conf_state(&self) -> ConfState {
        ConfState {
            voters: self.members.iter().map(|member| member.id.0).collect(),
            ..ConfState::default()
        }
    }

    /// The WAL this member starts from, as `etcdutl` 3.5 and 3.6 write it: each member added, everything committed, and
    /// a snapshot of it.
    #[must_use]
    pub fn wal(&self, member_id: MemberId) -> WalWriter {
        let mut wal = WalWriter::new(&WalMetadata {
            member_id,
            cluster_id: self.id,
        });
        for (index, member) in (1..).zip(&self.members) {
            let context = member.to_json().into_bytes();
            let change = ConfChange {
                kind: ConfChangeKind::AddVoter,
                member_id: member.id.0,
                context,
            }
            .encode();
            let position = LogPosition { term: 1, index };
            wal.entry(&Entry {
                kind: EntryKind::ConfChange,
                position,
                data: &change,
            });
        }
        let position = self.position();
        let vote = self.members.first().map_or(0, |member| member.id.0);
        wal.hard_state(&HardState {
            term: position.term,
            vote,
            commit: position.index,
        });
        wal.snapshot(&WalSnapshot {
            position,
            conf_state: Some(self.conf_state()),
        });
        wal
    }

    /// Name and bytes of the `.snap` file, the same for all members.
    #[must_use]
    pub fn snap(&self) -> (SnapName, Vec<u8>) {
        let bytes = SnapFile::encode(
            self.position(),
            &self.conf_state(),
            &initial_store(&self.members),
        );
        (SnapName(self.position()), bytes)
    }
}

fn check(members: &[NewMember]) -> Result<(), OptionsError> {
    if !(1..=MAX_MEMBERS).contains(&members.len()) {
        return Err(OptionsError::MemberCount(members.len()));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut urls: Vec<&PeerUrl> = Vec::new();
    for member in members {
        if member.name.is_empty() || member.peer_urls.is_empty() {
            return Err(OptionsError::Incomplete(member.name.clone()));
        }
        if names.contains(&member.name.as_str()) {
            return Err(OptionsError::DuplicateName(member.name.clone()));
        }
        names.push(&member.name);
        for url in &member.peer_urls {
            if urls.contains(&url) {
                return Err(OptionsError::DuplicateUrl(url.clone()));
            }
            urls.push(url);
        }
    }
    Ok(())
}

fn with_id(member: &NewMember, token: &str) -> Member {
    let mut peer_urls: Vec<String> = member
        .peer_urls
        .iter()
        .map(|url| url.as_str().to_owned())
        .collect();
    peer_urls.sort_unstable();
    Member {
        id: MemberId::of_new_member(&member.peer_urls, token),
        name: member.name.clone(),
        peer_urls,
        client_urls: Vec::new(),
        is_learner: false,
    }
}

/// Random bytes of the operating system in hexadecimal.
pub(super) fn random_hex(bytes: usize) -> Result<String, Error> {
    const SOURCE: &str = "/dev/urandom";
    let mut random = vec![0; bytes];
    let mut file = File::open(SOURCE).map_err(|e| Error::io(SOURCE, "open", e))?;
    file.read_exact(&mut random)
        .map_err(|e| Error::io(SOURCE, "read", e))?;
    Ok(crate::stream::hex(&random))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<NewMember> {
        NewMember::parse_list(text).unwrap()
    }

    #[test]
    fn the_wal_adds_each_member_and_commits_that() {
        let cluster =
            NewCluster::form(&members("b=http://x:1,a=http://y:1"), &Token::Fresh).unwrap();
        let me = cluster.members[1].id;
        let wal = cluster.wal(me);
        let name = crate::wal::SegmentName {
            sequence: 0,
            index: 0,
        };
        let bytes = wal.as_bytes();
        let dir = std::path::Path::new("wal");
        let read = crate::wal::read_segments(
            dir,
            &[(name, bytes.len() as u64)],
            |_| Ok(bytes),
            0,
            &mut crate::progress::ignore,
        );
        let read = read.unwrap().unwrap();
        assert_eq!(
            read.metadata,
            Some(WalMetadata {
                member_id: me,
                cluster_id: cluster.id
            })
        );
        assert_eq!(
            (read.changes.len(), read.last, read.commit()),
            (2, cluster.position(), 2)
        );
        let newest = read.valid_snapshots().next_back().unwrap();
        assert_eq!(newest.conf_state, Some(cluster.conf_state()));
    }

    #[test]
    fn a_fresh_token_gives_other_ids_each_time() {
        let list = members("a=http://x:1,b=http://y:1");
        let [one, two] = [(); 2].map(|()| NewCluster::form(&list, &Token::Fresh).unwrap());
        assert_ne!((one.id, one.members[0].id), (two.id, two.members[0].id));
        assert_ne!(one.token, two.token);
    }

    #[test]
    fn members_etcd_would_refuse_are_refused() {
        let refused = |text: &str| match NewCluster::form(&members(text), &Token::Fresh) {
            Err(RestoreError::Options(error)) => error,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(refused(""), OptionsError::MemberCount(0));
        assert!(matches!(
            refused("a=http://x:1,b=http://x:1"),
            OptionsError::DuplicateUrl(_)
        ));
        assert!(matches!(
            refused("=http://x:1"),
            OptionsError::Incomplete(_)
        ));
    }
}
