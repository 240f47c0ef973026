//! What can go wrong, and what is wrong with a damaged file.
//!
//! Two kinds of bad news are kept apart. [`Damage`] is a fact about the bytes of a file, found by looking at them: page,
//! offset, what was expected. [`Error`] ends a piece of work: a disk that does not answer, a file that is not what it
//! was taken for, damage where there is no way around it, or the caller's wish to stop.

use std::io;

use thiserror::Error as ThisError;

/// Why a piece of work ended without its result.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused or failed.
    #[error("{file}: could not {action}")]
    Io {
        /// The file, as the caller named it.
        file: String,
        /// What was tried, as a verb phrase: "open", "read 4096 bytes at offset 8192".
        action: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// The path leads to something other than a regular file.
    #[error("{file}: not a regular file")]
    NotAFile {
        /// The file, as the caller named it.
        file: String,
    },
    /// The file is damaged in a way that leaves no way to go on.
    #[error("{file}: {damage}")]
    Damaged {
        /// The file, as the caller named it.
        file: String,
        /// What is wrong with it.
        #[source]
        damage: Damage,
    },
    /// The file is sound as far as was looked, but beyond what this crate handles.
    #[error("{file}: {what}")]
    Unsupported {
        /// The file, as the caller named it.
        file: String,
        /// What is not handled, and the limit.
        what: String,
    },
    /// What was asked for cannot be answered from this file, though nothing is wrong with it.
    #[error("{file}: {what}")]
    Refused {
        /// The file, as the caller named it.
        file: String,
        /// Why not.
        what: String,
    },
    /// The progress callback asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Wraps damage with the name of the file it was found in.
    pub fn damaged(file: &str, damage: Damage) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            damage,
        }
    }

    /// Wraps an error of the operating system; `action` is a verb phrase ("open", "flush").
    pub fn io(file: &str, action: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            file: file.to_owned(),
            action: action.into(),
            source,
        }
    }
}

