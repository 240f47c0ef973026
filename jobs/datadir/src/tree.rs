//! One open database: its buckets and what is in them, in key order.
//!
//! This is the way to look at a few things (the members, the last key, the root page). [`crate::verify`] and
//! [`crate::usage`] read the pages in the order of the file instead, which a cold disk likes better.
//!
//! etcd uses one level of buckets: the root bucket holds nothing but buckets, and these hold nothing but records.

use std::fmt;

use crate::Error;
use crate::error::{Damage, MetaDefect};
use crate::page::{BRANCH, Branch, BucketHeader, Header, LEAF, Leaf, LeafElement, Meta};
use crate::source::{ChunkCache, Source};

/// Deepest tree that is followed. Branch pages have at least two children, so 2^32 pages make 32 levels at most.
pub(crate) const MAX_DEPTH: usize = 32;

/// Longest run of pages that is read, in bytes: what one page with its overflow may take of memory.
///
/// etcd refuses requests of more than 1.5 MiB unless told otherwise (`--max-request-bytes`), and bbolt puts no more
/// than a few large values into one page.
pub(crate) const MAX_RUN_BYTES: u64 = 64 << 20;

/// A database opened for reading.
pub struct Database<'s> {
    cache: ChunkCache<'s>,
    meta: Meta,
    metas: [Result<Meta, MetaDefect>; 2],
}

/// A bucket: a name and a tree of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: Vec<u8>,
    /// Its header; `root` is 0 for an inline bucket.
    pub header: BucketHeader,
    /// The page of an inline bucket; empty for one with pages of its own.
    pub inline: Vec<u8>,
    /// The page of the root bucket its element is in.
    pub page: u64,
}

impl Bucket {
    /// The name for messages.
    pub fn printable_name(&self) -> String {
        self.name.escape_ascii().to_string()
    }

    /// Whether its only page is in its element of the root bucket.
    pub(crate) fn is_inline(&self) -> bool {
        self.header.root == 0
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("name", &self.printable_name())
            .field("root", &self.header.root)
            .finish()
    }
}

impl<'s> Database<'s> {
    /// Finds the meta pages as bbolt does and checks that the file has all pages they speak of.
    ///
    /// A file may be longer: the database file of a member grows in steps, and a snapshot has 32 bytes of SHA-256 at
    /// its end.
    ///
    /// # Errors
    /// [`Error::Damaged`] when there is no valid meta page or the file is cut short.
    pub fn open(source: &'s dyn Source) -> Result<Self, Error> {
        let mut cache = ChunkCache::small(source);
        let damaged = |damage| Error::damaged(source.name(), damage);
        let (meta, metas) = find_metas(&mut cache)?.map_err(damaged)?;
        meta.check_bounds().map_err(damaged)?;
        let expected = meta.database_size();
        if source.size() < expected {
            return Err(damaged(Damage::Truncated {
                size: source.size(),
                expected,
            }));
        }
        Ok(Self { cache, meta, metas })
    }

    /// Opens a database of etcd: as [`Database::open`], and that of another program is an error. One whose buckets cannot
    /// be told is opened: whoever reads them finds out why.
    ///
    /// # Errors
    /// As [`Database::open`]; [`Damage::NotEtcd`].
    pub(crate) fn open_etcd(source: &'s dyn Source) -> Result<Self, Error> {
        let mut db = Self::open(source)?;
        match db.foreign_buckets() {
            Ok(Some(buckets)) => Err(db.damaged(Damage::not_etcd(&buckets))),
            Ok(None) | Err(_) => Ok(db),
        }
    }

    /// The names of the buckets, made printable, when the two that every etcd makes at its first start are not among them.
    ///
    /// # Errors
    /// When the root bucket cannot be read.
    pub(crate) fn foreign_buckets(&mut self) -> Result<Option<Vec<String>>, Error> {
        let buckets = self.buckets()?;
        let is_etcds = |bucket: &Bucket| matches!(bucket.name.as_slice(), b"key" | b"meta");
        let foreign = !buckets.iter().any(is_etcds);
        Ok(foreign.then(|| buckets.iter().map(Bucket::printable_name).collect()))
    }

    /// The meta page in force.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Both meta pages, valid or not.
    pub fn metas(&self) -> &[Result<Meta, MetaDefect>; 2] {
        &self.metas
    }

