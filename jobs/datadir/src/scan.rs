//! The leaves of a plan, read once and in the order of the file.
//!
//! One thread reads the file in chunks and looks at every leaf page as its last byte comes by; the chunks can go on to
//! others (the SHA-256, a copy) without being read again. A run of pages that crosses a chunk's end is put together in
//! a buffer of its own, of at most [`crate::tree::MAX_RUN_BYTES`].

use std::ops::Range;
use std::sync::Arc;

use crate::Error;
use crate::error::Damage;
use crate::page::{Header, Meta};
use crate::plan::Plan;
use crate::source::Source;
use crate::tree::{HeaderError, check_header};

/// Bytes read at a time. Small enough that the chunk is still in the processor's cache when it is hashed.
const CHUNK: u64 = 512 << 10;

/// How far the kernel is told to read ahead, half of it anew each time.
const AHEAD: u64 = 4 << 20;

/// What is to be done with what is read.
pub(crate) trait Visitor {
    /// A leaf page with its overflow: its number in the plan, its page, its bytes.
    fn leaf(&mut self, index: usize, page: u64, run: &[u8]) -> Result<(), Error>;

    /// Something is wrong with a page, which is not visited.
    fn damage(&mut self, damage: Damage) -> Result<(), Error>;

    /// A chunk of the file, in order and without gaps if [`Extent::every_byte`] was asked for.
    fn chunk(&mut self, offset: u64, bytes: &Arc<Vec<u8>>) -> Result<(), Error>;
}

/// Which part of the file is read.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    /// First byte and the one after the last.
    pub(crate) bytes: Range<u64>,
    /// Whether also chunks are read that have no leaf in them.
    pub(crate) every_byte: bool,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scanned {
    /// Pages the leaves fill, with their overflow.
    pub(crate) leaf_pages: u64,
    /// The page after the last one that a branch or leaf seen here fills.
    pub(crate) taken_to: u64,
}

/// Reads the part of the file, visiting the leaves whose first page lies in it. `order` is the plan's
/// [`Plan::file_order`], or a stretch of it.
pub(crate) fn scan(
    source: &dyn Source,
    meta: &Meta,
    plan: &Plan,
    order: &[u32],
    extent: &Extent,
    visitor: &mut dyn Visitor,
) -> Result<Scanned, Error> {
    let page_size = u64::from(meta.page_size);
    let pages = extent.bytes.start / page_size..extent.bytes.end.div_ceil(page_size);
    let mut branches: Vec<_> = plan
        .branches
        .iter()
        .copied()
        .filter(|(page, _)| pages.contains(&u64::from(*page)))
        .collect();
    branches.sort_unstable();
    let chunk_size = CHUNK.max(page_size);
    let mut scan = Scan {
        source,
        meta,
        plan,
        order,
        branches: &branches,
        taken_to: 0,
        taken_by: 0,
        partial: None,
        scanned: Scanned::default(),
    };
    let mut pool: Vec<Arc<Vec<u8>>> = Vec::new();
    let mut at = extent.bytes.start;
    while at < extent.bytes.end || scan.partial.is_some() {
        // A leaf that begins in this part may end behind it.
        let end = if at < extent.bytes.end {
            extent.bytes.end
        } else {
            meta.database_size()
        };
        let len = chunk_size.min(end.saturating_sub(at));
        if len == 0 {
            break;
        }
        if extent.every_byte || scan.wants(at, len) {
            let chunk = scan.read(&mut pool, at, len)?;
            scan.visit(at, &chunk, at >= extent.bytes.end, visitor)?;
            if at < extent.bytes.end {
                visitor.chunk(at, &chunk)?;
            }
            pool.push(chunk);
        }
        at += len;
    }
    scan.take_branches(u64::MAX, visitor)?;
    Ok(Scanned {
        taken_to: scan.taken_to,
        ..scan.scanned
    })
}

struct Scan<'a> {
    source: &'a dyn Source,
    meta: &'a Meta,
    plan: &'a Plan,
    /// Leaves still to come, by file order.
    order: &'a [u32],
    /// Branch runs still to come.
    branches: &'a [(u32, u32)],
    /// Pages below this number are taken, the last of them by the run that begins at `taken_by`.
    taken_to: u64,
    taken_by: u64,
    partial: Option<Partial>,
    scanned: Scanned,
}

/// A run whose beginning was read.
struct Partial {
    index: usize,
    page: u64,
    bytes: Vec<u8>,
    len: usize,
}

