//! Giving a copied database its new membership by appending pages.
//!
//! bbolt never changes a page that a transaction can still see: it writes new ones and then a meta page that points to
//! them. This does the same by hand, once: new `members`, `members_removed` and `meta` buckets, a new root that refers to
//! them and to all other buckets as they are, and for a bump one record at the end of `key` with the way to it. The
//! pages replaced are no longer reachable, which makes them free (etcd keeps no list of free pages in the file).

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Error;
use crate::membership::Member;
use crate::page::{
    BUCKET_HEADER_LEN, Branch, BucketHeader, ELEMENT_LEN, HEADER_LEN, LEAF, Leaf, Meta,
};
use crate::raft::LogPosition;
use crate::records::{Revision, RevisionKey};
use crate::source::FileSource;
use crate::tree::{Bucket, Database, MAX_DEPTH};

use super::RestoreError;
use super::options::{EtcdVersion, StoragePolicy};
use super::runs::{Appended, BranchItem, LeafItem, TooMuch, inline_leaf};
use super::storage::{StorageFinding, decide};

/// Revisions are signed.
const MAX_REVISION: u64 = i64::MAX as u64;
/// What `meta` may hold together, in bytes; etcd's has some hundred.
const MAX_META_BYTES: usize = 1 << 20;

/// What to write into the database.
pub(super) struct Patch<'a> {
    pub(super) members: &'a [Member],
    pub(super) position: LogPosition,
    pub(super) bump: Option<u64>,
    pub(super) for_etcd: Option<EtcdVersion>,
    pub(super) storage: StoragePolicy,
}

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patched {
    pub(super) revision_before: u64,
    pub(super) revision_after: u64,
    pub(super) storage: StorageFinding,
    pub(super) size_bytes: u64,
}

const STORAGE_VERSION: &[u8] = b"storageVersion";
const CLUSTER_VERSION: &[u8] = b"clusterVersion";
/// The first etcd that records a storage version.
const STORAGE_VERSION_SINCE: EtcdVersion = EtcdVersion { major: 3, minor: 6 };

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Buckets that are written anew, by name: the header, and the content of one that lies inline.
type Written = BTreeMap<Vec<u8>, (BucketHeader, Vec<u8>)>;

