//! The tree without its leaves: which pages there are, in key order, before they are read in file order.
//!
//! Reading a tree in key order makes a cold disk seek for every page. Only the branch pages (one in a hundred) say
//! what the order is. So they are read first, level by level; from them the plan knows the number of every leaf page
//! and the range its keys must lie in. The leaves are then read once, front to back ([`crate::scan`]).
//!
//! All leaves of a bbolt bucket lie at the same depth: splits and merges happen below a parent and reach the root
//! last. So the depth is measured at the left edge, and the pages above it must be branches, those on it leaves.
//!
//! Memory: about 40 bytes for each leaf page, that is 1 % of a database with pages of 4 KiB at most.

use std::collections::{BTreeMap, HashSet};

use crate::Error;
use crate::error::Damage;
use crate::page::{BRANCH, Branch, BranchElement};
use crate::tree::{Bucket, Database, MAX_DEPTH};

/// The pages of a database, as its branch pages tell.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The root bucket, then etcd's buckets in the order of their names.
    pub(crate) buckets: Vec<Planned>,
    /// All leaf pages: bucket after bucket, in key order.
    pub(crate) leaves: Vec<LeafRef>,
    /// First page and number of pages of every branch run.
    pub(crate) branches: Vec<(u32, u32)>,
    /// Lower ends of the leaves' key ranges, one after the other.
    keys: Vec<u8>,
    /// Upper ends where they are not the next leaf's lower end, by leaf.
    upper: BTreeMap<usize, Vec<u8>>,
}

/// A bucket with its share of the leaves.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) bucket: Bucket,
    /// Which leaves are its own; empty for an inline bucket.
    pub(crate) leaves: std::ops::Range<usize>,
}

/// A leaf page that is to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeafRef {
    pub(crate) page: u32,
    key_at: u32,
}

/// A page of one level, with the range of keys it may hold.
struct Node {
    page: u64,
    from: u64,
    low: Vec<u8>,
}

/// One level of a bucket's tree, in key order.
#[derive(Default)]
struct Level {
    nodes: Vec<Node>,
    /// Upper ends where they are not the next node's lower end, by node.
    upper: BTreeMap<usize, Vec<u8>>,
}

impl Plan {
    /// Plans the whole database. Damage that leaves a way on is put into `damage`, and its part of the tree left out.
    ///
    /// # Errors
    /// When the disk fails, or damage leaves no way on.
    pub(crate) fn new(db: &mut Database<'_>, damage: &mut Vec<Damage>) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut seen = HashSet::new();
        let root = db.root_bucket();
        plan.add(db, root, &mut seen, damage)?;
        // What the walk for the buckets would only run into once more.
        if let Some(found) = damage.pop() {
            return Err(db.damaged(found));
        }
        for bucket in db.buckets()? {
            plan.add(db, bucket, &mut seen, damage)?;
        }
        Ok(plan)
    }

    /// Plans the bucket of this name alone; an absent one is an empty plan.
    pub(crate) fn of_bucket(db: &mut Database<'_>, name: &str) -> Result<Self, Error> {
        let (mut plan, mut damage) = (Self::default(), Vec::new());
        if let Some(bucket) = db.bucket(name)? {
            plan.add(db, bucket, &mut HashSet::new(), &mut damage)?;
        }
        match damage.pop() {
            Some(damage) => Err(db.damaged(damage)),
            None => Ok(plan),
        }
    }

    fn add(
        &mut self,
        db: &mut Database<'_>,
        bucket: Bucket,
        seen: &mut HashSet<u64>,
        damage: &mut Vec<Damage>,
    ) -> Result<(), Error> {
        let start = self.leaves.len();
        if !bucket.is_inline()
            && let Some(depth) = collect(damage, left_depth(db, &bucket))?
        {
            let root = Node {
                page: bucket.header.root,
                from: bucket.page,
                low: Vec::new(),
            };
            let mut level = Level {
                nodes: vec![root],
                ..Level::default()
            };
            for above_leaves in (0..depth).rev() {
                level = self.expand(db, &level, above_leaves == 0, seen, damage)?;
            }
            if depth == 0 {
                self.add_leaf(db, bucket.header.root, bucket.page, &[])?;
            }
        }
        let leaves = start..self.leaves.len();
        self.buckets.push(Planned { bucket, leaves });
        Ok(())
    }

    /// Reads a level of branch pages; gives the level below, or takes it in if it is that of the leaves.
    fn expand(
        &mut self,
        db: &mut Database<'_>,
        level: &Level,
        leaves_below: bool,
        seen: &mut HashSet<u64>,
        damage: &mut Vec<Damage>,
    ) -> Result<Level, Error> {
        let (mut below, mut run) = (Level::default(), Vec::new());
        for (index, node) in level.nodes.iter().enumerate() {
            if index % PREFETCH == 0 {
                level.prefetch(db, index);
            }
            if !seen.insert(node.page) {
                damage.push(Damage::UsedTwice {
                    page: node.page,
                    first: node.page,
                    second: node.page,
                });
                continue;
            }
            let read = db.read_run(node.page, node.from, &mut run);
            let Some(header) = collect(damage, read)? else {
                continue;
            };
            let upper = level.upper(index);
            let children = match Branch::parse(node.page, &run)
                .and_then(|branch| children(branch, node, upper))
            {
                Ok(children) => children,
                Err(found) => {
                    damage.push(found);
                    continue;
                }
            };
            if let (Ok(page), Ok(pages)) =
                (u32::try_from(node.page), u32::try_from(header.run_pages()))
            {
                self.branches.push((page, pages));
            }
            for child in children {
                if leaves_below {
                    collect(damage, self.add_leaf(db, child.child, node.page, child.key))?;
                } else {
                    below.nodes.push(Node {
                        page: child.child,
                        from: node.page,
                        low: child.key.to_vec(),
                    });
                }
            }
            // The last child ends where its parent does, which is not always where the next child begins.
            if let Some(upper) = upper {
                let (own, last) = match leaves_below {
                    true => (&mut self.upper, self.leaves.len()),
                    false => (&mut below.upper, below.nodes.len()),
                };
                own.insert(last.saturating_sub(1), upper.to_vec());
            }
        }
        Ok(below)
    }

