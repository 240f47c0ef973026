//! bbolt's pages (file format version 2), every field checked before it is used.
//!
//! A database is an array of pages of one size (the page size of the host that created it). All integers are in the
//! host's byte order; only little-endian files are read. A page begins with a header of 16 bytes:
//! `id u64, flags u16, count u16, overflow u32`; a page with `overflow` n fills n more pages, which have no header.
//! The rules are those of bbolt's `internal/common/page.go`, `meta.go` and `bucket.go`.

use crate::error::{Damage, MetaDefect};

/// Bytes of a page header.
pub const HEADER_LEN: usize = 16;
/// Bytes of one element of a branch or leaf page's table.
pub const ELEMENT_LEN: usize = 16;
/// Bytes of the meta structure that follows the header of pages 0 and 1.
pub(crate) const META_LEN: usize = 64;
/// Bytes of a bucket header, which is the value of a bucket's element.
pub const BUCKET_HEADER_LEN: usize = 16;

/// Flag of a branch page.
pub const BRANCH: u16 = 0x01;
/// Flag of a leaf page.
pub const LEAF: u16 = 0x02;
/// Flag of a meta page.
pub const META: u16 = 0x04;
/// Flag of a page that lists free pages.
pub const FREELIST: u16 = 0x10;

/// Flag of a leaf element whose value is a bucket header.
pub(crate) const BUCKET_ELEMENT: u32 = 0x01;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// The meta page's way to say that the list of free pages is not in the file (etcd on Linux never writes it).
const NO_FREELIST: u64 = u64::MAX;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The page's own number.
    pub id: u64,
    /// What kind of page: exactly one of [`BRANCH`], [`LEAF`], [`META`], [`FREELIST`].
    pub flags: u16,
    /// Elements in the page.
    pub count: u16,
    /// How many pages follow that belong to this one.
    pub overflow: u32,
}

impl Header {
    /// Reads a header; `None` when there are fewer than 16 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            flags: u16_at(bytes, 8)?,
            count: u16_at(bytes, 10)?,
            overflow: u32_at(bytes, 12)?,
        })
    }

    /// The 16 bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.flags.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.overflow.to_le_bytes());
        bytes
    }

    /// Pages the whole run fills: itself and its overflow.
    pub(crate) fn run_pages(&self) -> u64 {
        u64::from(self.overflow) + 1
    }
}

/// A meta page: where the tree begins as of one transaction.
///
/// Pages 0 and 1 are metas, written in turn; the valid one with the higher `txid` is the one in force. They are the
/// only pages of a bbolt file with a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Page size in bytes.
    pub page_size: u32,
    /// Always 0 so far.
    pub flags: u32,
    /// First page of the root bucket, which holds the other buckets.
    pub root: u64,
    /// The root bucket's sequence, which etcd does not use.
    pub sequence: u64,
    /// Where the list of free pages is; `None` when it is not in the file.
    pub freelist: Option<u64>,
    /// The first page number that was never used: pages below it make up the database.
    pub high_water: u64,
    /// The transaction that wrote it.
    pub txid: u64,
}

impl Meta {
    /// Reads the meta page that begins at `page[0]` with its page header.
    ///
    /// # Errors
    /// What is wrong with it. bbolt itself does not look at the header; a wrong header is an error here, because
    /// bbolt always writes it.
    pub fn parse(page: &[u8]) -> Result<Self, MetaDefect> {
        let bytes = page
            .get(HEADER_LEN..HEADER_LEN + META_LEN)
            .ok_or(MetaDefect::TooShort)?;
        let u32_at = |at| u32_at(bytes, at).ok_or(MetaDefect::TooShort);
        let u64_at = |at| u64_at(bytes, at).ok_or(MetaDefect::TooShort);
        let magic = u32_at(0)?;
        if magic.swap_bytes() == MAGIC {
            return Err(MetaDefect::BigEndian);
        }
        if magic != MAGIC {
            return Err(MetaDefect::Magic);
        }
        if u32_at(4)? != VERSION {
            return Err(MetaDefect::Version);
        }
        if u64_at(56)? != fnv1a64(&bytes[..56]) {
            return Err(MetaDefect::Checksum);
        }
        let freelist = u64_at(32)?;
        Ok(Self {
            page_size: u32_at(8)?,
            flags: u32_at(12)?,
            root: u64_at(16)?,
            sequence: u64_at(24)?,
            freelist: (freelist != NO_FREELIST).then_some(freelist),
            high_water: u64_at(40)?,
            txid: u64_at(48)?,
        })
    }