impl Patch<'_> {
    /// Patches the database in `file`, which has exactly the pages its meta speaks of. Nothing is flushed.
    pub(super) fn apply(&self, file: &File, path: &Path) -> Result<Patched, RestoreError> {
        let name = path.display().to_string();
        let reader = file
            .try_clone()
            .map_err(|e| Error::io(&name, "open again", e))?;
        let source = FileSource::from_file(reader, name.clone())?;
        let mut db = Database::open(&source)?;
        let old = *db.meta();
        let buckets: BTreeMap<Vec<u8>, Bucket> = db
            .buckets()?
            .into_iter()
            .map(|bucket| (bucket.name.clone(), bucket))
            .collect();
        let mut work = Work {
            pages: Appended::new(old.page_size, old.high_water),
            db: &mut db,
            path: &name,
        };
        let (written, patched) = self.write_buckets(&mut work, &buckets)?;
        let new = Meta {
            root: work.root(buckets, written)?,
            freelist: None,
            high_water: work.pages.end(),
            txid: old.txid.wrapping_add(1),
            ..old
        };
        let appended = work.pages;
        write(file, &name, &old, &new, &appended)?;
        Ok(Patched {
            size_bytes: new.database_size(),
            ..patched
        })
    }

    /// Writes the buckets that change; the size that comes of it is not known yet.
    fn write_buckets(
        &self,
        work: &mut Work<'_, '_>,
        buckets: &BTreeMap<Vec<u8>, Bucket>,
    ) -> Result<(Written, Patched), RestoreError> {
        let key = buckets
            .get(&b"key"[..])
            .cloned()
            .ok_or_else(|| work.missing_key())?;
        let revision_before = work.last_revision(&key)?;
        let mut small = |name: &[u8]| match buckets.get(name) {
            Some(bucket) => work.records(bucket),
            None => Ok(Records::new()),
        };
        let (mut meta, mut cluster) = (small(b"meta")?, small(b"cluster")?);
        let storage = self.change_versions(&mut meta, &mut cluster)?;
        meta.insert(
            b"consistent_index".to_vec(),
            self.position.index.to_be_bytes().to_vec(),
        );
        meta.insert(b"term".to_vec(), self.position.term.to_be_bytes().to_vec());
        let mut revision_after = revision_before;
        let mut written = Written::new();
        if let Some(bump) = self.bump {
            revision_after = bumped(revision_before, bump)?;
            let record = Revision {
                main: revision_after,
                sub: 0,
            }
            .encode()
            .to_vec();
            meta.insert(b"scheduledCompactRev".to_vec(), record.clone());
            written.insert(b"key".to_vec(), work.append_record(&key, &record)?);
        }
        let members = self
            .members
            .iter()
            .map(|m| (m.id.to_string().into_bytes(), m.to_json().into_bytes()))
            .collect();
        written.insert(b"members".to_vec(), work.bucket(&members)?);
        written.insert(b"members_removed".to_vec(), work.bucket(&Records::new())?);
        written.insert(b"meta".to_vec(), work.bucket(&meta)?);
        if storage == StorageFinding::Lowered || !buckets.contains_key(&b"cluster"[..]) {
            written.insert(b"cluster".to_vec(), work.bucket(&cluster)?);
        }
        let patched = Patched {
            revision_before,
            revision_after,
            storage,
            size_bytes: 0,
        };
        Ok((written, patched))
    }

    /// Compares the recorded versions with the etcd that is to run, and lowers them if that is asked for and needed.
    fn change_versions(
        &self,
        meta: &mut Records,
        cluster: &mut Records,
    ) -> Result<StorageFinding, RestoreError> {
        let text = |value: Option<&Vec<u8>>| {
            value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let storage = text(meta.get(STORAGE_VERSION));
        let cluster_version = text(cluster.get(CLUSTER_VERSION));
        let finding = decide(
            storage.as_deref(),
            cluster_version.as_deref(),
            self.for_etcd,
            self.storage,
        )?;
        let Some(wanted) = self.for_etcd.filter(|_| finding == StorageFinding::Lowered) else {
            return Ok(finding);
        };
        let newer = |text: Option<String>| {
            text.and_then(|t| EtcdVersion::parse(&t))
                .is_some_and(|v| v > wanted)
        };
        let lower = || format!("{wanted}.0").into_bytes();
        if newer(storage) {
            meta.remove(STORAGE_VERSION);
            if wanted >= STORAGE_VERSION_SINCE {
                meta.insert(STORAGE_VERSION.to_vec(), lower());
            }
        }
        if newer(cluster_version) {
            cluster.insert(CLUSTER_VERSION.to_vec(), lower());
        }
        Ok(finding)
    }
}

/// New pages, then the meta page that makes them count. bbolt flushes in between; here nobody sees the file before all
/// of it is on disk.
fn write(file: &File, name: &str, old: &Meta, new: &Meta, pages: &Appended) -> Result<(), Error> {
    let fail = |action: &str, e| Error::io(name, action, e);
    file.set_len(new.database_size())
        .map_err(|e| fail("extend", e))?;
    file.write_all_at(pages.bytes(), old.database_size())
        .map_err(|e| fail("append pages to", e))?;
    let at = new.txid % 2 * u64::from(new.page_size);
    file.write_all_at(&new.encode(), at)
        .map_err(|e| fail("write the meta page of", e))
}

fn bumped(revision: u64, bump: u64) -> Result<u64, RestoreError> {
    // One is left for the first write.
    match revision.checked_add(bump) {
        Some(sum) if sum < MAX_REVISION => Ok(sum),
        _ => Err(RestoreError::BumpTooLarge { revision, bump }),
    }
}

/// The value of a bucket's element.
fn element(header: BucketHeader, inline: &[u8]) -> Vec<u8> {
    let mut value = header.root.to_le_bytes().to_vec();
    value.extend_from_slice(&header.sequence.to_le_bytes());
    debug_assert_eq!(value.len(), BUCKET_HEADER_LEN);
    value.extend_from_slice(inline);
    value
}