    fn add_leaf(
        &mut self,
        db: &Database<'_>,
        page: u64,
        from: u64,
        low: &[u8],
    ) -> Result<(), Error> {
        let high_water = db.meta().high_water;
        if !(2..high_water).contains(&page) {
            return Err(db.damaged(Damage::PageOutOfRange {
                page,
                from,
                high_water,
            }));
        }
        let (Ok(page), Ok(key_at)) = (u32::try_from(page), u32::try_from(self.keys.len())) else {
            let what = "the keys in its branch pages take more than 4 GiB".to_owned();
            return Err(Error::Unsupported {
                file: db.source().name().to_owned(),
                what,
            });
        };
        self.keys.extend_from_slice(low);
        self.leaves.push(LeafRef { page, key_at });
        Ok(())
    }

    /// The lowest key leaf `index` may hold.
    pub(crate) fn low(&self, index: usize) -> &[u8] {
        let Some(leaf) = self.leaves.get(index) else {
            return &[];
        };
        let end = self
            .leaves
            .get(index + 1)
            .map_or(self.keys.len(), |next| next.key_at as usize);
        self.keys.get(leaf.key_at as usize..end).unwrap_or_default()
    }

    /// The key that all keys of leaf `index`, of a bucket that ends before leaf `end`, are smaller than.
    pub(crate) fn high(&self, index: usize, end: usize) -> Option<&[u8]> {
        self.upper
            .get(&index)
            .map(Vec::as_slice)
            .or_else(|| (index + 1 < end).then(|| self.low(index + 1)))
    }

    /// Which bucket leaf `index` belongs to.
    pub(crate) fn bucket_of(&self, index: usize) -> usize {
        self.buckets
            .partition_point(|planned| planned.leaves.end <= index)
    }

    /// The numbers of the leaves, sorted by where their pages are.
    pub(crate) fn file_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> =
            (0..u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by_key(|index| self.leaves.get(*index as usize).map(|leaf| leaf.page));
        order
    }
}

/// How many pages are read ahead at a time.
const PREFETCH: usize = 256;

impl Level {
    /// The key that all keys below node `index` are smaller than.
    fn upper(&self, index: usize) -> Option<&[u8]> {
        let next = || self.nodes.get(index + 1).map(|next| next.low.as_slice());
        self.upper.get(&index).map(Vec::as_slice).or_else(next)
    }

    /// Tells the kernel which pages are read next: they lie anywhere, and many can be on their way at a time.
    fn prefetch(&self, db: &Database<'_>, index: usize) {
        let page_size = u64::from(db.meta().page_size);
        for ahead in self.nodes.iter().skip(index).take(2 * PREFETCH) {
            db.source()
                .will_need(ahead.page.saturating_mul(page_size), page_size);
        }
    }
}

/// The children of a branch page, whose keys must ascend within the range its own parent gives.
fn children<'a>(
    branch: Branch<'a>,
    node: &Node,
    upper: Option<&[u8]>,
) -> Result<Vec<BranchElement<'a>>, Damage> {
    let mut children: Vec<BranchElement<'_>> = Vec::with_capacity(branch.len() as usize);
    for (index, element) in (0..).zip(branch.elements()) {
        let element = element?;
        if children.last().is_some_and(|last| last.key >= element.key) {
            return Err(Damage::KeyOrder {
                page: node.page,
                index,
            });
        }
        if element.key < node.low.as_slice() || upper.is_some_and(|upper| element.key >= upper) {
            return Err(Damage::KeyRange {
                page: node.page,
                index,
            });
        }
        children.push(element);
    }
    Ok(children)
}

/// How many levels of branch pages lie above the left-most leaf.
fn left_depth(db: &mut Database<'_>, bucket: &Bucket) -> Result<usize, Error> {
    let (mut page, mut from, mut run) = (bucket.header.root, bucket.page, Vec::new());
    for depth in 0..MAX_DEPTH {
        if db.read_run(page, from, &mut run)?.flags != BRANCH {
            return Ok(depth);
        }
        let child = Branch::parse(page, &run).and_then(|branch| branch.element(0));
        (page, from) = (child.map_err(|damage| db.damaged(damage))?.child, page);
    }
    Err(db.damaged(Damage::TooDeep {
        page,
        limit: MAX_DEPTH,
    }))
}

/// Puts damage aside and goes on; passes other errors.
fn collect<T>(damage: &mut Vec<Damage>, result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Damaged { damage: found, .. }) => {
            damage.push(found);
            Ok(None)
        }
        Err(other) => Err(other),
    }
}
