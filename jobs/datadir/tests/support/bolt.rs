//! A writer of bbolt databases: any page size, any order of the pages, free pages with old content between them.

use etcd_datadir::page::{
    BRANCH, BUCKET_HEADER_LEN, BucketHeader, ELEMENT_LEN, FREELIST, HEADER_LEN, Header, LEAF, Meta,
};
use sha2::{Digest, Sha256};

use super::Numbers;

/// Key and value.
pub(crate) type Record = (Vec<u8>, Vec<u8>);
/// Name and records.
pub(crate) type NamedRecords = (String, Vec<Record>);

/// How a database is laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) page_size: usize,
    /// Bytes after which a leaf ends (two records at least).
    pub(crate) leaf_bytes: usize,
    /// Children of a branch page at most.
    pub(crate) children: usize,
    /// Whether small buckets are put into the root bucket's page.
    pub(crate) inline: bool,
    /// Whether pages lie in another order than their keys.
    pub(crate) shuffled: bool,
    /// How many free pages lie between the used ones, in percent.
    pub(crate) free_percent: usize,
    /// Whether free pages are listed in the file.
    pub(crate) freelist: bool,
    pub(crate) seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            page_size: 4096,
            leaf_bytes: 3600,
            children: 60,
            inline: true,
            shuffled: false,
            free_percent: 0,
            freelist: false,
            seed: 1,
        }
    }
}

struct Run {
    flags: u16,
    /// Key, value, and for a bucket's element of the root bucket or a branch the run it refers to.
    elements: Vec<Element>,
    pages: usize,
    page: usize,
}

#[derive(Clone)]
struct Element {
    key: Vec<u8>,
    value: Vec<u8>,
    is_bucket: bool,
    child: Option<usize>,
}

struct Writer {
    shape: Shape,
    runs: Vec<Run>,
}

/// The database with these buckets.
pub(crate) fn build(buckets: &[NamedRecords], shape: &Shape) -> Vec<u8> {
    let mut writer = Writer {
        shape: *shape,
        runs: Vec::new(),
    };
    let mut sorted: Vec<&NamedRecords> = buckets.iter().collect();
    sorted.sort();
    let root: Vec<Element> = sorted
        .into_iter()
        .map(|(name, records)| writer.bucket(name, records))
        .collect();
    let root = writer.tree(root);
    writer.lay_out(root)
}

/// With the SHA-256 a snapshot has at its end.
pub(crate) fn with_trailer(mut database: Vec<u8>) -> Vec<u8> {
    let sha = Sha256::digest(&database);
    database.extend_from_slice(&sha);
    database
}

impl Writer {
    fn bucket(&mut self, name: &str, records: &[Record]) -> Element {
        let mut sorted = records.to_vec();
        sorted.sort();
        let elements: Vec<Element> = sorted
            .into_iter()
            .map(|(key, value)| Element {
                key,
                value,
                is_bucket: false,
                child: None,
            })
            .collect();
        let (key, header) = (
            name.as_bytes().to_vec(),
            BucketHeader {
                root: 0,
                sequence: 0,
            },
        );
        let mut value = header.encode().to_vec();
        if self.shape.inline && size(&elements) <= self.shape.page_size / 4 {
            let run = Run {
                flags: LEAF,
                elements,
                pages: 1,
                page: 0,
            };
            value.extend(content(&run, &[]));
            return Element {
                key,
                value,
                is_bucket: true,
                child: None,
            };
        }
        Element {
            key,
            value,
            is_bucket: true,
            child: Some(self.tree(elements)),
        }
    }

    /// Puts elements into leaves and branches above them; gives the root's run.
    fn tree(&mut self, elements: Vec<Element>) -> usize {
        let mut level = Vec::new();
        let mut leaf: Vec<Element> = Vec::new();
        for element in elements {
            if leaf.len() >= 2
                && size(&leaf) + size(std::slice::from_ref(&element)) > self.shape.leaf_bytes
            {
                level.push(self.run(LEAF, std::mem::take(&mut leaf)));
            }
            leaf.push(element);
        }
        if !leaf.is_empty() || level.is_empty() {
            level.push(self.run(LEAF, leaf));
        }
        while level.len() > 1 {
            let parents = level
                .chunks(self.shape.children.max(2))
                .map(<[usize]>::to_vec)
                .collect::<Vec<_>>();
            level = parents
                .into_iter()
                .map(|children| self.branch(&children))
                .collect();
        }
        level[0]
    }

    fn branch(&mut self, children: &[usize]) -> usize {
        let element = |child: &usize| {
            let key = self.runs[*child].elements[0].key.clone();
            Element {
                key,
                value: Vec::new(),
                is_bucket: false,
                child: Some(*child),
            }
        };
        let elements = children.iter().map(element).collect();
        self.run(BRANCH, elements)
    }

    fn run(&mut self, flags: u16, elements: Vec<Element>) -> usize {
        let pages = size(&elements).div_ceil(self.shape.page_size).max(1);
        self.runs.push(Run {
            flags,
            elements,
            pages,
            page: 0,
        });
        self.runs.len() - 1
    }