struct Work<'w, 's> {
    pages: Appended,
    db: &'w mut Database<'s>,
    path: &'w str,
}

impl Work<'_, '_> {
    /// Writes the root page: the buckets as they are, but for those that were written anew.
    fn root(&mut self, buckets: BTreeMap<Vec<u8>, Bucket>, written: Written) -> Result<u64, Error> {
        let mut root: Records = buckets
            .into_iter()
            .map(|(name, b)| (name, element(b.header, &b.inline)))
            .collect();
        let written = written.into_iter();
        root.extend(written.map(|(name, (header, inline))| (name, element(header, &inline))));
        let items: Vec<LeafItem> = root
            .into_iter()
            .map(|(key, value)| LeafItem {
                is_bucket: true,
                key,
                value,
            })
            .collect();
        self.pages.leaf(&items).map_err(|TooMuch| self.too_much())
    }

    fn missing_key(&self) -> Error {
        self.db
            .damaged(crate::Damage::MissingBucket { bucket: "key" })
    }

    fn too_much(&self) -> Error {
        Error::Unsupported {
            file: self.path.to_owned(),
            what: "a page would have more elements than fit".to_owned(),
        }
    }

    fn last_revision(&mut self, key: &Bucket) -> Result<u64, Error> {
        let Some(last) = self.db.last_key(key)? else {
            return Ok(0);
        };
        let revision = RevisionKey::parse(&last)
            .map(|key| key.revision.main)
            .filter(|main| *main < MAX_REVISION);
        revision.ok_or_else(|| {
            let what = "its last key is not a revision".to_owned();
            self.db.damaged(crate::Damage::Record {
                page: key.page,
                index: 0,
                bucket: "key".to_owned(),
                what,
            })
        })
    }

    /// A small bucket's records.
    fn records(&mut self, bucket: &Bucket) -> Result<Records, Error> {
        let mut records = Records::new();
        let mut bytes = 0;
        let name = bucket.printable_name();
        self.db.walk(bucket, &mut |entry| {
            bytes += entry.element.key.len() + entry.element.value.len();
            if bytes > MAX_META_BYTES {
                return Err(entry.bad_record(
                    &name,
                    format!("the bucket has more than {MAX_META_BYTES} bytes"),
                ));
            }
            records.insert(entry.element.key.to_vec(), entry.element.value.to_vec());
            Ok(())
        })?;
        Ok(records)
    }