impl Scan<'_> {
    fn next_page(&self) -> Option<u64> {
        let index = *self.order.first()? as usize;
        self.plan.leaves.get(index).map(|leaf| u64::from(leaf.page))
    }

    /// Whether a leaf begins in these bytes or one that has begun goes on.
    fn wants(&self, at: u64, len: u64) -> bool {
        let begins = self
            .next_page()
            .map(|page| page * u64::from(self.meta.page_size));
        self.partial.is_some() || begins.is_some_and(|begins| begins < at + len)
    }

    /// Reads a chunk, into memory that nobody uses any more if there is some.
    fn read(&self, pool: &mut Vec<Arc<Vec<u8>>>, at: u64, len: u64) -> Result<Arc<Vec<u8>>, Error> {
        let free = pool
            .iter_mut()
            .position(|chunk| Arc::get_mut(chunk).is_some());
        let mut chunk = free.map(|free| pool.swap_remove(free)).unwrap_or_default();
        if let Some(bytes) = Arc::get_mut(&mut chunk) {
            bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
            self.source.read_exact_at(bytes, at)?;
        }
        // The disk is to be busy while the chunk is looked at.
        if at % AHEAD < len {
            self.source.will_need(at + len, 2 * AHEAD);
        }
        Ok(chunk)
    }

    fn visit(
        &mut self,
        at: u64,
        chunk: &[u8],
        only_partial: bool,
        visitor: &mut dyn Visitor,
    ) -> Result<(), Error> {
        if let Some(mut partial) = self.partial.take() {
            let missing = partial.len - partial.bytes.len();
            partial
                .bytes
                .extend_from_slice(&chunk[..missing.min(chunk.len())]);
            if partial.bytes.len() < partial.len {
                self.partial = Some(partial);
            } else {
                visitor.leaf(partial.index, partial.page, &partial.bytes)?;
            }
        }
        let page_size = u64::from(self.meta.page_size);
        while let Some(page) = self.next_page().filter(|_| !only_partial) {
            let Some(begin) = (page * page_size)
                .checked_sub(at)
                .and_then(|begin| usize::try_from(begin).ok())
            else {
                break;
            };
            let Some(rest) = chunk.get(begin..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let index = self.order[0] as usize;
            self.order = &self.order[1..];
            self.begin(index, page, rest, visitor)?;
        }
        Ok(())
    }

    /// Visits the leaf that begins with these bytes, or keeps them until the rest has come.
    fn begin(
        &mut self,
        index: usize,
        page: u64,
        bytes: &[u8],
        visitor: &mut dyn Visitor,
    ) -> Result<(), Error> {
        self.take_branches(page, visitor)?;
        let Some(header) = Header::parse(bytes) else {
            return visitor.damage(Damage::PageId { page, found: 0 });
        };
        let len = match check_header(page, &header, self.meta) {
            Ok(len) => len,
            Err(HeaderError::Damage(damage)) => return visitor.damage(damage),
            Err(too_long @ HeaderError::TooLong { .. }) => {
                return Err(too_long.in_file(self.source.name()));
            }
        };
        self.scanned.leaf_pages += header.run_pages();
        if !self.take(page, header.run_pages(), visitor)? {
            return Ok(());
        }
        if let Some(run) = bytes.get(..len) {
            return visitor.leaf(index, page, run);
        }
        let mut kept = Vec::with_capacity(len);
        kept.extend_from_slice(bytes);
        self.partial = Some(Partial {
            index,
            page,
            bytes: kept,
            len,
        });
        Ok(())
    }

    /// Takes the branch runs that begin at or before this page.
    fn take_branches(&mut self, page: u64, visitor: &mut dyn Visitor) -> Result<(), Error> {
        while let Some(((first, pages), rest)) = self.branches.split_first()
            && u64::from(*first) <= page
        {
            self.branches = rest;
            self.take(u64::from(*first), u64::from(*pages), visitor)?;
        }
        Ok(())
    }

    /// Takes a run of pages; false, and damage reported, when some of them are taken already.
    fn take(&mut self, page: u64, pages: u64, visitor: &mut dyn Visitor) -> Result<bool, Error> {
        let free = page >= self.taken_to;
        if !free {
            visitor.damage(Damage::UsedTwice {
                page,
                first: self.taken_by,
                second: page,
            })?;
        }
        if page + pages > self.taken_to {
            (self.taken_to, self.taken_by) = (page + pages, page);
        }
        Ok(free)
    }
}
