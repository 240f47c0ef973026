//! Reading a bundle. What is not exactly as this project writes it is refused: a tar archive says the same thing in many
//! ways, and readers that disagree about one are how archives do harm.
//!
//! The blocks are read one by one and not by [`tar::Archive`], which skips what fills up blocks unseen, follows extended
//! headers, and does not tell an archive's end from a cut.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::entry::{BLOCK, Entry};
use super::input::Content;
use super::{Sum, UnpackError};
use crate::pack::{DESCRIPTION, SNAPSHOT};
use crate::report::Contents;
use crate::stored::description::Description;
use crate::transfer::hex;

/// The most entries.
pub const MOST_ENTRIES: usize = 10_000;
/// The largest file beside the snapshot, in bytes.
const LARGEST: u64 = 16 << 20;
/// All files beside the snapshot, in bytes.
pub const MOST_TOGETHER: u64 = 256 << 20;
/// The largest description, in bytes.
const LARGEST_DESCRIPTION: u64 = 4 << 20;
/// The most zeros after the end: tar fills up whole records of 10 KiB, and with `-b` larger ones.
const ZEROS: u64 = 1 << 20;

/// Where the snapshot in a bundle goes.
pub(super) trait Keep {
    /// So many bytes will come.
    fn announce(&mut self, bytes: u64) -> Result<(), UnpackError>;

    /// Takes what comes next.
    fn write(&mut self, bytes: &[u8]) -> Result<(), UnpackError>;

    /// What came is known by this.
    fn sum(&self) -> Result<Sum, UnpackError>;
}

/// Reads all of a bundle: the snapshot into a file, the rest only to see that it is what the description says.
pub(super) fn read(
    content: &mut Content<'_>,
    snapshot: &mut dyn Keep,
) -> Result<Description, UnpackError> {
    let mut bundle = Bundle {
        content,
        top: None,
        files: BTreeMap::new(),
        together: 0,
        description: None,
    };
    while let Some(entry) = bundle.next()? {
        bundle.take(&entry, snapshot)?;
    }
    bundle.check()
}

struct Bundle<'b, 'r> {
    content: &'b mut Content<'r>,
    top: Option<String>,
    files: BTreeMap<String, Sum>,
    together: u64,
    description: Option<Vec<u8>>,
}

impl Bundle<'_, '_> {
    /// The next entry's header; none: the archive is at its end, and nothing follows.
    fn next(&mut self) -> Result<Option<Entry>, UnpackError> {
        let block = block(self.content)?;
        if is_zero(&block) {
            return self.end().map(|()| None);
        }
        let number = self.files.len() + 1;
        if self.description.is_some() {
            return Err(self.foreign(format!("something follows {DESCRIPTION}")));
        }
        if number > MOST_ENTRIES {
            return Err(self.foreign(format!("it has more than {MOST_ENTRIES} entries")));
        }
        let entry =
            Entry::parse(&block).map_err(|what| self.foreign(format!("entry {number} {what}")))?;
        let top = self.top.get_or_insert_with(|| entry.top.clone());
        if *top != entry.top {
            let what = format!("it has two top folders, {top:?} and {:?}", entry.top);
            return Err(self.foreign(what));
        }
        Ok(Some(entry))
    }

    /// Reads an entry's bytes.
    fn take(&mut self, entry: &Entry, snapshot: &mut dyn Keep) -> Result<(), UnpackError> {
        let is_first = self.files.is_empty();
        match entry.path.as_str() {
            SNAPSHOT if is_first => {
                snapshot.announce(entry.size)?;
                self.content
                    .exactly(entry.size, |bytes| snapshot.write(bytes))?;
                self.files.insert(entry.path.clone(), snapshot.sum()?);
            }
            path if is_first => {
                return Err(self.foreign(format!("it begins with {path:?} instead of {SNAPSHOT}")));
            }
            DESCRIPTION => {
                self.limit(entry, LARGEST_DESCRIPTION)?;
                let mut text = Vec::new();
                self.content.exactly(entry.size, |bytes| {
                    text.extend_from_slice(bytes);
                    Ok(())
                })?;
                self.description = Some(text);
            }
            _ => self.small(entry)?,
        }
        filling(self.content, entry.size)
    }