    /// What the database is read from.
    pub fn source(&self) -> &'s dyn Source {
        self.cache.source()
    }

    /// An error of this file.
    pub fn damaged(&self, damage: Damage) -> Error {
        Error::damaged(self.source().name(), damage)
    }

    /// Reads a branch or leaf page with its overflow into `run`; `from` is the page that refers to it, for messages.
    ///
    /// # Errors
    /// When the number is out of range, the page bears another number, its overflow leaves the database, or the run
    /// is longer than [`MAX_RUN_BYTES`].
    pub fn read_run(&mut self, page: u64, from: u64, run: &mut Vec<u8>) -> Result<Header, Error> {
        let header = self.read_any_run(page, from, run)?;
        check_kind(page, &header).map_err(|damage| self.damaged(damage))?;
        Ok(header)
    }

    /// As [`Database::read_run`], for pages of any kind.
    pub(crate) fn read_any_run(
        &mut self,
        page: u64,
        from: u64,
        run: &mut Vec<u8>,
    ) -> Result<Header, Error> {
        let high_water = self.meta.high_water;
        if !(2..high_water).contains(&page) {
            return Err(self.damaged(Damage::PageOutOfRange {
                page,
                from,
                high_water,
            }));
        }
        let page_size = u64::from(self.meta.page_size);
        run.resize(self.meta.page_size as usize, 0);
        self.cache.read_exact_at(run, page * page_size)?;
        let header =
            Header::parse(run).ok_or_else(|| self.damaged(Damage::PageId { page, found: 0 }))?;
        let bytes =
            check_run(page, &header, &self.meta).map_err(|e| e.in_file(self.source().name()))?;
        if header.overflow > 0 {
            let first = run.len();
            run.resize(bytes, 0);
            self.cache
                .read_exact_at(&mut run[first..], (page + 1) * page_size)?;
        }
        Ok(header)
    }

    /// The bucket without a name that holds the others.
    pub(crate) fn root_bucket(&self) -> Bucket {
        let header = BucketHeader {
            root: self.meta.root,
            sequence: self.meta.sequence,
        };
        Bucket {
            name: Vec::new(),
            header,
            inline: Vec::new(),
            page: 0,
        }
    }

    /// The buckets, in the order of their names.
    ///
    /// # Errors
    /// When the root bucket's tree is damaged or holds anything but buckets.
    pub fn buckets(&mut self) -> Result<Vec<Bucket>, Error> {
        let root = BucketHeader {
            root: self.meta.root,
            sequence: self.meta.sequence,
        };
        let root = Bucket {
            name: Vec::new(),
            header: root,
            inline: Vec::new(),
            page: 0,
        };
        let mut found = Vec::new();
        self.walk(&root, &mut |entry| {
            found.push(parse_bucket(&entry)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// The bucket of this name.
    ///
    /// # Errors
    /// As [`Database::buckets`].
    pub fn bucket(&mut self, name: &str) -> Result<Option<Bucket>, Error> {
        Ok(self
            .buckets()?
            .into_iter()
            .find(|bucket| bucket.name == name.as_bytes()))
    }

    /// Visits every element of a bucket in key order.
    ///
    /// Keys out of order and pages that bear the wrong number end it; so do cycles, by the depth they reach or by the
    /// number of pages there can be. Memory: one page run, and the numbers of the children on each level.
    ///
    /// # Errors
    /// [`Error::Damaged`], and whatever `visit` returns.
    pub fn walk(&mut self, bucket: &Bucket, visit: Visit<'_>) -> Result<(), Error> {
        let mut walk = Walk {
            last_key: None,
            pages_left: self.meta.high_water,
            run: Vec::new(),
        };
        if bucket.is_inline() {
            let leaf =
                Leaf::parse(bucket.page, &bucket.inline).map_err(|damage| self.damaged(damage))?;
            return self.visit_leaf(&leaf, &mut walk, visit);
        }
        self.walk_page(bucket.header.root, bucket.page, 0, &mut walk, visit)
    }

    fn walk_page(
        &mut self,
        page: u64,
        from: u64,
        depth: usize,
        walk: &mut Walk,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        // One run for all levels: a hostile file would have one of 64 MiB on each.
        let mut run = std::mem::take(&mut walk.run);
        let header = self.read_next(page, from, depth, &mut walk.pages_left, &mut run)?;
        let children = if header.flags == LEAF {
            let leaf = Leaf::parse(page, &run).map_err(|damage| self.damaged(damage))?;
            self.visit_leaf(&leaf, walk, visit)?;
            Vec::new()
        } else {
            children(page, &run).map_err(|damage| self.damaged(damage))?
        };
        walk.run = run;
        for child in children {
            self.walk_page(child, page, depth + 1, walk, visit)?;
        }
        Ok(())
    }

    /// Reads a run on the way down, and counts its pages: a sound tree has none of them twice.
    fn read_next(
        &mut self,
        page: u64,
        from: u64,
        depth: usize,
        pages_left: &mut u64,
        run: &mut Vec<u8>,
    ) -> Result<Header, Error> {
        let too_deep = Damage::TooDeep {
            page,
            limit: MAX_DEPTH,
        };
        if depth >= MAX_DEPTH || *pages_left == 0 {
            return Err(self.damaged(too_deep));
        }
        let header = self.read_run(page, from, run)?;
        match pages_left.checked_sub(header.run_pages()) {
            Some(left) => *pages_left = left,
            None => return Err(self.damaged(too_deep)),
        }
        Ok(header)
    }

    fn visit_leaf(&self, leaf: &Leaf<'_>, walk: &mut Walk, visit: Visit<'_>) -> Result<(), Error> {
        for (index, element) in (0..).zip(leaf.elements()) {
            let element = element.map_err(|damage| self.damaged(damage))?;
            if walk
                .last_key
                .as_deref()
                .is_some_and(|last| last >= element.key)
            {
                return Err(self.damaged(Damage::KeyOrder {
                    page: leaf.page(),
                    index,
                }));
            }
            let last = walk.last_key.get_or_insert_default();
            last.clear();
            last.extend_from_slice(element.key);
            let file = self.source().name();
            visit(Entry {
                file,
                page: leaf.page(),
                index,
                element,
            })?;
        }
        Ok(())
    }

    /// Visits the header of every page of a bucket that is not inline.
    pub(crate) fn walk_runs(
        &mut self,
        bucket: &Bucket,
        visit: &mut dyn FnMut(&Header),
    ) -> Result<(), Error> {
        let (mut pages, mut run) = (vec![(bucket.header.root, bucket.page, 0)], Vec::new());
        let mut left = self.meta.high_water;
        while let Some((page, from, depth)) = pages.pop() {
            let header = self.read_next(page, from, depth, &mut left, &mut run)?;
            visit(&header);
            if header.flags == BRANCH {
                let children = children(page, &run).map_err(|damage| self.damaged(damage))?;
                pages.extend(children.into_iter().map(|child| (child, page, depth + 1)));
            }
        }
        Ok(())
    }

    /// The greatest key of a bucket, found by going down its right edge; `None` when it is empty.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn last_key(&mut self, bucket: &Bucket) -> Result<Option<Vec<u8>>, Error> {
        let last_of = |leaf: &Leaf<'_>| match leaf.len() {
            0 => Ok(None),
            n => leaf
                .element(n - 1)
                .map(|element| Some(element.key.to_vec())),
        };
        if bucket.is_inline() {
            let last = Leaf::parse(bucket.page, &bucket.inline).and_then(|leaf| last_of(&leaf));
            return last.map_err(|damage| self.damaged(damage));
        }
        let (mut page, mut from, mut run) = (bucket.header.root, bucket.page, Vec::new());
        for _ in 0..MAX_DEPTH {
            if self.read_run(page, from, &mut run)?.flags != BRANCH {
                let last = Leaf::parse(page, &run).and_then(|leaf| last_of(&leaf));
                return last.map_err(|damage| self.damaged(damage));
            }
            let child =
                Branch::parse(page, &run).and_then(|branch| branch.element(branch.len() - 1));
            (page, from) = (child.map_err(|damage| self.damaged(damage))?.child, page);
        }
        Err(self.damaged(Damage::TooDeep {
            page,
            limit: MAX_DEPTH,
        }))
    }
}

/// What [`Database::walk`] calls for each element.
pub type Visit<'v> = &'v mut dyn FnMut(Entry<'_>) -> Result<(), Error>;

/// An element with the place it was found in.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The file, for messages.
    pub file: &'a str,
    /// The leaf page.
    pub page: u64,
    /// Which element of it, from 0.
    pub index: u32,
    /// The element.
    pub element: LeafElement<'a>,
}

impl Entry<'_> {
    /// Says that this record cannot be what its bucket holds.
    pub(crate) fn bad_record(&self, bucket: &str, what: impl Into<String>) -> Error {
        let (page, index) = (self.page, self.index);
        Error::damaged(
            self.file,
            Damage::Record {
                page,
                index,
                bucket: bucket.to_owned(),
                what: what.into(),
            },
        )
    }
}

