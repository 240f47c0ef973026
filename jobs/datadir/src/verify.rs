//! Is this a whole, undamaged snapshot?
//!
//! One pass over the file answers it: the SHA-256 trailer, both meta pages, every page of the tree (number, kind,
//! place, order and range of its keys, used once), and every record decoded. The hash and the counts of
//! `etcdutl snapshot status` fall off on the way; that command itself never looks at the trailer and sees no flipped
//! bit in a value.
//!
//! Two threads: one reads and checks, the other hashes what was read (or, without the SHA-256, each checks one half).
//! Memory: 5 MiB, 50 bytes for each leaf page and about 40 for each key.

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::check::{Check, Found};
use crate::error::Damage;
use crate::freelist::Pages;
use crate::hash::read_meta_bucket;
use crate::page::Meta;
use crate::plan::Plan;
use crate::progress::{OnProgress, report};
use crate::scan::{Extent, Visitor, scan};
use crate::source::Source;
use crate::status::Status;
use crate::stream::{TRAILER_LEN, has_trailer, hex};
use crate::tree::Database;

/// What is checked. Everything, unless something is taken out.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Compare the SHA-256 with the trailer.
    pub sha256: bool,
    /// Decode every record of every bucket, and compare what it says with the key it is stored under.
    pub records: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            sha256: true,
            records: true,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Size of the file in bytes.
    pub file_size: u64,
    /// What became of the trailer.
    pub sha256: Sha256State,
    /// Page size in bytes; `None` when no meta page is valid.
    pub page_size: Option<u32>,
    /// How the pages are used; `None` when the tree could not be read.
    pub pages: Option<PageUse>,
    /// What `etcdutl snapshot status` says; `None` when pages of the tree could not be read.
    pub status: Option<Status>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many more findings there are than listed.
    pub findings_left_out: u64,
    /// What it comes to.
    pub verdict: Verdict,
}

/// What became of the SHA-256 at the end of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Sha256State {
    /// The trailer is that of the content.
    Good {
        /// It, in hex.
        sha256: String,
    },
    /// The trailer is another one: the content was changed after etcd wrote it.
    Wrong {
        /// The trailer, in hex.
        expected: String,
        /// The content's, in hex.
        found: String,
    },
    /// The file has no trailer: it is no snapshot but a copy of a database file, or it was cut.
    Missing,
    /// There is a trailer, which was not compared.
    NotChecked,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    #[serde(serialize_with = "as_text")]
    pub damage: Damage,
    /// Whether it makes the file unreliable. The exception: a database file one of whose meta pages was being
    /// written when the power went is as good as any.
    pub fatal: bool,
}

fn as_text<S: serde::Serializer>(damage: &Damage, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(damage)
}

/// How the pages of the database are used. All counts in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PageUse {
    /// All pages.
    pub total: u64,
    /// Pages of the tree, with their overflow.
    pub tree: u64,
    /// Pages nothing refers to, whose place the next transactions take; a defragmentation gives it back.
    pub free: u64,
}

/// What a verification comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// All was checked and nothing is wrong: this is what etcd sent.
    Reliable,
    /// Nothing is wrong as far as can be seen, but without a trailer a changed value cannot be seen.
    NoTrailer,
    /// Nothing is wrong as far as was looked; the options left something out.
    NotFullyChecked,
    /// Something is wrong.
    Damaged,
}

/// Takes the database's bytes as they are read, in order and without the trailer. The chunk can be kept or sent to
/// another thread; its memory is used again when nobody holds it.
pub type Tee<'t> = &'t mut dyn FnMut(u64, &Arc<Vec<u8>>) -> Result<(), Error>;

