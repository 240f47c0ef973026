//! The names of WAL segments and the order they make.

use std::fmt;
use std::io;
use std::path::Path;

/// Name of a segment, `<sequence>-<index>.wal`. Ordered as etcd reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Number of the segment; the first of a WAL is 0, the next one more.
    pub sequence: u64,
    /// Raft index of the first entry the segment may hold: one after the last entry before it.
    pub index: u64,
}

impl SegmentName {
    /// Reads a file name; `None` for what etcd would not take for a segment (`.tmp`, `.broken` and others).
    #[must_use]
    pub fn parse(file_name: &str) -> Option<Self> {
        let (sequence, index) = file_name.strip_suffix(".wal")?.split_once('-')?;
        Some(Self {
            sequence: hex16(sequence)?,
            index: hex16(index)?,
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.wal", self.sequence, self.index)
    }
}

fn hex16(digits: &str) -> Option<u64> {
    if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// The segments in a WAL directory, in order. Other files are passed over, as etcd does.
///
/// # Errors
/// When the directory cannot be read.
pub fn list_segments(wal_dir: &Path) -> io::Result<Vec<SegmentName>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(wal_dir)? {
        if let Some(name) = entry?.file_name().to_str().and_then(SegmentName::parse) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_passed_over() {
        let name = SegmentName {
            sequence: 10,
            index: 0xabcdef,
        };
        assert_eq!(name.to_string(), "000000000000000a-0000000000abcdef.wal");
        assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        for other in [
            "0.tmp",
            "000000000000000a-0000000000abcdef.wal.broken",
            "a-b.wal",
            "000000000000000a.wal",
            ".wal",
        ] {
            assert_eq!(SegmentName::parse(other), None, "{other}");
        }
    }
}
