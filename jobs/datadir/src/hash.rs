//! The hash etcd compares between members: `HashKV`.
//!
//! It runs over the changes up to a revision, leaving out what a compaction removes whether or not it has been removed
//! yet. So members with the same history give the same hash at the same revision and the same compaction.
//! (etcd: `server/storage/mvcc/hash.go`.)

use std::collections::hash_map::RandomState;

use serde::Serialize;

use crate::Error;
use crate::changes::{Changes, each_change};
use crate::crc::Joined;
use crate::latest::LatestChanges;
use crate::progress::OnProgress;
use crate::records::meta::MetaBucket;
use crate::records::{RevisionKey, kv};
use crate::source::Source;
use crate::tree::Database;

/// What `etcdctl endpoint hashkv` and `etcdutl hashkv` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HashKv {
    /// CRC-32C over the changes.
    pub hash: u32,
    /// The revision it was taken at.
    pub revision: u64,
    /// The last compaction (etcd says -1 when there was none). Hashes are comparable only when it is the same.
    pub compact_revision: Option<u64>,
    /// The revision of the last change.
    pub current_revision: u64,
}

/// The hash at `revision`, or at the current one if that is 0.
///
/// Reads the bucket `key` twice. Memory: 24 bytes for each key and as many again for free places, 60 for each leaf page.
///
/// # Errors
/// [`Error::Refused`] for a revision that is compacted away or not yet reached; [`Error::Damaged`], [`Error::Io`].
/// The records are checked, the SHA-256 is not.
pub fn hashkv(
    source: &dyn Source,
    revision: u64,
    on_progress: OnProgress<'_>,
) -> Result<HashKv, Error> {
    hashkv_compacted(source, revision, 0, on_progress)
}

/// As [`hashkv`], as if the database had been compacted as far as `compacted`: what another member says that was compacted
/// further since. What a compaction removes is left out of the hash whether or not it is there.
///
/// # Errors
/// As [`hashkv`]; [`Error::Refused`] also when the revision is compacted away by that. A database that is compacted further
/// itself counts as it is, which the result tells.
pub fn hashkv_compacted(
    source: &dyn Source,
    revision: u64,
    compacted: u64,
    on_progress: OnProgress<'_>,
) -> Result<HashKv, Error> {
    let mut db = Database::open_etcd(source)?;
    let compact_revision = compact_revision(&mut db)?.max(Some(compacted).filter(|at| *at > 0));
    let compacted = compact_revision.unwrap_or(0);
    let changes = Changes::new(&mut db)?;
    let current = current_revision(&mut db)?.max(compacted).max(1);
    let wanted = if revision == 0 { current } else { revision };
    if wanted > current || wanted < compacted {
        let what = format!(
            "revision {wanted} is not between {compacted}, the last compaction, and {current}"
        );
        return Err(Error::Refused {
            file: source.name().to_owned(),
            what,
        });
    }

    let mut latest = LatestChanges::new(RandomState::new());
    let take = &mut |change: crate::changes::Change<'_>| {
        if change.at.revision.main <= wanted {
            latest.change(change.kv.key, change.at, || ());
        }
    };
    changes.leaves(&db, &mut |_, leaf, _| each_change(leaf, take), on_progress)?;
    let keeps_any = latest.live().next().is_some();
    let counts = |at: RevisionKey, value: &[u8]| {
        let main = at.revision.main;
        if main > wanted || (main == compacted && at.deletion) {
            return false;
        }
        if main > compacted || !keeps_any {
            return true;
        }
        let key = kv::KeyValue::decode(value)
            .map(|kv| kv.key)
            .unwrap_or_default();
        !at.deletion && latest.is_latest(key, at)
    };

    Ok(HashKv {
        hash: hash_of(&changes, &db, counts, on_progress)?,
        revision: wanted,
        compact_revision,
        current_revision: current,
    })
}

/// The hash over the changes that count: each leaf's sum by itself, as leaves come in any order.
fn hash_of(
    changes: &Changes,
    db: &Database<'_>,
    counts: impl Fn(RevisionKey, &[u8]) -> bool,
    on_progress: OnProgress<'_>,
) -> Result<u32, Error> {
    let mut sums = vec![(0, 0); changes.plan.leaves.len().max(1)];
    let sum = &mut |index: usize, leaf: &crate::page::Leaf<'_>, _: &[u8]| {
        let (mut crc, mut len) = (0, 0);
        for element in leaf.elements() {
            let element = element?;
            let Some(at) = RevisionKey::parse(element.key) else {
                continue;
            };
            if counts(at, element.value) {
                crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, element.key), element.value);
                len += (element.key.len() + element.value.len()) as u64;
            }
        }
        if let Some(slot) = sums.get_mut(index) {
            *slot = (crc, len);
        }
        Ok(())
    };
    changes.leaves(db, sum, on_progress)?;
    let mut hash = Joined::new();
    hash.append(b"key");
    sums.iter()
        .for_each(|(crc, len)| hash.append_sum(*crc, *len));
    Ok(hash.value())
}

/// The last compaction asked for. A server that starts finishes one that was interrupted, and one that runs counts it
/// from the moment it is asked for.
fn compact_revision(db: &mut Database<'_>) -> Result<Option<u64>, Error> {
    let meta = read_meta_bucket(db)?;
    Ok(meta
        .finished_compact_revision
        .max(meta.scheduled_compact_revision))
}

fn current_revision(db: &mut Database<'_>) -> Result<u64, Error> {
    let Some(bucket) = db.bucket("key")? else {
        return Ok(0);
    };
    let last = db.last_key(&bucket)?;
    Ok(last
        .as_deref()
        .and_then(RevisionKey::parse)
        .map_or(0, |at| at.revision.main))
}

/// What the bucket `meta` tells.
///
/// # Errors
/// [`Error::Damaged`] for a value without the form its name asks for, [`Error::Io`].
pub(crate) fn read_meta_bucket(db: &mut Database<'_>) -> Result<MetaBucket, Error> {
    let mut meta = MetaBucket::default();
    if let Some(bucket) = db.bucket("meta")? {
        db.walk(&bucket, &mut |entry| {
            let taken = meta.take(entry.element.key, entry.element.value);
            taken.map_err(|bad| entry.bad_record("meta", bad.to_string()))
        })?;
    }
    Ok(meta)
}