/// Verifies a snapshot, or a copy of a database file.
///
/// Damage is what the result tells about, not an error. With `tee`, the bytes are passed on as they are read: whoever
/// copies them has a verified copy when the verdict is good. (A damaged file is passed on as well.)
///
/// # Errors
/// When the disk fails, the tee does, `on_progress` stops it, or the file is beyond what this crate handles.
pub fn verify<'a>(
    source: &'a dyn Source,
    options: &'a VerifyOptions,
    tee: Option<Tee<'a>>,
    on_progress: OnProgress<'a>,
) -> Result<Verification, Error> {
    let mut found = Found::default();
    let opened = match Database::open_etcd(source) {
        Ok(db) => Some(db),
        Err(Error::Damaged { damage, .. }) => {
            found.push(damage);
            None
        }
        Err(other) => return Err(other),
    };
    let trailer = has_trailer(source.size());
    let content = source.size() - if trailer { TRAILER_LEN } else { 0 };
    let meta = opened.as_ref().map(|db| *db.meta());
    let sha256 = options.sha256 && trailer;
    // A copy of a database file may have a tail that was never used; a snapshot has none.
    let bytes = 0..meta
        .filter(|_| !trailer)
        .map_or(content, |meta| meta.database_size());
    let job = Job {
        source,
        bytes,
        sha256,
        options,
        tee,
        on_progress,
    };
    let (outcome, digest) = job.run(opened, &mut found)?;

    let sha256 = compare(source, trailer, content, digest)?;
    note_size_and_checksum(&mut found, source, meta, &sha256);
    let findings: Vec<Finding> = found
        .kept
        .into_iter()
        .map(|damage| Finding::new(damage, trailer))
        .collect();
    let (status, pages) = outcome.unzip();
    let sound = findings.iter().all(|finding| !finding.fatal) && found.left_out == 0;
    let verdict = verdict(sound && status.is_some(), &sha256, options);
    Ok(Verification {
        file_size: source.size(),
        sha256,
        page_size: meta.map(|meta| meta.page_size),
        pages,
        status,
        findings,
        findings_left_out: found.left_out,
        verdict,
    })
}

/// Notes what is wrong with the file as a whole.
fn note_size_and_checksum(
    found: &mut Found,
    source: &dyn Source,
    meta: Option<Meta>,
    sha256: &Sha256State,
) {
    let size = source.size();
    if let Sha256State::Wrong {
        expected,
        found: actual,
    } = sha256
    {
        found.push(Damage::Checksum {
            expected: expected.clone(),
            found: actual.clone(),
        });
    }
    if !has_trailer(size) {
        if !size.is_multiple_of(512) {
            found.push(Damage::OddSize { size });
        }
    } else if let Some(expected) = meta.map(|meta| meta.database_size() + TRAILER_LEN)
        && size > expected
    {
        found.push(Damage::ExtraBytes { size, expected });
    }
}

fn verdict(sound: bool, sha256: &Sha256State, options: &VerifyOptions) -> Verdict {
    match sha256 {
        _ if !sound => Verdict::Damaged,
        Sha256State::Wrong { .. } => Verdict::Damaged,
        _ if !options.records => Verdict::NotFullyChecked,
        Sha256State::NotChecked => Verdict::NotFullyChecked,
        Sha256State::Missing => Verdict::NoTrailer,
        Sha256State::Good { .. } => Verdict::Reliable,
    }
}

impl Finding {
    fn new(damage: Damage, snapshot: bool) -> Self {
        let header = crate::error::MetaDefect::Header;
        // The server writes both meta pages of a snapshot anew; a database's are written in turn, and a power cut
        // may hit one.
        let harmless =
            matches!(damage, Damage::BadMeta { defect, .. } if !snapshot && defect != header);
        Self {
            damage,
            fatal: !harmless,
        }
    }
}

fn compare(
    source: &dyn Source,
    trailer: bool,
    content: u64,
    digest: Option<String>,
) -> Result<Sha256State, Error> {
    if !trailer {
        return Ok(Sha256State::Missing);
    }
    let Some(found) = digest else {
        return Ok(Sha256State::NotChecked);
    };
    let mut expected = [0; 32];
    source.read_exact_at(&mut expected, content)?;
    let expected = hex(&expected);
    Ok(if expected == found {
        Sha256State::Good { sha256: found }
    } else {
        Sha256State::Wrong { expected, found }
    })
}

/// One verification under way.
struct Job<'j> {
    source: &'j dyn Source,
    /// What is read: the whole content.
    bytes: std::ops::Range<u64>,
    sha256: bool,
    options: &'j VerifyOptions,
    tee: Option<Tee<'j>>,
    on_progress: OnProgress<'j>,
}

type Outcome = (Status, PageUse);