    /// A new bucket of these records: inline where bbolt would have it so (at most a quarter of a page), else with a
    /// page of its own.
    fn bucket(&mut self, records: &Records) -> Result<(BucketHeader, Vec<u8>), Error> {
        let size: usize = HEADER_LEN
            + records
                .iter()
                .map(|(k, v)| ELEMENT_LEN + k.len() + v.len())
                .sum::<usize>();
        let items: Vec<LeafItem> = records
            .iter()
            .map(|(key, value)| LeafItem {
                is_bucket: false,
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        self.leaf_bucket(&items, size)
    }

    fn leaf_bucket(
        &mut self,
        items: &[LeafItem],
        size: usize,
    ) -> Result<(BucketHeader, Vec<u8>), Error> {
        let inline_limit = self.db.meta().page_size as usize / 4;
        let made = if size <= inline_limit {
            inline_leaf(items).map(|inline| {
                (
                    BucketHeader {
                        root: 0,
                        sequence: 0,
                    },
                    inline,
                )
            })
        } else {
            self.pages
                .leaf(items)
                .map(|root| (BucketHeader { root, sequence: 0 }, Vec::new()))
        };
        made.map_err(|TooMuch| self.too_much())
    }

    /// Adds a record without a value at the end of a bucket.
    fn append_record(
        &mut self,
        bucket: &Bucket,
        key: &[u8],
    ) -> Result<(BucketHeader, Vec<u8>), Error> {
        let new = LeafItem {
            is_bucket: false,
            key: key.to_vec(),
            value: Vec::new(),
        };
        if bucket.is_inline() {
            let mut items = self.items(
                &Leaf::parse(bucket.page, &bucket.inline).map_err(|d| self.db.damaged(d))?,
            )?;
            items.push(new);
            let size = HEADER_LEN
                + items
                    .iter()
                    .map(|i| ELEMENT_LEN + i.key.len() + i.value.len())
                    .sum::<usize>();
            return self.leaf_bucket(&items, size);
        }
        let branches = self.right_edge(bucket)?;
        let leaf = self.pages.leaf(&[new]).map_err(|TooMuch| self.too_much())?;
        let root = self.add_last_child(bucket, branches, key, leaf)?;
        let header = BucketHeader {
            root,
            sequence: bucket.header.sequence,
        };
        Ok((header, Vec::new()))
    }

    /// Writes the branches on the right edge of a bucket anew so that they lead to one more leaf; tells the new root. The lowest
    /// branch gets one more child; every branch above it gets the new number of its last child.
    fn add_last_child(
        &mut self,
        bucket: &Bucket,
        mut branches: Vec<Vec<BranchItem>>,
        key: &[u8],
        leaf: u64,
    ) -> Result<u64, Error> {
        let last = BranchItem {
            key: key.to_vec(),
            child: leaf,
        };
        let lowest = match branches.pop() {
            Some(mut lowest) => {
                lowest.push(last);
                lowest
            }
            None => match self.first_key(bucket)? {
                Some(first) => vec![
                    BranchItem {
                        key: first,
                        child: bucket.header.root,
                    },
                    last,
                ],
                None => return Ok(leaf),
            },
        };
        let mut child = self.branch(&lowest)?;
        while let Some(mut branch) = branches.pop() {
            if let Some(last) = branch.last_mut() {
                last.child = child;
            }
            child = self.branch(&branch)?;
        }
        Ok(child)
    }

    fn branch(&mut self, items: &[BranchItem]) -> Result<u64, Error> {
        self.pages.branch(items).map_err(|TooMuch| self.too_much())
    }

    fn items(&self, leaf: &Leaf<'_>) -> Result<Vec<LeafItem>, Error> {
        let item = |element: Result<crate::page::LeafElement<'_>, _>| {
            let element = element.map_err(|damage| self.db.damaged(damage))?;
            let (key, value) = (element.key.to_vec(), element.value.to_vec());
            Ok(LeafItem {
                is_bucket: element.is_bucket,
                key,
                value,
            })
        };
        leaf.elements().map(item).collect()
    }

    /// The branches from the root down to the last leaf.
    fn right_edge(&mut self, bucket: &Bucket) -> Result<Vec<Vec<BranchItem>>, Error> {
        let (mut page, mut from, mut run) = (bucket.header.root, bucket.page, Vec::new());
        let mut branches = Vec::new();
        while self.db.read_run(page, from, &mut run)?.flags != LEAF {
            if branches.len() >= MAX_DEPTH {
                return Err(self.db.damaged(crate::Damage::TooDeep {
                    page,
                    limit: MAX_DEPTH,
                }));
            }
            let branch = Branch::parse(page, &run).map_err(|damage| self.db.damaged(damage))?;
            let mut items = Vec::new();
            for element in branch.elements() {
                let element = element.map_err(|damage| self.db.damaged(damage))?;
                items.push(BranchItem {
                    key: element.key.to_vec(),
                    child: element.child,
                });
            }
            (from, page) = (page, items.last().map_or(0, |last| last.child));
            branches.push(items);
        }
        Ok(branches)
    }

    /// The first key of a bucket whose root is a leaf.
    fn first_key(&mut self, bucket: &Bucket) -> Result<Option<Vec<u8>>, Error> {
        let mut run = Vec::new();
        self.db
            .read_run(bucket.header.root, bucket.page, &mut run)?;
        let leaf =
            Leaf::parse(bucket.header.root, &run).map_err(|damage| self.db.damaged(damage))?;
        if leaf.is_empty() {
            return Ok(None);
        }
        let first = leaf.element(0).map_err(|damage| self.db.damaged(damage))?;
        Ok(Some(first.key.to_vec()))
    }
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
