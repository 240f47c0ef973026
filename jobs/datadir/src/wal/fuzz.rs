//! What the fuzz target and the property tests call.

use std::path::Path;

use crate::progress::ignore;

use super::{SegmentName, read_segments};

/// Reads any bytes as a WAL of one segment and, split in two, of two; must end without a panic.
pub fn wal(bytes: &[u8]) {
    let Some((&split, rest)) = bytes.split_first() else {
        return;
    };
    let split = (usize::from(split) * 8).min(rest.len());
    let (first, second) = rest.split_at(split);
    for files in [
        vec![(0, rest)],
        vec![(0, first), (1, second)],
        vec![(3, first), (9, second)],
    ] {
        let name = |sequence| SegmentName {
            sequence,
            index: sequence,
        };
        let names: Vec<_> = files
            .iter()
            .map(|(n, bytes)| (name(*n), bytes.len() as u64))
            .collect();
        let open = |wanted: SegmentName| {
            let found = files.iter().find(|(n, _)| *n == wanted.sequence);
            Ok(found.map_or(&[][..], |(_, bytes)| bytes))
        };
        let summary = read_segments(
            Path::new("fuzz"),
            &names,
            open,
            bytes.len() as u64,
            &mut ignore,
        );
        assert!(
            summary.is_ok_and(|s| s.is_some()),
            "memory does not fail to read"
        );
    }
}