    /// The 80 bytes of the meta page, header and checksum included, for the page the transaction belongs on
    /// (`txid % 2`).
    pub fn encode(&self) -> [u8; HEADER_LEN + META_LEN] {
        let mut page = [0; HEADER_LEN + META_LEN];
        let header = Header {
            id: self.txid % 2,
            flags: META,
            count: 0,
            overflow: 0,
        };
        page[..HEADER_LEN].copy_from_slice(&header.encode());
        let meta = &mut page[HEADER_LEN..];
        meta[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        meta[4..8].copy_from_slice(&VERSION.to_le_bytes());
        meta[8..12].copy_from_slice(&self.page_size.to_le_bytes());
        meta[12..16].copy_from_slice(&self.flags.to_le_bytes());
        meta[16..24].copy_from_slice(&self.root.to_le_bytes());
        meta[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        meta[32..40].copy_from_slice(&self.freelist.unwrap_or(NO_FREELIST).to_le_bytes());
        meta[40..48].copy_from_slice(&self.high_water.to_le_bytes());
        meta[48..56].copy_from_slice(&self.txid.to_le_bytes());
        let checksum = fnv1a64(&meta[..56]);
        meta[56..64].copy_from_slice(&checksum.to_le_bytes());
        page
    }

    /// Size of the database in bytes: what etcd reports as `dbSize`, and what a snapshot has before its trailer.
    pub(crate) fn database_size(&self) -> u64 {
        self.high_water.saturating_mul(u64::from(self.page_size))
    }

    /// Whether page size and page count are such as a host and a disk can have.
    pub(crate) fn check_bounds(&self) -> Result<(), Damage> {
        if !self.page_size.is_power_of_two() || !(1 << 10..=1 << 24).contains(&self.page_size) {
            return Err(Damage::PageSize {
                page_size: self.page_size,
            });
        }
        // Two metas, a freelist page or what was one, a root. The upper end is 16 TiB with pages of 4 KiB; numbers
        // below it fit 32 bits, which halves what a plan of the tree takes.
        if !(4..=u64::from(u32::MAX)).contains(&self.high_water) {
            return Err(Damage::PageTotal {
                pages: self.high_water,
            });
        }
        Ok(())
    }
}

/// FNV-1a, 64 bits.
fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// One element of a leaf page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafElement<'a> {
    /// Whether the value is a bucket header.
    pub is_bucket: bool,
    /// The key.
    pub key: &'a [u8],
    /// The value, or the bucket header with what follows it.
    pub value: &'a [u8],
}

/// A leaf page with its overflow, or the page inside of an inline bucket.
#[derive(Debug, Clone, Copy)]
pub struct Leaf<'a> {
    page: u64,
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Leaf<'a> {
    /// Takes the bytes of a whole run of pages. `page` is the number messages name.
    ///
    /// # Errors
    /// When it is not a leaf page or its table of elements does not fit.
    pub fn parse(page: u64, bytes: &'a [u8]) -> Result<Self, Damage> {
        let count = element_count(page, bytes, LEAF, "0x0002, a leaf page")?;
        Ok(Self { page, bytes, count })
    }

    /// How many elements it has.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether it has none; true only for the root of an empty bucket.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The page messages name.
    pub fn page(&self) -> u64 {
        self.page
    }