/// One thing that is wrong with the bytes of a bbolt database or snapshot.
///
/// Pages are named by their number; page `p` begins at byte `p * page_size`.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Damage {
    /// No valid meta page anywhere bbolt would look.
    #[error("neither meta page is valid: not an etcd database, or its first pages are destroyed")]
    NoMeta,
    /// The magic number is there, but in the other byte order.
    #[error(
        "written by a big-endian host; bbolt files are read only in the byte order they were written in"
    )]
    BigEndian,
    /// One meta page is not valid while the other one is.
    #[error("meta page {page} is not valid ({defect}); the database opens with the other one")]
    BadMeta {
        /// 0 or 1.
        page: u64,
        /// What about it.
        defect: MetaDefect,
    },
    /// The meta page's page size is none any host has.
    #[error(
        "meta page gives a page size of {page_size} bytes; expected a power of two from 1024 to 16777216"
    )]
    PageSize {
        /// What the meta page says, in bytes.
        page_size: u32,
    },
    /// The high water mark is impossible.
    #[error("meta page gives {pages} pages in all; expected 4 to 4294967295")]
    PageTotal {
        /// What the meta page says.
        pages: u64,
    },
    /// The file ends before its last page.
    #[error("file has {size} bytes, but its meta page says {expected}: cut short")]
    Truncated {
        /// Bytes there are.
        size: u64,
        /// Bytes there should be at least.
        expected: u64,
    },
    /// A snapshot is longer than its meta page says.
    #[error("snapshot has {size} bytes, but its meta page says {expected}")]
    ExtraBytes {
        /// Bytes there are.
        size: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// The size is neither that of a snapshot nor that of a database file.
    #[error(
        "file has {size} bytes: neither whole pages nor whole pages and a trailer of 32 bytes: cut short or added to"
    )]
    OddSize {
        /// Bytes there are.
        size: u64,
    },
    /// The SHA-256 at the end of a snapshot is not that of the bytes before it.
    #[error(
        "sha256 of the content is {found}, but the snapshot's trailer says {expected}: changed after etcd wrote it"
    )]
    Checksum {
        /// The trailer, in hex.
        expected: String,
        /// What the content gives, in hex.
        found: String,
    },
    /// A reference to a page that cannot be.
    #[error("page {from} refers to page {page}; expected 2 to {last}", last = high_water - 1)]
    PageOutOfRange {
        /// The page referred to.
        page: u64,
        /// The page that refers to it (0: the meta page).
        from: u64,
        /// The first page number not in use.
        high_water: u64,
    },
    /// A page whose header bears another page's number.
    #[error("page {page} identifies itself as page {found}: overwritten, zeroed or never written")]
    PageId {
        /// Where the page is.
        page: u64,
        /// What its header says.
        found: u64,
    },
    /// A page of a kind that does not belong where it is.
    #[error("page {page} has flags {found:#06x}; expected {expected}")]
    PageKind {
        /// The page.
        page: u64,
        /// Its flags.
        found: u16,
        /// What belongs there.
        expected: &'static str,
    },
    /// A page of the tree that could not be read as one.
    #[error("page {page} belongs to the tree, but cannot be read as one of its pages")]
    Unreadable {
        /// The page.
        page: u64,
    },
    /// A page with overflow pages beyond the end of the database.
    #[error("page {page} claims {overflow} overflow pages, beyond the last page {last}", last = high_water - 1)]
    Overflow {
        /// The page.
        page: u64,
        /// Overflow pages it claims.
        overflow: u32,
        /// The first page number not in use.
        high_water: u64,
    },
    /// The element table does not fit into the page.
    #[error("page {page} claims {count} elements, more than its {bytes} bytes hold")]
    PageCount {
        /// The page.
        page: u64,
        /// Elements it claims.
        count: u32,
        /// Size of the page with its overflow, in bytes.
        bytes: u64,
    },
    /// A branch page without children.
    #[error("branch page {page} has no children")]
    EmptyBranch {
        /// The page.
        page: u64,
    },
    /// An element's key or value lies outside its page.
    #[error("element {index} of page {page} lies outside of the page")]
    Element {
        /// The page.
        page: u64,
        /// Which element, from 0.
        index: u32,
    },
    /// Keys are not in ascending order.
    #[error(
        "key {index} of page {page} is not greater than the key before it: lookups and ranges go wrong"
    )]
    KeyOrder {
        /// The page.
        page: u64,
        /// Which element, from 0.
        index: u32,
    },
    /// A key that its branch page leads lookups away from.
    #[error(
        "key {index} of page {page} is outside of the range its branch page gives: lookups miss it"
    )]
    KeyRange {
        /// The page.
        page: u64,
        /// Which element, from 0.
        index: u32,
    },
    /// One page in two places of the tree.
    #[error("page {page} is used twice: by page {first} and by page {second}")]
    UsedTwice {
        /// The page.
        page: u64,
        /// One run of pages it belongs to, by the number of its first page.
        first: u64,
        /// The other one.
        second: u64,
    },
    /// Deeper than any tree can be.
    #[error("page {page} is more than {limit} levels below its bucket's root: a cycle")]
    TooDeep {
        /// The page.
        page: u64,
        /// The limit.
        limit: usize,
    },
    /// A bucket's element is no bucket header.
    #[error("bucket {bucket}, element {index} of page {page}: {what}")]
    Bucket {
        /// The page.
        page: u64,
        /// Which element, from 0.
        index: u32,
        /// The bucket's name, made printable.
        bucket: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A bucket that every etcd creates at its first start is not there.
    #[error("bucket {bucket} is missing: not written by etcd, or its root is damaged")]
    MissingBucket {
        /// Its name.
        bucket: &'static str,
    },
    /// A bbolt database of another program: containerd, Consul and Vault have theirs.
    #[error("a bbolt database, but not etcd's: it has no bucket `key` and none `meta`; {buckets}")]
    NotEtcd {
        /// Which buckets it has, in words.
        buckets: String,
    },
    /// The list of free pages contradicts the tree.
    #[error("freelist page {page}: {what}")]
    Freelist {
        /// The page.
        page: u64,
        /// What is wrong.
        what: String,
    },
    /// A record that cannot be what its bucket holds.
    #[error("record {index} of page {page} in bucket {bucket}: {what}")]
    Record {
        /// The page.
        page: u64,
        /// Which element, from 0.
        index: u32,
        /// The bucket's name, made printable.
        bucket: String,
        /// What is wrong.
        what: String,
    },
}

impl Damage {
    /// [`Damage::NotEtcd`] of a database with these buckets.
    pub(crate) fn not_etcd(buckets: &[String]) -> Self {
        /// More than etcd has; some programs make one for each thing they store.
        const SHOWN: usize = 10;
        let shown = buckets.iter().take(SHOWN).map(|name| format!("`{name}`"));
        let shown: Vec<String> = shown.collect();
        let more = match buckets.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let buckets = match shown.as_slice() {
            [] => "it has no bucket at all".to_owned(),
            [one] => format!("its only bucket is {one}"),
            several => format!("its buckets are {}{more}", several.join(", ")),
        };
        Self::NotEtcd { buckets }
    }
}

/// What is wrong with a meta page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub enum MetaDefect {
    /// Fewer bytes than a meta page has.
    #[error("too short")]
    TooShort,
    /// Not the magic number.
    #[error("no magic number")]
    Magic,
    /// The magic number in the other byte order.
    #[error("big-endian")]
    BigEndian,
    /// Another version than 2.
    #[error("unknown version")]
    Version,
    /// The checksum is wrong.
    #[error("wrong checksum")]
    Checksum,
    /// The page's header is not that of a meta page.
    #[error("wrong page header")]
    Header,
}
