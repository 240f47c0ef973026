//! Usage of a snapshot that is read as it comes and stored nowhere.
//!
//! A snapshot has the pages in the order of the file, used ones and free ones alike; free pages still hold what they
//! held when they were used. Which pages belong to the tree is known only when all branch pages have been seen. So of
//! every page that looks like one of the tree a short note is kept (the children of a branch; key number, revision and
//! size of each change in a leaf), and at the end the tree is followed through the notes.

use super::tally::{Names, Tally};
use super::{Sizes, Usage, UsageOptions};
use crate::Error;
use crate::bitmap::Bitmap;
use crate::changes::each_change;
use crate::error::Damage;
use crate::latest::Latest;
use crate::page::{BRANCH, Branch, BucketHeader, Header, LEAF, Leaf, LeafElement, Meta};
use crate::stream::{Received, SnapshotChecker};
use crate::tree::{MAX_DEPTH, MAX_RUN_BYTES, check_header};

/// Measures a snapshot while it is received, and checks its SHA-256.
///
/// Memory: for each key its own length and about 100 bytes; 24 bytes for each change and 40 for each page of the tree,
/// those that became free included; and the longest run of pages (a few MiB; at most 64).
pub struct UsageStream {
    name: String,
    checker: SnapshotChecker,
    /// Bytes not yet done with, beginning with page `next`.
    window: Vec<u8>,
    next: u64,
    meta: Option<Meta>,
    notes: Notes,
}

#[derive(Default)]
struct Notes {
    names: Names,
    changes: Vec<Noted>,
    leaves: Vec<LeafNote>,
    branches: Vec<BranchNote>,
    /// Leaves of a root bucket: page, and the buckets named there.
    roots: Vec<(u64, Vec<BucketNote>)>,
    /// Pages of the list of free pages, if the file has one.
    list_pages: u64,
}

/// A change in a leaf.
#[derive(Clone, Copy)]
struct Noted {
    latest: Latest,
    number: u32,
    size: u32,
}

/// A leaf, and where its changes are; none for the small buckets' leaves.
struct LeafNote {
    page: u32,
    pages: u32,
    changes: std::ops::Range<usize>,
}

/// A bucket in the root bucket.
struct BucketNote {
    is_key: bool,
    /// 0 for an inline bucket.
    root: u64,
    /// The changes of the bucket `key` if it is inline.
    changes: std::ops::Range<usize>,
}

struct BranchNote {
    page: u32,
    pages: u32,
    children: Vec<u32>,
}

impl UsageStream {
    /// Before the first byte; `name` is what messages call the snapshot.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let checker = SnapshotChecker::new(name.clone());
        Self {
            name,
            checker,
            window: Vec::new(),
            next: 0,
            meta: None,
            notes: Notes::default(),
        }
    }

    /// Takes the bytes that come next.
    ///
    /// # Errors
    /// [`Error::Damaged`] when they are not the beginning of a snapshot.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.checker.push(bytes)?;
        self.window.extend_from_slice(bytes);
        if self.meta.is_none() {
            self.meta = Meta::parse(&self.window).ok();
        }
        let Some(meta) = self.meta else { return Ok(()) };
        let page_size = meta.page_size as usize;
        let mut at = 0;
        while self.next < meta.high_water && self.window.len() - at >= page_size {
            if meta.freelist == Some(self.next) {
                let pages =
                    Header::parse(&self.window[at..]).map_or(0, |header| header.run_pages());
                self.notes.list_pages = pages;
            }
            match look(&self.window[at..], self.next, &meta) {
                Seen::Wait => break,
                Seen::Nothing => {}
                Seen::Run(header, run) => self.notes.take(self.next, &header, run),
            }
            self.next += 1;
            at += page_size;
        }
        self.window.drain(..at);
        Ok(())
    }

    /// How many bytes have come.
    pub fn size(&self) -> u64 {
        self.checker.size()
    }

    /// Bytes there will be in all; known as soon as the first 80 have come.
    pub fn expected_size(&self) -> Option<u64> {
        self.checker.expected_size()
    }

    /// The end of the snapshot has come.
    ///
    /// # Errors
    /// [`Error::Damaged`] when bytes are missing or changed, or the tree cannot be followed.
    pub fn finish(self, options: &UsageOptions) -> Result<(Usage, Received), Error> {
        let received = self.checker.finish()?;
        let Some(meta) = self.meta else {
            return Err(Error::damaged(&self.name, Damage::NoMeta));
        };
        let usage = self
            .notes
            .finish(&meta, options)
            .map_err(|damage| Error::damaged(&self.name, damage))?;
        Ok((usage, received))
    }
}

enum Seen<'w> {
    /// The page's overflow has not come yet.
    Wait,
    /// No page of the tree, or the inside of one.
    Nothing,
    Run(Header, &'w [u8]),
}

fn look<'w>(window: &'w [u8], page: u64, meta: &Meta) -> Seen<'w> {
    // Whether it is a page of the tree is not known; what cannot be one is passed over, and missed at the end if it was.
    let Some(header) = Header::parse(window) else {
        return Seen::Nothing;
    };
    match check_header(page, &header, meta) {
        Ok(len) if len as u64 <= MAX_RUN_BYTES => window
            .get(..len)
            .map_or(Seen::Wait, |run| Seen::Run(header, run)),
        _ => Seen::Nothing,
    }
}