impl Job<'_> {
    /// Reads everything; gives the status, if the tree could be read, and the SHA-256, if it was to be checked.
    fn run(
        self,
        db: Option<Database<'_>>,
        found: &mut Found,
    ) -> Result<(Option<Outcome>, Option<String>), Error> {
        let sha256 = self.sha256;
        std::thread::scope(|scope| {
            // Few chunks wait: the reader is at most this far ahead, and memory is bounded.
            let (chunks, hasher) = if sha256 {
                let (sender, receiver) = sync_channel::<Arc<Vec<u8>>>(4);
                (Some(sender), Some(scope.spawn(move || hash_all(&receiver))))
            } else {
                (None, None)
            };
            let outcome = self.check(db, chunks, found)?;
            let digest = hasher.map(|hasher| {
                hasher
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            Ok((outcome, digest))
        })
    }

    fn check(
        mut self,
        db: Option<Database<'_>>,
        chunks: Option<SyncSender<Arc<Vec<u8>>>>,
        found: &mut Found,
    ) -> Result<Option<Outcome>, Error> {
        let planned = match db {
            Some(mut db) => look_around(&mut db, found)?.map(|(plan, version)| (plan, version, db)),
            None => None,
        };
        let Some((plan, version, mut db)) = planned else {
            self.read_without_tree(chunks)?;
            return Ok(None);
        };
        let meta = *db.meta();
        let order = plan.file_order();
        let keys = RandomState::new();
        let check = Check::new(&plan, self.options.records, &keys);
        let pages = meta
            .freelist
            .is_some()
            .then(|| Pages::new(&plan, meta.high_water, meta.page_size));
        let every_byte = chunks.is_some() || self.tee.is_some();
        let (mut check, mut tree_pages, mut pages) = if every_byte || pages.is_some() {
            let extent = Extent {
                bytes: self.bytes.clone(),
                every_byte,
            };
            let source = self.source;
            let mut reader = Reader {
                check: Some(check),
                pages,
                chunks,
                job: &mut self,
            };
            let scanned = scan(source, &meta, &plan, &order, &extent, &mut reader)?;
            let Reader { check, pages, .. } = reader;
            (
                check.unwrap_or_else(|| Check::new(&plan, true, &keys)),
                scanned.leaf_pages,
                pages,
            )
        } else {
            let (check, pages) = self.check_halves(&plan, &meta, &order, check, &keys)?;
            (check, pages, None)
        };
        let branches = plan.branches.iter();
        tree_pages += branches.map(|(_, pages)| u64::from(*pages)).sum::<u64>();
        if let Some(pages) = &mut pages {
            pages.compare(&mut db, &mut |damage| check.damage(damage))?;
        }
        let listed = pages.map_or(0, |pages| pages.list_pages());
        let Some(status) = check.finish(&order, found) else {
            return Ok(None);
        };
        let status = Status {
            total_size: meta.database_size(),
            version,
            ..status
        };
        let pages = PageUse {
            total: meta.high_water,
            tree: tree_pages,
            free: meta.high_water.saturating_sub(2 + tree_pages + listed),
        };
        Ok(Some((status, pages)))
    }

    /// Reads all pages for the SHA-256 alone: there is no tree to follow, but what the trailer says is still worth knowing.
    fn read_without_tree(&mut self, chunks: Option<SyncSender<Arc<Vec<u8>>>>) -> Result<(), Error> {
        let (meta, plan) = (whole_pages(), Plan::default());
        let extent = Extent {
            bytes: self.bytes.clone(),
            every_byte: true,
        };
        let source = self.source;
        let mut reader = Reader {
            check: None,
            pages: None,
            chunks,
            job: self,
        };
        scan(source, &meta, &plan, &[], &extent, &mut reader).map(drop)
    }

    /// Without a SHA-256 nothing has to be read in order: each of two threads takes one half of the file.
    fn check_halves<'p>(
        &mut self,
        plan: &'p Plan,
        meta: &Meta,
        order: &[u32],
        mut first: Check<'p>,
        keys: &RandomState,
    ) -> Result<(Check<'p>, u64), Error> {
        let half = order.len() / 2;
        let leaf = order
            .get(half)
            .and_then(|index| plan.leaves.get(*index as usize));
        let middle = leaf.map_or(meta.database_size(), |leaf| {
            u64::from(leaf.page) * u64::from(meta.page_size)
        });
        let (source, end, records) = (self.source, self.bytes.end, self.options.records);
        let (front, back) = order.split_at(half);
        std::thread::scope(|scope| {
            let back = scope.spawn(move || {
                let mut second = Silent(Check::new(plan, records, keys));
                let extent = Extent {
                    bytes: middle..end,
                    every_byte: false,
                };
                scan(source, meta, plan, back, &extent, &mut second)
                    .map(|scanned| (second.0, scanned))
            });
            let mut reader = Reader {
                check: Some(first),
                pages: None,
                chunks: None,
                job: self,
            };
            let extent = Extent {
                bytes: 0..middle,
                every_byte: false,
            };
            let scanned = scan(source, meta, plan, front, &extent, &mut reader)?;
            first = reader
                .check
                .unwrap_or_else(|| Check::new(plan, records, keys));
            let (second, after) = back
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            if scanned.taken_to > middle / u64::from(meta.page_size) {
                let page = middle / u64::from(meta.page_size);
                first.damage(Damage::UsedTwice {
                    page,
                    first: page - 1,
                    second: page,
                });
            }
            first.append(second);
            Ok((first, scanned.leaf_pages + after.leaf_pages))
        })
    }
}

