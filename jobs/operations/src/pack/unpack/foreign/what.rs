//! What a file is that is no database, by what it begins with.

use crate::advice::Fixed::{self, Words};
use crate::advice::{Advice, Task};

/// How many bytes at the beginning of a file tell what it is: btrfs has its name at 64 KiB.
pub const HEAD: usize = 68 << 10;

/// bbolt's magic number, in the first page after the page's header, as little- and as big-endian hosts write it.
const BOLT: [[u8; 4]; 2] = [[0xed, 0xda, 0x0c, 0xed], [0xed, 0x0c, 0xda, 0xed]];
const BOLT_AT: usize = 16;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct What {
    /// What people call it, with its article.
    pub name: String,
    /// What would help.
    pub hint: Option<Advice>,
}

/// Something with a place and a magic number.
struct Magic {
    at: usize,
    bytes: &'static [u8],
    name: &'static str,
    hint: &'static [Fixed],
}

const fn magic(
    at: usize,
    bytes: &'static [u8],
    name: &'static str,
    hint: &'static [Fixed],
) -> Magic {
    Magic {
        at,
        bytes,
        name,
        hint,
    }
}

const UNPACK: &[Fixed] = &[Words("unpack it, and name the snapshot in it")];
const DECRYPT: &[Fixed] = &[
    Words("decrypt it first; | "),
    Fixed::Task(Task::VerifySnapshot, &[]),
    Words(" - reads what is piped in"),
];
const IMAGE: &[Fixed] = &[Words("mount it, and name the snapshot in it")];

/// Strong ones alone: what is not among them may be a database whose first pages are destroyed.
const MAGICS: &[Magic] = &[
    magic(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    magic(0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    magic(0, b"PK\x03\x04", "a zip archive", UNPACK),
    magic(257, b"ustar", "a tar archive", UNPACK),
    magic(0, b"\x1f\x8b\x08", "a gzip file", UNPACK),
    magic(0, b"\x28\xb5\x2f\xfd", "a zstd file", UNPACK),
    magic(0, b"\xfd7zXZ\0", "an xz file", UNPACK),
    magic(0, b"\x04\x22\x4d\x18", "an lz4 file", UNPACK),
    magic(
        0,
        b"LZIP\x01",
        "an lzip file",
        &[Words("unpack it first: lzip -d")],
    ),
    magic(
        0,
        b"\x89LZO\0\r\n\x1a\n",
        "an lzop file",
        &[Words("unpack it first: lzop -d")],
    ),
    magic(
        0,
        b"\x1f\x9d\x90",
        "a file of compress (.Z)",
        &[Words("unpack it first: uncompress")],
    ),
    magic(0, b"\xff\x06\0\0sNaPpY", "a snappy file", UNPACK),
    magic(
        0,
        b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff",
        "an lzma file",
        &[Words("unpack it first: xz -d --format=lzma")],
    ),
    magic(0, b"!<arch>\n", "an ar archive", UNPACK),
    magic(0, b"070701", "a cpio archive", UNPACK),
    magic(0, b"070702", "a cpio archive", UNPACK),
    magic(0, b"age-encryption.org/v1", "encrypted by age", DECRYPT),
    magic(
        0,
        b"-----BEGIN AGE ENCRYPTED FILE",
        "encrypted by age",
        DECRYPT,
    ),
    magic(0, b"-----BEGIN PGP MESSAGE", "encrypted by GnuPG", DECRYPT),
    magic(0, b"Salted__", "encrypted by openssl enc", DECRYPT),
    magic(0, b"LUKS\xba\xbe", "an encrypted disk (LUKS)", IMAGE),
    magic(
        0,
        b"SQLite format 3\0",
        "a SQLite database: K3s without etcd keeps its state in one",
        &[
            Words("an etcd snapshot is what "),
            Fixed::Task(Task::SaveSnapshot, &[]),
            Words(" or etcdctl snapshot save writes"),
        ],
    ),
    magic(0, b"\x7fELF", "a program", &[]),
    magic(0, b"XFSB", "an image of an XFS file system", IMAGE),
    magic(0, b"hsqs", "an image of a squashfs file system", IMAGE),
    magic(0, b"QFI\xfb", "an image of a disk (qcow2)", IMAGE),
    magic(0, b"KDMV", "an image of a disk (VMDK)", IMAGE),
    magic(0, b"vhdxfile", "an image of a disk (VHDX)", IMAGE),
    magic(0, b"conectix", "an image of a disk (VHD)", IMAGE),
    magic(512, b"LABELONE", "an LVM volume", IMAGE),
    magic(
        512,
        b"EFI PART",
        "an image of a disk with partitions",
        IMAGE,
    ),
    magic(1080, b"\x53\xef", "an image of an ext4 file system", IMAGE),
    magic(32769, b"CD001", "an image of a CD", IMAGE),
    magic(65600, b"_BHRfS_M", "an image of a btrfs file system", IMAGE),
    // A record of the type CRC, whose length is the file's first word: 4 bytes and as many to fill up.
    magic(
        0,
        b"\x04\0\0\0\0\0\0\x84\x08\x04",
        "a file of etcd's write-ahead log",
        &[
            Words("name the data directory that it is in: "),
            Fixed::Task(Task::InspectDataDirectory, &["DIR"]),
        ],
    ),
];

/// What a text begins with.
const TEXTS: &[(&str, &str)] = &[
    ("<!doctype html", "an HTML page, such as a server's error"),
    ("<html", "an HTML page, such as a server's error"),
    ("<?xml", "an XML file, such as an object store's error"),
    ("-----BEGIN", "a PEM file: certificates or keys"),
    ("#!", "a script"),
    ("{", "a JSON file"),
    ("[", "a JSON file"),
];

impl What {
    /// What it is, by its first [`HEAD`] bytes or all there are. None: nothing that is known.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        if head.is_empty() {
            return Some(Self {
                name: "an empty file".to_owned(),
                hint: Some("see what wrote it: its disk may have been full".into()),
            });
        }
        Self::of_head(head)
    }

    /// The same of a part of its beginning.
    pub(super) fn of_head(head: &[u8]) -> Option<Self> {
        let found = MAGICS.iter().find(|magic| {
            let there = head.get(magic.at..magic.at + magic.bytes.len());
            there == Some(magic.bytes)
        });
        if let Some(found) = found {
            return Some(Self {
                name: found.name.to_owned(),
                hint: (!found.hint.is_empty()).then(|| found.hint.into()),
            });
        }
        // bzip2's magic number is text; the digit after it and the first block's number are part of it.
        if head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY") {
            return Some(Self {
                name: "a bzip2 file".to_owned(),
                hint: Some(UNPACK.into()),
            });
        }
        let name = text(head)?;
        Some(Self {
            name: name.to_owned(),
            hint: None,
        })
    }
}

/// Whether a database begins so.
pub(super) fn is_database(head: &[u8]) -> bool {
    let magic = head.get(BOLT_AT..BOLT_AT + 4);
    BOLT.iter().any(|known| magic == Some(known.as_slice()))
}

/// What text it is; none: it is no text.
fn text(head: &[u8]) -> Option<&'static str> {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if valid
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return None;
    }
    let begin = valid.trim_start().get(..20).unwrap_or(valid.trim_start());
    let begin = begin.to_ascii_lowercase();
    let known = TEXTS
        .iter()
        .find(|(words, _)| begin.starts_with(&words.to_ascii_lowercase()));
    Some(known.map_or("a text file", |(_, name)| name))
}
