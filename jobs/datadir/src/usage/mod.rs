//! What fills a database: by resource, by namespace, by object; live against history.
//!
//! [`usage`] reads a file. [`UsageStream`] reads a snapshot as it comes and stores it nowhere.
//!
//! Sizes are those of the records: element, key and value as they lie in their pages, without the pages' unused ends.

mod stream;
mod tally;

use serde::Serialize;

pub use stream::UsageStream;

use crate::Error;
use crate::changes::Changes;
use crate::progress::OnProgress;
use crate::source::Source;
use crate::tree::Database;
use tally::Tally;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct UsageOptions {
    /// The apiserver's `--etcd-prefix`.
    pub prefix: String,
    /// How many objects each list of the largest ones has.
    pub top: usize,
}

impl Default for UsageOptions {
    fn default() -> Self {
        Self {
            prefix: "/registry".to_owned(),
            top: 10,
        }
    }
}

/// What fills a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Size of the database in bytes.
    pub database_bytes: u64,
    /// Bytes in pages nothing refers to: what a defragmentation gives back.
    pub free_bytes: u64,
    /// Bytes in pages of the bucket `key`, their unused ends included.
    pub key_bytes: u64,
    /// Everything in the bucket `key`.
    pub all: Amounts,
    /// By resource as kubectl names it, most bytes first; keys outside of the prefix are under "".
    pub resources: Vec<Group>,
    /// By namespace, most bytes first; what is in none is under "".
    pub namespaces: Vec<Group>,
    /// The objects that take most, live and history together.
    pub largest: Vec<Object>,
    /// The objects with most history, in bytes.
    pub most_history: Vec<Object>,
    /// The objects with most revisions.
    pub most_revisions: Vec<Object>,
}

/// How much there is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amounts {
    /// Keys that are not deleted.
    pub keys: u64,
    /// Keys that are deleted and still have history.
    pub deleted_keys: u64,
    /// Changes, deletions included.
    pub revisions: u64,
    /// Bytes of the changes that make up what a client finds now.
    pub live_bytes: u64,
    /// Bytes of the changes that were overtaken, and of deletions: what a compaction removes.
    pub history_bytes: u64,
}

impl Amounts {
    /// Live and history together.
    pub fn bytes(&self) -> u64 {
        self.live_bytes + self.history_bytes
    }

    fn add(&mut self, other: &Self) {
        self.keys += other.keys;
        self.deleted_keys += other.deleted_keys;
        self.revisions += other.revisions;
        self.live_bytes += other.live_bytes;
        self.history_bytes += other.history_bytes;
    }
}

/// A resource or a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub amounts: Amounts,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Object {
    /// The key, made printable.
    pub key: String,
    /// What it takes.
    pub amounts: Amounts,
}

/// Tells what fills a database or snapshot file.
///
/// Reads the bucket `key` once. Memory: 4 MiB, 40 bytes for each leaf page; for each key its own length and about
/// 100 bytes.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`], [`Error::Cancelled`].
pub fn usage(
    source: &dyn Source,
    options: &UsageOptions,
    on_progress: OnProgress<'_>,
) -> Result<Usage, Error> {
    let mut db = Database::open_etcd(source)?;
    let meta = *db.meta();
    let page_size = u64::from(meta.page_size);
    let mut tally = Tally::default();
    let changes = Changes::new(&mut db)?;
    let scanned = changes.each(&db, &mut |change| tally.change(&change), on_progress)?;
    let branches: u64 = changes
        .plan
        .branches
        .iter()
        .map(|(_, pages)| u64::from(*pages))
        .sum();
    let key_pages = scanned.leaf_pages + branches;
    let other_pages = pages_of_other_buckets(&mut db)?;
    // Two meta pages.
    let used = 2 + key_pages + other_pages;
    let free_bytes = meta.high_water.saturating_sub(used) * page_size;
    Ok(tally.finish(
        options,
        &Sizes {
            database_bytes: meta.database_size(),
            free_bytes,
            key_bytes: key_pages * page_size,
        },
    ))
}

/// What a tally of records cannot know.
struct Sizes {
    database_bytes: u64,
    free_bytes: u64,
    key_bytes: u64,
}

/// Pages of the root bucket, the small buckets and the list of free pages.
fn pages_of_other_buckets(db: &mut Database<'_>) -> Result<u64, Error> {
    let mut pages = 0;
    let root = db.root_bucket();
    let buckets = db
        .buckets()?
        .into_iter()
        .filter(|bucket| bucket.name != b"key")
        .chain([root]);
    for bucket in buckets.filter(|bucket| !bucket.is_inline()) {
        db.walk_runs(&bucket, &mut |header| pages += header.run_pages())?;
    }
    if let Some(list) = db.meta().freelist {
        pages += db.read_any_run(list, 0, &mut Vec::new())?.run_pages();
    }
    Ok(pages)
}