    fn lay_out(mut self, root: usize) -> Vec<u8> {
        let (page_size, mut numbers) = (self.shape.page_size, Numbers::new(self.shape.seed));
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        if self.shape.shuffled {
            (1..order.len())
                .rev()
                .for_each(|i| order.swap(i, numbers.below(i + 1)));
        }
        let (mut next, mut free) = (2, Vec::new());
        for index in order {
            while numbers.below(100) < self.shape.free_percent {
                free.push(next);
                next += 1;
            }
            self.runs[index].page = next;
            next += self.runs[index].pages;
        }
        let list = self.shape.freelist.then_some(next);
        let list_pages = (HEADER_LEN + 8 * free.len()).div_ceil(page_size);
        next += if list.is_some() { list_pages } else { 0 };
        next = next.max(4);
        let mut file = vec![0; next * page_size];
        self.write_metas(&mut file, root, list, next);
        for run in &self.runs {
            let bytes = content(run, &self.runs);
            file[run.page * page_size..][..bytes.len()].copy_from_slice(&bytes);
        }
        for page in &free {
            self.write_old(&mut file, *page, &mut numbers);
        }
        if let Some(list) = list {
            write_list(&mut file[list * page_size..], list, list_pages, &free);
        }
        file
    }

    fn write_metas(&self, file: &mut [u8], root: usize, list: Option<usize>, pages: usize) {
        for txid in [8, 7] {
            let meta = Meta {
                page_size: u32::try_from(self.shape.page_size).unwrap(),
                flags: 0,
                root: self.runs[root].page as u64,
                sequence: 0,
                freelist: list.map(|list| list as u64),
                high_water: pages as u64,
                txid,
            };
            let at = usize::try_from(txid % 2).unwrap() * self.shape.page_size;
            file[at..at + 80].copy_from_slice(&meta.encode());
        }
    }

    /// A free page as etcd leaves them: what a page of the tree was before, under its own number, or anything.
    fn write_old(&self, file: &mut [u8], page: usize, numbers: &mut Numbers) {
        let page_size = self.shape.page_size;
        let bytes = match numbers.below(3) {
            0 => return,
            1 => numbers.bytes(page_size),
            _ => {
                let old = &self.runs[numbers.below(self.runs.len())];
                let old = Run {
                    flags: old.flags,
                    elements: old.elements.clone(),
                    pages: old.pages,
                    page,
                };
                content(&old, &self.runs)
            }
        };
        let len = bytes.len().min(page_size);
        file[page * page_size..][..len].copy_from_slice(&bytes[..len]);
    }
}

fn size(elements: &[Element]) -> usize {
    let inner: usize = elements
        .iter()
        .map(|e| ELEMENT_LEN + e.key.len() + e.value.len())
        .sum();
    HEADER_LEN + inner
}

/// The bytes of a page, without the unused end.
fn content(run: &Run, runs: &[Run]) -> Vec<u8> {
    let header = Header {
        id: run.page as u64,
        flags: run.flags,
        count: u16::try_from(run.elements.len()).unwrap(),
        overflow: u32::try_from(run.pages - 1).unwrap(),
    };
    let (mut table, mut data) = (header.encode().to_vec(), Vec::new());
    let table_len = HEADER_LEN + ELEMENT_LEN * run.elements.len();
    for element in &run.elements {
        let pos = u32::try_from(table_len + data.len() - table.len())
            .unwrap()
            .to_le_bytes();
        let key_len = u32::try_from(element.key.len()).unwrap().to_le_bytes();
        let child = element.child.map(|child| runs[child].page as u64);
        if run.flags == BRANCH {
            let child = child.unwrap().to_le_bytes();
            table.extend([&pos[..], &key_len[..], &child[..]].concat());
            data.extend_from_slice(&element.key);
            continue;
        }
        let mut value = element.value.clone();
        if let Some(child) = child {
            value[..BUCKET_HEADER_LEN].copy_from_slice(
                &BucketHeader {
                    root: child,
                    sequence: 0,
                }
                .encode(),
            );
        }
        let flags = u32::from(element.is_bucket).to_le_bytes();
        let value_len = u32::try_from(value.len()).unwrap().to_le_bytes();
        table.extend([flags, pos, key_len, value_len].concat());
        data.extend_from_slice(&element.key);
        data.extend_from_slice(&value);
    }
    table.extend(data);
    table
}

fn write_list(at: &mut [u8], page: usize, pages: usize, free: &[usize]) {
    let overflow = u32::try_from(pages - 1).unwrap();
    let header = Header {
        id: page as u64,
        flags: FREELIST,
        count: u16::try_from(free.len()).unwrap(),
        overflow,
    };
    at[..HEADER_LEN].copy_from_slice(&header.encode());
    for (slot, page) in at[HEADER_LEN..].chunks_exact_mut(8).zip(free) {
        slot.copy_from_slice(&(*page as u64).to_le_bytes());
    }
}