    fn small(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.limit(entry, LARGEST)?;
        self.together += entry.size;
        if self.together > MOST_TOGETHER {
            let what = format!("the files beside {SNAPSHOT} have more than {MOST_TOGETHER} bytes");
            return Err(self.foreign(what));
        }
        if self.files.contains_key(&entry.path) {
            return Err(self.foreign(format!("{:?} is in it twice", entry.path)));
        }
        let mut sha = Sha256::new();
        self.content.exactly(entry.size, |bytes| {
            sha.update(bytes);
            Ok(())
        })?;
        let sum = Sum {
            size_bytes: entry.size,
            sha256: hex(&sha.finalize()),
        };
        self.files.insert(entry.path.clone(), sum);
        Ok(())
    }

    fn limit(&self, entry: &Entry, limit: u64) -> Result<(), UnpackError> {
        if entry.size <= limit {
            return Ok(());
        }
        let (path, size) = (&entry.path, entry.size);
        Err(self.foreign(format!("{path:?} has {size} bytes, more than {limit}")))
    }

    /// After the first block of zeros: another one, and nothing else.
    fn end(&mut self) -> Result<(), UnpackError> {
        let mut zero = is_zero(&block(self.content)?);
        let after = self.content.at_most(ZEROS + 1, |bytes| {
            zero &= is_zero(bytes);
            Ok(())
        })?;
        if !zero || after > ZEROS {
            return Err(self.foreign("its end is followed by something"));
        }
        Ok(())
    }

    /// Compares what was read with what the description says.
    fn check(self) -> Result<Description, UnpackError> {
        let damaged = |what: String| self.content.damaged(what);
        let Some(text) = &self.description else {
            return Err(damaged(format!("{DESCRIPTION} is missing: it was cut")));
        };
        let description = Description::parse(text)
            .map_err(|what| damaged(format!("{DESCRIPTION} is not understood: {what}")))?;
        let Some(contents) = &description.contents else {
            return Err(damaged(format!("{DESCRIPTION} does not say what is in it")));
        };
        compare(&self.files, contents, DESCRIPTION).map_err(damaged)?;
        Ok(description)
    }

    fn foreign(&self, what: impl std::fmt::Display) -> UnpackError {
        foreign(self.content, what)
    }
}

/// The error of what this project does not write.
pub(super) fn foreign(content: &Content<'_>, what: impl std::fmt::Display) -> UnpackError {
    content.damaged(format!("not a bundle as kubectl etcd writes it: {what}"))
}

/// The next block.
fn block(content: &mut Content<'_>) -> Result<[u8; BLOCK], UnpackError> {
    let block = content.block()?;
    block.try_into().map_err(|_| content.cut())
}

/// What fills up the last block of an entry of this size: zeros.
pub(super) fn filling(content: &mut Content<'_>, size: u64) -> Result<(), UnpackError> {
    let over = size % BLOCK as u64;
    if over == 0 {
        return Ok(());
    }
    let mut zero = true;
    content.exactly(BLOCK as u64 - over, |bytes| {
        zero &= is_zero(bytes);
        Ok(())
    })?;
    if !zero {
        return Err(foreign(
            content,
            "a file's last block is not filled up with zeros",
        ));
    }
    Ok(())
}

/// Whether these files are those that `who` says; an error says which is not.
pub(super) fn compare(
    files: &BTreeMap<String, Sum>,
    contents: &Contents,
    who: &str,
) -> Result<(), String> {
    let mut described = BTreeSet::new();
    for file in &contents.files {
        let path = &file.path;
        if !described.insert(path) {
            return Err(format!("{who} describes {path:?} twice"));
        }
        let found = files
            .get(path)
            .ok_or_else(|| format!("{path:?} is missing"))?;
        if found.size_bytes != file.size_bytes {
            let (found, size) = (found.size_bytes, file.size_bytes);
            return Err(format!("{path:?} has {found} bytes instead of {size}"));
        }
        if found.sha256 != file.sha256 {
            return Err(format!(
                "{path:?} is not what it was: its sha256 is another one"
            ));
        }
    }
    match files.keys().find(|path| !described.contains(path)) {
        Some(path) => Err(format!("{path:?} is in it, and {who} does not say so")),
        None => Ok(()),
    }
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