    /// Element `index`.
    ///
    /// # Errors
    /// When there is no such element or it reaches outside of the page.
    pub fn element(&self, index: u32) -> Result<LeafElement<'a>, Damage> {
        self.try_element(index).ok_or(Damage::Element {
            page: self.page,
            index,
        })
    }

    fn try_element(&self, index: u32) -> Option<LeafElement<'a>> {
        let at = self.position(index)?;
        Some(LeafElement {
            is_bucket: at.is_bucket,
            key: self.bytes.get(at.key..at.value)?,
            value: self.bytes.get(at.value..at.end)?,
        })
    }

    /// Where in the page's bytes element `index` lies; within them, and behind the table.
    pub(crate) fn position(&self, index: u32) -> Option<Position> {
        let (at, table_end) = element_at(index, self.count)?;
        let entry = self.bytes.get(at..at + ELEMENT_LEN)?;
        let key = at.checked_add(u32_at(entry, 4)? as usize)?;
        let value = key.checked_add(u32_at(entry, 8)? as usize)?;
        let end = value.checked_add(u32_at(entry, 12)? as usize)?;
        let is_bucket = u32_at(entry, 0)? & BUCKET_ELEMENT != 0;
        (key >= table_end && end <= self.bytes.len()).then_some(Position {
            is_bucket,
            key,
            value,
            end,
        })
    }

    /// All elements in order, each behind the one before it, as bbolt writes them.
    ///
    /// Elements that share bytes are refused: a small page could otherwise claim 65,535 values of its whole size.
    pub fn elements(&self) -> impl Iterator<Item = Result<LeafElement<'a>, Damage>> + use<'a> {
        let leaf = *self;
        leaf.positions().map(move |at| {
            let at = at?;
            let (key, value) = (&leaf.bytes[at.key..at.value], &leaf.bytes[at.value..at.end]);
            Ok(LeafElement {
                is_bucket: at.is_bucket,
                key,
                value,
            })
        })
    }

    /// As [`Leaf::elements`], but where they are.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Result<Position, Damage>> + use<'a> {
        let (leaf, mut behind) = (*self, 0);
        (0..leaf.count).map(move |index| {
            let at = leaf.position(index).filter(|at| at.key >= behind);
            let at = at.ok_or(Damage::Element {
                page: leaf.page,
                index,
            })?;
            behind = at.end;
            Ok(at)
        })
    }
}

/// Where the parts of a leaf element lie: the key from `key` to `value`, the value from there to `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) is_bucket: bool,
    pub(crate) key: usize,
    pub(crate) value: usize,
    pub(crate) end: usize,
}

/// One element of a branch page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchElement<'a> {
    /// Keys of the child are this one or greater, and smaller than the next element's.
    pub key: &'a [u8],
    /// The child's page.
    pub child: u64,
}

/// A branch page with its overflow.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    page: u64,
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Branch<'a> {
    /// Takes the bytes of a whole run of pages.
    ///
    /// # Errors
    /// When it is not a branch page, has no children, or its table of elements does not fit.
    pub fn parse(page: u64, bytes: &'a [u8]) -> Result<Self, Damage> {
        let count = element_count(page, bytes, BRANCH, "0x0001, a branch page")?;
        if count == 0 {
            return Err(Damage::EmptyBranch { page });
        }
        Ok(Self { page, bytes, count })
    }

    /// How many children it has; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a branch page is never empty")]
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Element `index`.
    ///
    /// # Errors
    /// When there is no such element or its key reaches outside of the page.
    pub fn element(&self, index: u32) -> Result<BranchElement<'a>, Damage> {
        self.try_element(index).ok_or(Damage::Element {
            page: self.page,
            index,
        })
    }

    fn try_element(&self, index: u32) -> Option<BranchElement<'a>> {
        let (key, child) = self.position(index)?;
        Some(BranchElement {
            key: self.bytes.get(key)?,
            child,
        })
    }

    /// Where in the page's bytes the key of element `index` lies, and its child.
    fn position(&self, index: u32) -> Option<(std::ops::Range<usize>, u64)> {
        let (at, table_end) = element_at(index, self.count)?;
        let entry = self.bytes.get(at..at + ELEMENT_LEN)?;
        let key = at.checked_add(u32_at(entry, 0)? as usize)?;
        let end = key.checked_add(u32_at(entry, 4)? as usize)?;
        (key >= table_end && end <= self.bytes.len()).then_some((key..end, u64_at(entry, 8)?))
    }

    /// All elements in order, each key behind the one before it, as bbolt writes them.
    pub fn elements(&self) -> impl Iterator<Item = Result<BranchElement<'a>, Damage>> + use<'a> {
        let (branch, mut behind) = (*self, 0);
        (0..branch.count).map(move |index| {
            let at = branch
                .position(index)
                .filter(|(key, _)| key.start >= behind);
            let (key, child) = at.ok_or(Damage::Element {
                page: branch.page,
                index,
            })?;
            behind = key.end;
            Ok(BranchElement {
                key: &branch.bytes[key],
                child,
            })
        })
    }
}