impl Notes {
    fn take(&mut self, page: u64, header: &Header, run: &[u8]) {
        let (Ok(number), Ok(pages)) = (u32::try_from(page), u32::try_from(header.run_pages()))
        else {
            return;
        };
        if header.flags == BRANCH {
            let Ok(branch) = Branch::parse(page, run) else {
                return;
            };
            let children = branch
                .elements()
                .map(|element| u32::try_from(element.ok()?.child).ok());
            if let Some(children) = children.collect() {
                self.branches.push(BranchNote {
                    page: number,
                    pages,
                    children,
                });
            }
        } else if header.flags == LEAF
            && let Ok(leaf) = Leaf::parse(page, run)
        {
            self.take_leaf(number, pages, &leaf);
        }
    }

    fn take_leaf(&mut self, page: u32, pages: u32, leaf: &Leaf<'_>) {
        let first = leaf.element(0).ok();
        if first.is_some_and(|element| element.is_bucket) {
            let buckets = leaf
                .elements()
                .map(|element| self.take_bucket(u64::from(page), &element.ok()?));
            if let Some(buckets) = buckets.collect() {
                self.roots.push((u64::from(page), buckets));
            }
        }
        let is_key =
            first.is_some_and(|element| crate::records::RevisionKey::parse(element.key).is_some());
        if let Some(changes) = if is_key {
            self.take_changes(leaf)
        } else {
            Some(0..0)
        } {
            self.leaves.push(LeafNote {
                page,
                pages,
                changes,
            });
        }
    }

    fn take_bucket(&mut self, page: u64, element: &LeafElement<'_>) -> Option<BucketNote> {
        let (header, inline) = BucketHeader::parse(element.value)?;
        let is_key = element.key == b"key";
        let changes = if is_key && header.root == 0 {
            self.take_changes(&Leaf::parse(page, inline).ok()?)?
        } else {
            0..0
        };
        Some(BucketNote {
            is_key,
            root: header.root,
            changes,
        })
    }

    /// Notes the changes in a leaf, if all of them are such.
    fn take_changes(&mut self, leaf: &Leaf<'_>) -> Option<std::ops::Range<usize>> {
        let start = self.changes.len();
        let noted = each_change(leaf, &mut |change| {
            let number = self.names.number(change.kv.key);
            let size = u32::try_from(change.size).unwrap_or(u32::MAX);
            self.changes.push(Noted {
                latest: Latest::new(change.at),
                number,
                size,
            });
        });
        if noted.is_err() {
            self.changes.truncate(start);
            return None;
        }
        Some(start..self.changes.len())
    }

    /// Follows the tree from the meta page's root.
    fn finish(mut self, meta: &Meta, options: &UsageOptions) -> Result<Usage, Damage> {
        let mut tally = Tally::with_names(std::mem::take(&mut self.names));
        let mut seen = Bitmap::new(meta.high_water);
        // Two meta pages.
        let (mut used, mut buckets) = (2 + self.list_pages, Vec::new());
        self.follow(meta.root, 0, &mut seen, &mut |leaf, pages| {
            used += pages;
            if let Some(leaf) = leaf {
                let page = u64::from(leaf.page);
                buckets.extend(
                    self.roots
                        .iter()
                        .filter(|(root, _)| *root == page)
                        .flat_map(|(_, named)| named),
                );
            }
        })?;
        let mut key_pages = 0;
        let mut count = |changes: &std::ops::Range<usize>| {
            for noted in self.changes.get(changes.clone()).unwrap_or_default() {
                tally.count(noted.number, noted.latest, u64::from(noted.size));
            }
        };
        for bucket in buckets {
            if bucket.root == 0 {
                count(&bucket.changes);
                continue;
            }
            self.follow(bucket.root, 0, &mut seen, &mut |leaf, pages| {
                used += pages;
                if bucket.is_key {
                    key_pages += pages;
                    leaf.into_iter().for_each(|leaf| count(&leaf.changes));
                }
            })?;
        }
        let page_size = u64::from(meta.page_size);
        let sizes = Sizes {
            database_bytes: meta.database_size(),
            free_bytes: meta.high_water.saturating_sub(used) * page_size,
            key_bytes: key_pages * page_size,
        };
        Ok(tally.finish(options, &sizes))
    }

    /// Visits all pages below one: leaves with their note, branches without.
    fn follow(
        &self,
        page: u64,
        depth: usize,
        seen: &mut Bitmap,
        visit: &mut dyn FnMut(Option<&LeafNote>, u64),
    ) -> Result<(), Damage> {
        if depth >= MAX_DEPTH {
            return Err(Damage::TooDeep {
                page,
                limit: MAX_DEPTH,
            });
        }
        if !seen.insert(page) {
            return Err(Damage::UsedTwice {
                page,
                first: page,
                second: page,
            });
        }
        let leaf = self
            .leaves
            .binary_search_by_key(&page, |leaf| u64::from(leaf.page));
        if let Some(leaf) = leaf.ok().and_then(|at| self.leaves.get(at)) {
            visit(Some(leaf), u64::from(leaf.pages));
            return Ok(());
        }
        let branch = self
            .branches
            .binary_search_by_key(&page, |branch| u64::from(branch.page));
        let Some(branch) = branch.ok().and_then(|at| self.branches.get(at)) else {
            return Err(Damage::Unreadable { page });
        };
        visit(None, u64::from(branch.pages));
        for child in &branch.children {
            self.follow(u64::from(*child), depth + 1, seen, visit)?;
        }
        Ok(())
    }
}
