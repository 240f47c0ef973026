//! Which objects were changed after a revision, by number.

use std::collections::BTreeMap;
use std::hash::RandomState;

use serde::Serialize;

use crate::Error;
use crate::changes::{Change, Changes};
use crate::hash::read_meta_bucket;
use crate::identity::{Finder, Identity};
use crate::kubernetes::object_name;
use crate::latest::LatestChanges;
use crate::progress::OnProgress;
use crate::records::meta::MetaBucket;
use crate::source::Source;
use crate::tree::Database;

/// The apiserver's own note of what it had compacted: a key, and nobody's object.
const NO_OBJECT: &[u8] = b"compact_rev_key";

/// What was changed after a revision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Since {
    /// The database's last revision.
    pub revision: u64,
    /// Up to where history was compacted, or is about to be; 0: nowhere. What was deleted up to there, and what was written
    /// and deleted again, is not on record any more.
    pub compacted: u64,
    /// By resource as kubectl names it; keys outside of the prefix are under "".
    pub kinds: BTreeMap<String, Changed>,
}

/// How many keys were changed. Each counts once, by its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Changed {
    /// They are there, and were written after the revision.
    pub written: u64,
    /// They were deleted after it.
    pub deleted: u64,
}

/// Counts the keys that were changed after a revision, and finds out which cluster it is; `prefix` is the apiserver's
/// `--etcd-prefix`, usually `/registry`.
///
/// Reads all of the bucket `key` once. Memory: about 30 bytes for each key that was changed since and up to as many for free
/// places, 40 for each leaf page.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`], [`Error::Cancelled`].
pub fn since(
    source: &dyn Source,
    prefix: &str,
    after: u64,
    on_progress: OnProgress<'_>,
) -> Result<(Since, Identity), Error> {
    let mut db = Database::open_etcd(source)?;
    let meta = read_meta_bucket(&mut db)?;
    let mut tally = Tally::new(prefix, after);
    let mut finder = Finder::new(prefix);
    let mut take = |change: Change<'_>| {
        finder.take(&change);
        tally.take(&change);
    };
    Changes::new(&mut db)?.each(&db, &mut take, on_progress)?;
    Ok((tally.finish(&meta), finder.finish()))
}

/// Which commit of the database its file has now. As long as it is the same, what is read is of one moment: what was freed
/// by a commit is written over by the next one at the earliest.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`].
pub fn commit(source: &dyn Source) -> Result<u64, Error> {
    Ok(Database::open(source)?.meta().txid)
}

struct Tally<'p> {
    prefix: &'p str,
    after: u64,
    revision: u64,
    kinds: Vec<(String, Changed)>,
    numbers: BTreeMap<String, usize>,
    latest: LatestChanges<(usize, bool)>,
}

impl<'p> Tally<'p> {
    fn new(prefix: &'p str, after: u64) -> Self {
        Self {
            prefix,
            after,
            revision: 0,
            kinds: Vec::new(),
            numbers: BTreeMap::new(),
            latest: LatestChanges::new(RandomState::new()),
        }
    }

    fn take(&mut self, change: &Change<'_>) {
        let (at, key) = (change.at, change.kv.key);
        self.revision = self.revision.max(at.revision.main);
        // A key's last change is after the revision if any is, so the others need not be remembered. An empty key is what
        // a restore leaves that raised the revision.
        if at.revision.main <= self.after || key.is_empty() || key == NO_OBJECT {
            return;
        }
        let name = object_name(key, self.prefix);
        let kind = name.map_or(String::new(), |name| name.resource.into_owned());
        let (numbers, kinds) = (&mut self.numbers, &mut self.kinds);
        self.latest.change(key, at, || {
            let number = *numbers.entry(kind).or_insert_with_key(|kind| {
                kinds.push((kind.clone(), Changed::default()));
                kinds.len() - 1
            });
            (number, at.deletion)
        });
    }

    fn finish(mut self, meta: &MetaBucket) -> Since {
        for (number, deleted) in self.latest.all() {
            if let Some((_, changed)) = self.kinds.get_mut(*number) {
                match deleted {
                    true => changed.deleted += 1,
                    false => changed.written += 1,
                }
            }
        }
        let scheduled = meta.scheduled_compact_revision.unwrap_or(0);
        Since {
            revision: self.revision,
            compacted: scheduled.max(meta.finished_compact_revision.unwrap_or(0)),
            kinds: self.kinds.into_iter().collect(),
        }
    }
}