/// What is read before the leaves: the branch pages and the few names of the bucket `meta`.
fn look_around(db: &mut Database<'_>, found: &mut Found) -> Result<Option<(Plan, String)>, Error> {
    for (page, meta) in (0..).zip(db.metas()) {
        if let Err(defect) = *meta {
            found.push(Damage::BadMeta { page, defect });
        }
    }
    let mut damage = Vec::new();
    let planned = Plan::new(db, &mut damage).and_then(|plan| Ok((storage_version(db)?, plan)));
    damage.into_iter().for_each(|damage| found.push(damage));
    let (version, plan) = match planned {
        Ok(planned) => planned,
        Err(Error::Damaged { damage, .. }) => {
            found.push(damage);
            return Ok(None);
        }
        Err(other) => return Err(other),
    };
    for bucket in ["key", "meta"] {
        if plan
            .buckets
            .iter()
            .skip(1)
            .all(|planned| planned.bucket.name != bucket.as_bytes())
        {
            found.push(Damage::MissingBucket { bucket });
        }
    }
    Ok(found
        .kept
        .iter()
        .all(|damage| matches!(damage, Damage::BadMeta { .. }))
        .then_some((plan, version)))
}

/// The storage version recorded in the bucket `meta`.
fn storage_version(db: &mut Database<'_>) -> Result<String, Error> {
    Ok(read_meta_bucket(db)?.storage_version.unwrap_or_default())
}

/// A meta page for reading bytes without looking at pages.
fn whole_pages() -> Meta {
    Meta {
        page_size: 4096,
        flags: 0,
        root: 0,
        sequence: 0,
        freelist: None,
        high_water: 0,
        txid: 0,
    }
}

fn hash_all(chunks: &Receiver<Arc<Vec<u8>>>) -> String {
    let mut sha = Sha256::new();
    for chunk in chunks {
        sha.update(chunk.as_slice());
    }
    hex(&sha.finalize())
}

/// Passes on what is read.
struct Reader<'r, 'j, 'p> {
    check: Option<Check<'p>>,
    pages: Option<Pages>,
    chunks: Option<SyncSender<Arc<Vec<u8>>>>,
    job: &'r mut Job<'j>,
}

impl Visitor for Reader<'_, '_, '_> {
    fn leaf(&mut self, index: usize, page: u64, run: &[u8]) -> Result<(), Error> {
        if let Some(check) = &mut self.check {
            check.leaf(index, page, run);
        }
        if let Some(pages) = &mut self.pages {
            pages.mark(page, run.len());
        }
        Ok(())
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Error> {
        if let Some(check) = &mut self.check {
            check.damage(damage);
        }
        Ok(())
    }

    fn chunk(&mut self, offset: u64, bytes: &Arc<Vec<u8>>) -> Result<(), Error> {
        if let Some(chunks) = &self.chunks {
            // The other end is gone only if its thread panicked, which joining it will tell.
            let _ = chunks.send(Arc::clone(bytes));
        }
        if let Some(tee) = &mut self.job.tee {
            tee(offset, bytes)?;
        }
        report(
            &mut *self.job.on_progress,
            offset + bytes.len() as u64,
            self.job.bytes.end,
        )
    }
}

/// The other half's reader: the first one tells of progress for both.
struct Silent<'p>(Check<'p>);

impl Visitor for Silent<'_> {
    fn leaf(&mut self, index: usize, page: u64, run: &[u8]) -> Result<(), Error> {
        self.0.leaf(index, page, run);
        Ok(())
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Error> {
        self.0.damage(damage);
        Ok(())
    }

    fn chunk(&mut self, _: u64, _: &Arc<Vec<u8>>) -> Result<(), Error> {
        Ok(())
    }
}