struct Walk {
    last_key: Option<Vec<u8>>,
    pages_left: u64,
    run: Vec<u8>,
}

/// The numbers of a branch page's children.
fn children(page: u64, run: &[u8]) -> Result<Vec<u64>, Damage> {
    let branch = Branch::parse(page, run)?;
    branch
        .elements()
        .map(|element| element.map(|element| element.child))
        .collect()
}

fn parse_bucket(entry: &Entry<'_>) -> Result<Bucket, Error> {
    let LeafElement {
        key,
        value,
        is_bucket,
    } = entry.element;
    let name = || key.escape_ascii().to_string();
    let bad = |what| {
        let (page, index) = (entry.page, entry.index);
        Error::damaged(
            entry.file,
            Damage::Bucket {
                page,
                index,
                bucket: name(),
                what,
            },
        )
    };
    if !is_bucket {
        return Err(bad("a record where etcd has nothing but buckets"));
    }
    let (header, inline) =
        BucketHeader::parse(value).ok_or_else(|| bad("its header is cut short"))?;
    let inline = if header.root == 0 {
        inline.to_vec()
    } else {
        Vec::new()
    };
    Ok(Bucket {
        name: key.to_vec(),
        header,
        inline,
        page: entry.page,
    })
}

/// Why a page's header cannot be followed.
pub(crate) enum HeaderError {
    Damage(Damage),
    TooLong { page: u64, bytes: u64 },
}

