//! Making pages: leaves and branches as bbolt writes them, in as many consecutive pages as they need.

use crate::page::{BRANCH, BUCKET_ELEMENT, ELEMENT_LEN, HEADER_LEN, Header, LEAF};

/// An element to be written into a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeafItem {
    pub(super) is_bucket: bool,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// An element to be written into a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BranchItem {
    pub(super) key: Vec<u8>,
    pub(super) child: u64,
}

/// More than bbolt's format has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

/// Pages to be appended to a database, in order.
#[derive(Debug)]
pub(super) struct Appended {
    page_size: usize,
    first: u64,
    bytes: Vec<u8>,
}

impl Appended {
    /// Nothing yet; the first page will be `first`.
    pub(super) fn new(page_size: u32, first: u64) -> Self {
        Self {
            page_size: page_size as usize,
            first,
            bytes: Vec::new(),
        }
    }

    /// The number after the last page.
    pub(super) fn end(&self) -> u64 {
        self.first + (self.bytes.len() / self.page_size) as u64
    }

    /// The pages.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends a leaf; gives its page.
    pub(super) fn leaf(&mut self, items: &[LeafItem]) -> Result<u64, TooMuch> {
        let body = leaf_body(items)?;
        self.run(LEAF, items.len(), &body)
    }

    /// Appends a branch; gives its page.
    pub(super) fn branch(&mut self, items: &[BranchItem]) -> Result<u64, TooMuch> {
        let body = branch_body(items)?;
        self.run(BRANCH, items.len(), &body)
    }

    fn run(&mut self, flags: u16, count: usize, body: &[u8]) -> Result<u64, TooMuch> {
        let id = self.end();
        let pages = (HEADER_LEN + body.len()).div_ceil(self.page_size);
        let overflow = u32::try_from(pages - 1).map_err(|_| TooMuch)?;
        let header = Header {
            id,
            flags,
            count: page_count(count)?,
            overflow,
        };
        let end = self.bytes.len() + pages * self.page_size;
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(body);
        self.bytes.resize(end, 0);
        Ok(id)
    }
}

/// bbolt keeps the count in 16 bits, and 0xFFFF has a meaning of its own in free lists.
fn page_count(count: usize) -> Result<u16, TooMuch> {
    u16::try_from(count)
        .ok()
        .filter(|&count| count < u16::MAX)
        .ok_or(TooMuch)
}

/// A leaf page without page number and padding, as it follows the header of an inline bucket.
pub(super) fn inline_leaf(items: &[LeafItem]) -> Result<Vec<u8>, TooMuch> {
    let header = Header {
        id: 0,
        flags: LEAF,
        count: page_count(items.len())?,
        overflow: 0,
    };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&leaf_body(items)?);
    Ok(bytes)
}

/// Table and data of a leaf: `flags u32, pos u32, ksize u32, vsize u32`, `pos` from the element's own place.
fn leaf_body(items: &[LeafItem]) -> Result<Vec<u8>, TooMuch> {
    let mut body = Vec::new();
    let mut data = items.len() * ELEMENT_LEN;
    for (i, item) in items.iter().enumerate() {
        let flags = if item.is_bucket { BUCKET_ELEMENT } else { 0 };
        for number in [
            flags,
            fits(data - i * ELEMENT_LEN)?,
            fits(item.key.len())?,
            fits(item.value.len())?,
        ] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        data += item.key.len() + item.value.len();
    }
    for item in items {
        body.extend_from_slice(&item.key);
        body.extend_from_slice(&item.value);
    }
    Ok(body)
}

/// Table and data of a branch: `pos u32, ksize u32, pgid u64`.
fn branch_body(items: &[BranchItem]) -> Result<Vec<u8>, TooMuch> {
    let mut body = Vec::new();
    let mut data = items.len() * ELEMENT_LEN;
    for (i, item) in items.iter().enumerate() {
        body.extend_from_slice(&fits(data - i * ELEMENT_LEN)?.to_le_bytes());
        body.extend_from_slice(&fits(item.key.len())?.to_le_bytes());
        body.extend_from_slice(&item.child.to_le_bytes());
        data += item.key.len();
    }
    for item in items {
        body.extend_from_slice(&item.key);
    }
    Ok(body)
}

fn fits(number: usize) -> Result<u32, TooMuch> {
    u32::try_from(number).map_err(|_| TooMuch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::page::{Branch, Leaf};

    fn items(lens: &[(usize, usize)]) -> Vec<LeafItem> {
        let item = |(i, &(key, value)): (usize, &(usize, usize))| LeafItem {
            is_bucket: i % 3 == 0,
            key: vec![u8::try_from(i % 256).unwrap(); key],
            value: vec![7; value],
        };
        lens.iter().enumerate().map(item).collect()
    }

    proptest! {
        #[test]
        fn leaves_come_back(lens in proptest::collection::vec((1usize..60, 0usize..3000), 0..20)) {
            let items = items(&lens);
            let mut pages = Appended::new(4096, 100);
            prop_assert_eq!(pages.leaf(&items), Ok(100));
            let header = Header::parse(pages.bytes()).unwrap();
            prop_assert_eq!(100 + header.run_pages(), pages.end());
            let leaf = Leaf::parse(100, pages.bytes()).unwrap();
            prop_assert_eq!(leaf.len() as usize, items.len());
            for (element, item) in leaf.elements().zip(&items) {
                let element = element.unwrap();
                prop_assert_eq!((element.is_bucket, element.key, element.value), (item.is_bucket, &item.key[..], &item.value[..]));
            }
            let inline = inline_leaf(&items).unwrap();
            prop_assert_eq!(Leaf::parse(0, &inline).unwrap().elements().filter(Result::is_ok).count(), items.len());
        }
    }

    #[test]
    fn branches_come_back_with_overflow() {
        let items: Vec<BranchItem> = (0..300u64)
            .map(|i| BranchItem {
                key: i.to_be_bytes().to_vec(),
                child: i + 2,
            })
            .collect();
        let mut pages = Appended::new(4096, 9);
        pages.leaf(&[]).unwrap();
        let id = pages.branch(&items).unwrap();
        assert_eq!(id, 10);
        let branch = Branch::parse(id, &pages.bytes()[4096..]).unwrap();
        for (element, item) in branch.elements().zip(&items) {
            let element = element.unwrap();
            assert_eq!((element.key, element.child), (&item.key[..], item.child));
        }
        assert_eq!(branch.len(), 300);
    }

    #[test]
    fn more_elements_than_a_page_counts_are_refused() {
        let item = LeafItem {
            is_bucket: false,
            key: vec![1],
            value: Vec::new(),
        };
        assert_eq!(inline_leaf(&vec![item; 0xffff]), Err(TooMuch));
    }
}
