//! What to restore, and the checks that need no file.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;

use thiserror::Error;

use crate::ids::{MemberId, PeerUrl, PeerUrlError};

/// Most members a new cluster may have here; etcd advises against more than seven.
pub const MAX_MEMBERS: usize = 100;

/// A member of the cluster to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// Its name; etcd must be started with it (`--name`).
    pub name: String,
    /// Its peer URLs; etcd must be started with them (`--initial-advertise-peer-urls`).
    pub peer_urls: Vec<PeerUrl>,
}

impl NewMember {
    /// Reads etcd's own notation, `name=url,name=url`; a name that comes several times has several URLs.
    ///
    /// # Errors
    /// [`OptionsError`] for what is not `name=url`, or not a peer URL.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, OptionsError> {
        let mut members: Vec<Self> = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, url) = part
                .split_once('=')
                .ok_or_else(|| OptionsError::NotAMember(part.to_owned()))?;
            let url = PeerUrl::parse(url)?;
            match members.iter_mut().find(|member| member.name == name) {
                Some(member) => member.peer_urls.push(url),
                None => members.push(Self {
                    name: name.to_owned(),
                    peer_urls: vec![url],
                }),
            }
        }
        Ok(members)
    }
}

/// The cluster's token, which goes into all ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Token {
    /// A new random one. The new cluster's ids are then unlike any other cluster's, and old members that are still
    /// alive somewhere cannot mix with it. etcd needs not be told: it takes its ids from the WAL.
    #[default]
    Fresh,
    /// This one. With the URLs and the token of the old cluster the ids are the old ones again.
    Given(String),
}

/// Whether a database without a trailer may be restored from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RawDatabase {
    /// No: nothing would tell whether it is what etcd wrote.
    #[default]
    Refuse,
    /// Yes, after its copy was walked and every record read. A flipped bit in a value cannot be noticed, and a copy
    /// taken while etcd ran may be of no single moment.
    AcceptAfterCheck,
}

/// A version of etcd, as far as files depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcdVersion {
    /// Major version.
    pub major: u64,
    /// Minor version.
    pub minor: u64,
}

impl EtcdVersion {
    /// Reads `3.6`, `3.6.0`, `v3.6.16-0` and the like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').split(['.', '-', '+']);
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for EtcdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What to do about a snapshot of a newer etcd than the one that is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoragePolicy {
    /// Refuse when that etcd would.
    #[default]
    Keep,
    /// Lower the storage version in the restored database as `etcdutl migrate` does; for 3.5 and older it is removed.
    Lower,
}

/// How to restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// All members of the cluster to be.
    pub members: Vec<NewMember>,
    /// Its token.
    pub token: Token,
    /// Adds this to the revision and marks everything up to the result compacted, so that no watch can go on from
    /// before: it is answered 'compacted' and clients list anew. 1,000,000,000 is usual.
    pub bump_revision: Option<NonZeroU64>,
    /// Whether the source may lack the trailer.
    pub raw: RawDatabase,
    /// The etcd that is to run on the result; `None` leaves the storage version unchecked.
    pub for_etcd: Option<EtcdVersion>,
    /// What to do when the snapshot's storage version is too new for that etcd.
    pub storage: StoragePolicy,
}

impl RestoreOptions {
    /// Options for these members, everything else at its default.
    #[must_use]
    pub fn new(members: Vec<NewMember>) -> Self {
        Self {
            members,
            token: Token::default(),
            bump_revision: None,
            raw: RawDatabase::default(),
            for_etcd: None,
            storage: StoragePolicy::default(),
        }
    }
}

/// One directory to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreTarget {
    /// Whose directory it is; one of [`RestoreOptions::members`].
    pub member: String,
    /// The data directory. Must not be there, except as [`RestoreTarget::into_existing`] says.
    pub data_dir: PathBuf,
    /// A directory for the WAL outside of the data directory (`--wal-dir`). Must not be there.
    pub wal_dir: Option<PathBuf>,
    /// Take a data directory that is there as long as it has no `member` in it, as for one that is a disk of its own.
    pub into_existing: bool,
}

impl RestoreTarget {
    /// A target as is usual: a new directory with the WAL inside.
    pub fn new(member: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            member: member.into(),
            data_dir: data_dir.into(),
            wal_dir: None,
            into_existing: false,
        }
    }

    /// Whether only `member` is to be made, in a data directory that is there.
    pub(super) fn within_existing(&self) -> bool {
        self.into_existing && self.data_dir.is_dir()
    }
}

/// Options that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// A text that is not `name=url`.
    #[error("{0:?} is not a member: expected name=url")]
    NotAMember(String),
    /// Not a peer URL.
    #[error(transparent)]
    PeerUrl(#[from] PeerUrlError),
    /// Nobody, or more than [`MAX_MEMBERS`].
    #[error("a cluster has 1 to {MAX_MEMBERS} members, not {0}")]
    MemberCount(usize),
    /// A member without a name or without a URL.
    #[error("member {0:?} needs a name and at least one peer URL")]
    Incomplete(String),
    /// A name that two members have.
    #[error("two members are named {0:?}")]
    DuplicateName(String),
    /// A URL that two members have, or one member twice. etcd refuses it as well.
    #[error("peer URL {0} is given twice")]
    DuplicateUrl(PeerUrl),
    /// Two members would have one id.
    #[error("two members would have the id {0}")]
    DuplicateId(MemberId),
    /// No directory is asked for.
    #[error("no directory to restore to is given")]
    NoTarget,
    /// A directory for somebody who is not a member.
    #[error("{0:?} is not among the members of the new cluster")]
    UnknownMember(String),
    /// Two directories for one member.
    #[error("member {0:?} is given twice")]
    DuplicateTarget(String),
    /// Directories to be made that are not each one's own.
    #[error("{} and {} are the same directory, or one is in the other", dir.display(), other.display())]
    NotApart {
        /// A data directory, or a WAL's.
        dir: PathBuf,
        /// Another one, given before it.
        other: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_etcd_does() {
        let members = NewMember::parse_list("a=http://x:1,b=http://y:2,a=http://x:3").unwrap();
        assert_eq!(members.len(), 2);
        assert_eq!(
            (members[0].name.as_str(), members[0].peer_urls.len()),
            ("a", 2)
        );
        assert_eq!(
            NewMember::parse_list("a"),
            Err(OptionsError::NotAMember("a".to_owned()))
        );
        assert!(NewMember::parse_list("a=nonsense").is_err());
    }

    #[test]
    fn versions_of_images_are_read() {
        for text in ["3.6", "3.6.0", "v3.6.16", "3.6.16-0"] {
            assert_eq!(
                EtcdVersion::parse(text),
                Some(EtcdVersion { major: 3, minor: 6 }),
                "{text}"
            );
        }
        assert_eq!(EtcdVersion::parse("latest"), None);
    }
}