/// Checks kind and table of a page; gives the number of its elements.
fn element_count(
    page: u64,
    bytes: &[u8],
    flag: u16,
    expected: &'static str,
) -> Result<u32, Damage> {
    let too_short = Damage::PageCount {
        page,
        count: 0,
        bytes: bytes.len() as u64,
    };
    let header = Header::parse(bytes).ok_or(too_short)?;
    if header.flags != flag {
        return Err(Damage::PageKind {
            page,
            found: header.flags,
            expected,
        });
    }
    let count = u32::from(header.count);
    if HEADER_LEN + count as usize * ELEMENT_LEN > bytes.len() {
        return Err(Damage::PageCount {
            page,
            count,
            bytes: bytes.len() as u64,
        });
    }
    Ok(count)
}

/// Where in a page element `index` of `count` begins, and where the table of elements ends.
fn element_at(index: u32, count: u32) -> Option<(usize, usize)> {
    let at = |n: u32| Some(HEADER_LEN + (n as usize).checked_mul(ELEMENT_LEN)?);
    if index >= count {
        None
    } else {
        Some((at(index)?, at(count)?))
    }
}

/// The header of a bucket: the first 16 bytes of its element's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketHeader {
    /// First page of the bucket's tree; 0 for a bucket whose only page follows inline.
    pub root: u64,
    /// The bucket's sequence, which etcd does not use.
    pub sequence: u64,
}

impl BucketHeader {
    /// Splits a bucket element's value into header and inline page (empty when the bucket has pages of its own).
    pub fn parse(value: &[u8]) -> Option<(Self, &[u8])> {
        let header = Self {
            root: u64_at(value, 0)?,
            sequence: u64_at(value, 8)?,
        };
        Some((header, value.get(BUCKET_HEADER_LEN..)?))
    }

    /// The 16 bytes of the header.
    pub fn encode(&self) -> [u8; BUCKET_HEADER_LEN] {
        let mut bytes = [0; BUCKET_HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.root.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta() -> Meta {
        Meta {
            page_size: 4096,
            flags: 0,
            root: 7,
            sequence: 0,
            freelist: None,
            high_water: 99,
            txid: 42,
        }
    }

    #[test]
    fn meta_survives_a_round_trip() {
        assert_eq!(Meta::parse(&meta().encode()), Ok(meta()));
        let listed = Meta {
            freelist: Some(3),
            ..meta()
        };
        assert_eq!(Meta::parse(&listed.encode()), Ok(listed));
    }

    #[test]
    fn every_flipped_bit_of_a_meta_is_seen() {
        for bit in HEADER_LEN * 8..(HEADER_LEN + META_LEN) * 8 {
            let mut bytes = meta().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn big_endian_is_told_apart() {
        let mut bytes = meta().encode();
        bytes[HEADER_LEN..HEADER_LEN + 4].reverse();
        assert_eq!(Meta::parse(&bytes), Err(MetaDefect::BigEndian));
    }

    #[test]
    fn elements_may_not_share_bytes() {
        let mut page = vec![0; 100];
        (page[8], page[10]) = (2, 2);
        for element in [16, 32] {
            page[element + 4] = u8::try_from(50 - element).unwrap(); // both keys begin at byte 50
            page[element + 8] = 1;
        }
        let leaf = Leaf::parse(5, &page).unwrap();
        let found: Vec<_> = leaf.elements().collect();
        assert!(found[0].is_ok());
        assert_eq!(found[1], Err(Damage::Element { page: 5, index: 1 }));
    }

    #[test]
    fn elements_may_not_point_into_the_table() {
        let mut page = vec![0; 64];
        page[8] = 2;
        page[10] = 1;
        page[16 + 4] = 15; // the key would begin inside of the table
        page[16 + 8] = 1;
        assert!(Leaf::parse(5, &page).unwrap().element(0).is_err());
        page[16 + 4] = 16;
        assert_eq!(
            Leaf::parse(5, &page).unwrap().element(0).unwrap().key.len(),
            1
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..3u8) {
            if let Some(flags) = bytes.get_mut(8..10) {
                flags.copy_from_slice(&u16::from(kind).to_le_bytes());
            }
            let _ = Meta::parse(&bytes);
            let _ = BucketHeader::parse(&bytes);
            if let Ok(leaf) = Leaf::parse(2, &bytes) {
                prop_assert_eq!(leaf.elements().count(), leaf.len() as usize);
            }
            if let Ok(branch) = Branch::parse(2, &bytes) {
                prop_assert_eq!(branch.elements().count(), branch.len() as usize);
            }
        }
    }
}