impl HeaderError {
    pub(crate) fn in_file(self, file: &str) -> Error {
        match self {
            Self::Damage(damage) => Error::damaged(file, damage),
            Self::TooLong { page, bytes } => Error::Unsupported {
                file: file.to_owned(),
                what: format!(
                    "page {page} with its overflow has {bytes} bytes; at most {MAX_RUN_BYTES} are handled"
                ),
            },
        }
    }
}

/// Checks the header of a branch or leaf page found at `page`; gives the bytes of its run.
pub(crate) fn check_header(page: u64, header: &Header, meta: &Meta) -> Result<usize, HeaderError> {
    let bytes = check_run(page, header, meta)?;
    check_kind(page, header).map_err(HeaderError::Damage)?;
    Ok(bytes)
}

fn check_kind(page: u64, header: &Header) -> Result<(), Damage> {
    if header.flags != BRANCH && header.flags != LEAF {
        let (found, expected) = (header.flags, "0x0001 or 0x0002, a page of the tree");
        return Err(Damage::PageKind {
            page,
            found,
            expected,
        });
    }
    Ok(())
}

fn check_run(page: u64, header: &Header, meta: &Meta) -> Result<usize, HeaderError> {
    if header.id != page {
        return Err(HeaderError::Damage(Damage::PageId {
            page,
            found: header.id,
        }));
    }
    if header.run_pages() > meta.high_water.saturating_sub(page) {
        let (overflow, high_water) = (header.overflow, meta.high_water);
        return Err(HeaderError::Damage(Damage::Overflow {
            page,
            overflow,
            high_water,
        }));
    }
    let bytes = header.run_pages().saturating_mul(u64::from(meta.page_size));
    match usize::try_from(bytes) {
        Ok(fits) if bytes <= MAX_RUN_BYTES => Ok(fits),
        _ => Err(HeaderError::TooLong { page, bytes }),
    }
}

type Metas = (Meta, [Result<Meta, MetaDefect>; 2]);

/// The meta page in force, and both.
///
/// As bbolt's `getPageSize`: the first meta tells the page size; if it is bad, the second one is looked for where it
/// would be with each possible page size.
fn find_metas(cache: &mut ChunkCache<'_>) -> Result<Result<Metas, Damage>, Error> {
    let first = read_meta(cache, 0)?;
    if first == Err(MetaDefect::BigEndian) {
        return Ok(Err(Damage::BigEndian));
    }
    if let Ok(meta) = first {
        let second = read_meta(cache, u64::from(meta.page_size))?;
        return Ok(Ok((in_force(meta, second), [first, second])));
    }
    for shift in 10..=24 {
        let second = read_meta(cache, 1 << shift)?;
        if let Ok(meta) = second
            && u64::from(meta.page_size) == 1 << shift
        {
            return Ok(Ok((meta, [first, second])));
        }
    }
    Ok(Err(Damage::NoMeta))
}

fn in_force(first: Meta, second: Result<Meta, MetaDefect>) -> Meta {
    match second {
        Ok(second) if second.txid > first.txid => second,
        _ => first,
    }
}

fn read_meta(cache: &mut ChunkCache<'_>, offset: u64) -> Result<Result<Meta, MetaDefect>, Error> {
    let mut page = [0; crate::page::HEADER_LEN + crate::page::META_LEN];
    if offset.saturating_add(page.len() as u64) > cache.source().size() {
        return Ok(Err(MetaDefect::TooShort));
    }
    cache.read_exact_at(&mut page, offset)?;
    let right_place = Header::parse(&page)
        .is_some_and(|h| h.flags == crate::page::META && h.id == u64::from(offset > 0));
    let meta = Meta::parse(&page);
    Ok(if meta.is_ok() && !right_place {
        Err(MetaDefect::Header)
    } else {
        meta
    })
}
