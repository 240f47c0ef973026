//! What the database of a member says of itself.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::disk::if_there;
use crate::error::Damage;
use crate::ids::MemberId;
use crate::progress::OnProgress;
use crate::records::RevisionKey;
use crate::records::members::{Member, removed_id};
use crate::records::meta::MetaBucket;
use crate::source::FileSource;
use crate::tree::Database;
use crate::verify::{Verdict, Verification, VerifyOptions, verify};

/// The database file of a member.
#[derive(Debug)]
pub enum DatabaseState {
    /// There is none.
    Missing,
    /// Not even its beginnings can be read.
    Unreadable(Error),
    /// It can be read; whether it is whole, [`DatabaseFacts::check`] says.
    Readable(Box<DatabaseFacts>),
}

impl DatabaseState {
    /// The facts, if it can be read.
    #[must_use]
    pub fn facts(&self) -> Option<&DatabaseFacts> {
        match self {
            Self::Readable(facts) => Some(facts),
            Self::Missing | Self::Unreadable(_) => None,
        }
    }

    /// Whether it was walked to the end and nothing was wrong with it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.facts().is_some_and(|facts| {
            facts
                .check
                .as_ref()
                .is_some_and(|check| check.verdict == Verdict::NoTrailer)
        })
    }

    /// Whether it can be read and nothing is known to be wrong with it: it is whole, or was not walked.
    #[must_use]
    pub(crate) fn seems_whole(&self) -> bool {
        let unchecked = |facts: &DatabaseFacts| facts.check.is_none();
        self.is_whole() || self.facts().is_some_and(unchecked)
    }

    /// Whether nothing was ever written to it. etcd makes the database first, with the bucket `meta` alone, and the others when
    /// it has joined.
    pub(super) fn is_new(&self) -> bool {
        self.facts().is_some_and(|facts| {
            let empty = facts.consistent_index() == 0 && facts.revision == 0;
            let alone = facts.members.is_empty() && facts.removed.is_empty();
            empty && alone && facts.cluster_version.is_none() && self.lacks_at_most_keys()
        })
    }

    /// Whether nothing is known to be wrong with it but that the bucket of the keys was not made yet.
    fn lacks_at_most_keys(&self) -> bool {
        let check = self.facts().and_then(|facts| facts.check.as_ref());
        let findings = check.map(|check| check.findings.as_slice());
        let mut fatal = findings.unwrap_or_default().iter().filter(|one| one.fatal);
        fatal.all(|one| matches!(one.damage, Damage::MissingBucket { .. }))
    }

    /// What was found on the walk that makes it unreliable.
    pub(super) fn fatal(&self) -> Option<String> {
        let check = self.facts()?.check.as_ref()?;
        let finding = check.findings.iter().find(|finding| finding.fatal)?;
        Some(finding.damage.to_string())
    }
}

/// What a database says of itself.
#[derive(Debug)]
pub struct DatabaseFacts {
    /// Size of what is in use, in bytes.
    pub size_bytes: u64,
    /// Revision of the last change.
    pub revision: u64,
    /// The bucket `meta`: consistent index, term, storage version.
    pub meta: MetaBucket,
    /// The cluster version, "3.5.0".
    pub cluster_version: Option<String>,
    /// The bucket `members`.
    pub members: Vec<Member>,
    /// The bucket `members_removed`.
    pub removed: Vec<MemberId>,
    /// The walk through all pages and records; `None` when it was not asked for.
    pub check: Option<Verification>,
}

impl DatabaseFacts {
    /// Index of the last entry applied; 0 when none is recorded.
    #[must_use]
    pub fn consistent_index(&self) -> u64 {
        self.meta.consistent_index.unwrap_or(0)
    }
}

/// A database received from the leader, `<index>.snap.db`. etcd puts it in the place of its own when a snapshot of this
/// index is newer than what its own holds.
#[derive(Debug)]
pub struct ReceivedDatabase {
    /// Where it is.
    pub path: PathBuf,
    /// Index of the snapshot it belongs to.
    pub index: u64,
    /// Length of the file in bytes.
    pub size_bytes: u64,
    /// What it says of itself; `None` unless etcd would take it.
    pub content: Option<DatabaseState>,
}

