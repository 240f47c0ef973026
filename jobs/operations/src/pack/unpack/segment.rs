//! Reading the segment of a bundle that has one node's files, as strictly as a bundle: a node may put anything into it, and
//! what is in the bundle is later unpacked by plain `tar`, as root.
//!
//! What is read is never passed on as it came. The files are packed again, from their bytes.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::bundle::{compare, filling, foreign, is_zero};
use super::entry::{BLOCK, Entry};
use super::input::Content;
use super::{Compression, Sum, UnpackError};
use crate::pack::node::{LARGEST, MOST_BYTES, MOST_FILES};
use crate::pack::segment::Attributes;
use crate::report::{Contents, MASTERS};
use crate::transfer::hex;

/// A file of a node, out of its segment.
#[derive(Debug, Clone)]
pub struct NodeFile {
    /// Its path below the bundle's top folder.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its permissions and its time.
    pub attributes: Attributes,
}

/// What a segment has to be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    /// The bundle's top folder.
    pub top: &'e str,
    /// The node whose files they are.
    pub node: &'e str,
    /// What the node says is in it.
    pub contents: &'e Contents,
}

/// The most that a segment is taken for, packed: as much as what is in it has at most.
pub const LARGEST_SEGMENT: u64 = MOST_BYTES + LARGEST + (8 << 20);

/// Reads all of a segment.
///
/// # Errors
/// When there is anything in it but regular files of this node, of permitted sizes, each once; when it has an archive's end
/// or is cut; and when it is not what the node says.
pub fn read(bytes: &[u8], expected: &Expected<'_>) -> Result<Vec<NodeFile>, UnpackError> {
    let name = format!("the files of {}", expected.node);
    let mut content = Content::plain(bytes, &name).decompressed(Compression::Zstd)?;
    let mut files: Vec<NodeFile> = Vec::new();
    let mut sums = BTreeMap::new();
    let mut together = 0;
    while let Some(entry) = next(&mut content, expected, files.len() + 1)? {
        // A size may be any number: first is seen that it is one that can be added.
        let more = Some(entry.size).filter(|size| *size <= LARGEST);
        let sum = more.map(|size| together + size);
        let Some(sum) = sum.filter(|sum| *sum <= MOST_BYTES + LARGEST) else {
            let what = format!("{:?} makes it too large: {} bytes", entry.path, entry.size);
            return Err(foreign(&content, what));
        };
        together = sum;
        let file = file(&mut content, entry)?;
        let sum = Sum {
            size_bytes: file.bytes.len() as u64,
            sha256: hex(&Sha256::digest(&file.bytes)),
        };
        if sums.insert(file.path.clone(), sum).is_some() {
            let what = format!("{:?} is in it twice", file.path);
            return Err(foreign(&content, what));
        }
        files.push(file);
    }
    compare(&sums, expected.contents, expected.node).map_err(|what| content.damaged(what))?;
    Ok(files)
}

/// The next entry; none: that was all.
fn next(
    content: &mut Content<'_>,
    expected: &Expected<'_>,
    number: usize,
) -> Result<Option<Entry>, UnpackError> {
    let head = content.block()?;
    if head.is_empty() {
        return Ok(None);
    }
    let head: [u8; BLOCK] = head.try_into().map_err(|_| content.cut())?;
    let wrong = |what: String| foreign(content, what);
    if is_zero(&head) {
        return Err(wrong("it has the archive's end in it".to_owned()));
    }
    if number > MOST_FILES {
        return Err(wrong(format!("it has more than {MOST_FILES} files")));
    }
    let entry = Entry::parse(&head).map_err(|what| wrong(format!("entry {number} {what}")))?;
    if entry.top != expected.top || !is_below(&entry.path, expected.node) {
        let Entry { top, path, .. } = &entry;
        return Err(wrong(format!("\"{top}/{path}\" is no file of that node")));
    }
    Ok(Some(entry))
}

fn file(content: &mut Content<'_>, entry: Entry) -> Result<NodeFile, UnpackError> {
    let mut bytes = Vec::new();
    content.exactly(entry.size, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    filling(content, entry.size)?;
    Ok(NodeFile {
        path: entry.path,
        bytes,
        attributes: Attributes {
            mode: entry.mode,
            modified: entry.modified,
        },
    })
}

/// Whether a path below a bundle's top folder is of this node's own files.
pub fn is_below(path: &str, node: &str) -> bool {
    let below = path.strip_prefix(MASTERS);
    let below = below.and_then(|path| path.strip_prefix('/'));
    let below = below.and_then(|path| path.strip_prefix(node));
    below.is_some_and(|path| path.len() > 1 && path.starts_with('/'))
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
