//! The latest change of every user's key, whatever order the changes come in.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use crate::records::RevisionKey;

/// For each key its latest change, and what the caller wants to remember of it.
///
/// Keys are told apart by a 64-bit keyed hash: 24 bytes for each key besides `T`, and up to as many again for the
/// table's free places, whatever the key's length. Among ten million keys two would be taken for one with a chance of
/// 3 in a million.
pub(crate) struct LatestChanges<T> {
    keys: RandomState,
    latest: HashMap<u64, (Latest, T), BuildHasherDefault<AsItIs>>,
}

/// When a key changed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Latest {
    main: u64,
    /// Sub-revision, and in the lowest bit whether it is a deletion.
    sub: u64,
}

impl Latest {
    /// Before any change.
    pub(crate) const NONE: Self = Self { main: 0, sub: 0 };

    pub(crate) fn new(at: RevisionKey) -> Self {
        // Sub-revisions are below 2^63 (Revision::parse).
        Self {
            main: at.revision.main,
            sub: at.revision.sub << 1 | u64::from(at.deletion),
        }
    }

    pub(crate) fn is_deletion(self) -> bool {
        self.sub & 1 == 1
    }
}

impl<T> LatestChanges<T> {
    pub(crate) fn new(keys: RandomState) -> Self {
        Self {
            keys,
            latest: HashMap::default(),
        }
    }

    /// Takes up a change; `remember` is called if it is the latest of its key so far.
    pub(crate) fn change(&mut self, key: &[u8], at: RevisionKey, remember: impl FnOnce() -> T) {
        let (hash, latest) = (self.keys.hash_one(key), Latest::new(at));
        if self
            .latest
            .get(&hash)
            .is_none_or(|(known, _)| *known < latest)
        {
            self.latest.insert(hash, (latest, remember()));
        }
    }

    /// Whether the key's latest change is this one.
    pub(crate) fn is_latest(&self, key: &[u8], at: RevisionKey) -> bool {
        self.latest
            .get(&self.keys.hash_one(key))
            .is_some_and(|(latest, _)| *latest == Latest::new(at))
    }

    /// What is remembered of the keys that are not deleted.
    pub(crate) fn live(&self) -> impl Iterator<Item = &T> {
        self.latest
            .values()
            .filter(|(latest, _)| !latest.is_deletion())
            .map(|(_, remembered)| remembered)
    }

    /// What is remembered of all keys, deleted or not.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.latest.values().map(|(_, remembered)| remembered)
    }

    /// Takes up the changes another one was told of.
    pub(crate) fn append(&mut self, mut other: Self) {
        if self.latest.len() < other.latest.len() {
            std::mem::swap(&mut self.latest, &mut other.latest);
        }
        for (hash, entry) in other.latest {
            if self
                .latest
                .get(&hash)
                .is_none_or(|(known, _)| *known < entry.0)
            {
                self.latest.insert(hash, entry);
            }
        }
    }
}

/// Passes on keys that are hashes already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