impl ReceivedDatabase {
    /// Those in a `snap` directory, by ascending index.
    pub(super) fn list(snap_dir: &Path) -> Result<Vec<Self>, Error> {
        let fail = |e| Error::io(&snap_dir.display().to_string(), "list", e);
        let mut found = Vec::new();
        let entries = if_there(std::fs::read_dir(snap_dir)).map_err(fail)?;
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let index = name.to_str().and_then(|name| name.strip_suffix(".snap.db"));
            let Some(index) = index.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
                continue;
            };
            let size_bytes = entry.metadata().map_err(fail)?.len();
            found.push(Self {
                path: entry.path(),
                index,
                size_bytes,
                content: None,
            });
        }
        found.sort_unstable_by_key(|received| received.index);
        Ok(found)
    }
}

/// Reads the database's own account; with `walk`, all of it.
pub(super) fn read(
    path: &Path,
    walk: bool,
    on_progress: OnProgress<'_>,
) -> Result<DatabaseState, Error> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(DatabaseState::Missing),
        Err(e) => return Err(Error::io(&path.display().to_string(), "look at", e)),
        Ok(_) => {}
    }
    match FileSource::open(path).and_then(|source| facts(&source, walk, on_progress)) {
        Ok(facts) => Ok(DatabaseState::Readable(Box::new(facts))),
        // A disk that fails, or a file that may not be read, says nothing about the database.
        Err(error @ (Error::Io { .. } | Error::Cancelled)) => Err(error),
        Err(error) => Ok(DatabaseState::Unreadable(error)),
    }
}

fn facts(
    source: &FileSource,
    walk: bool,
    on_progress: OnProgress<'_>,
) -> Result<DatabaseFacts, Error> {
    let mut db = Database::open(source)?;
    // One without a bucket is a member's that was killed at its first start.
    if let Ok(Some(buckets)) = db.foreign_buckets()
        && !buckets.is_empty()
    {
        return Err(db.damaged(Damage::not_etcd(&buckets)));
    }
    let mut facts = DatabaseFacts {
        size_bytes: db.meta().database_size(),
        revision: 0,
        meta: MetaBucket::default(),
        cluster_version: None,
        members: Vec::new(),
        removed: Vec::new(),
        check: None,
    };
    for bucket in db.buckets()? {
        let name = bucket.printable_name();
        match bucket.name.as_slice() {
            b"key" => {
                let last = db.last_key(&bucket)?;
                facts.revision = last
                    .and_then(|key| RevisionKey::parse(&key))
                    .map_or(0, |key| key.revision.main);
            }
            b"meta" => db.walk(&bucket, &mut |entry| {
                let taken = facts.meta.take(entry.element.key, entry.element.value);
                taken.map_err(|bad| entry.bad_record(&name, bad.to_string()))
            })?,
            b"cluster" => db.walk(&bucket, &mut |entry| {
                if entry.element.key == b"clusterVersion" {
                    facts.cluster_version =
                        Some(String::from_utf8_lossy(entry.element.value).into_owned());
                }
                Ok(())
            })?,
            b"members" => db.walk(&bucket, &mut |entry| {
                let member = Member::decode(entry.element.key, entry.element.value);
                facts
                    .members
                    .push(member.map_err(|bad| entry.bad_record(&name, bad.to_string()))?);
                Ok(())
            })?,
            b"members_removed" => db.walk(&bucket, &mut |entry| {
                let id = removed_id(entry.element.key);
                facts
                    .removed
                    .push(id.map_err(|bad| entry.bad_record(&name, bad.to_string()))?);
                Ok(())
            })?,
            _ => {}
        }
    }
    if walk {
        let options = VerifyOptions {
            sha256: false,
            records: true,
        };
        facts.check = Some(verify(source, &options, None, on_progress)?);
    }
    Ok(facts)
}
