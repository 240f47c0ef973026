//! Changes counted by key.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, RandomState};

use super::{Amounts, Group, Object, Sizes, Usage, UsageOptions};
use crate::changes::Change;
use crate::kubernetes::object_name;
use crate::latest::{AsItIs, Latest};

/// What is known of every key so far.
#[derive(Default)]
pub(super) struct Tally {
    names: Names,
    keys: Vec<Key>,
}

#[derive(Clone, Copy)]
struct Key {
    latest: Latest,
    latest_bytes: u64,
    all_bytes: u64,
    revisions: u64,
}

/// The keys' names, numbered in the order they were first seen.
#[derive(Default)]
pub(super) struct Names {
    hasher: RandomState,
    numbers: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    /// All names one after the other.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    /// The number of a key. Keys are told apart by a 64-bit keyed hash, as in [`crate::latest`].
    pub(super) fn number(&mut self, key: &[u8]) -> u32 {
        let next = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        let number = *self
            .numbers
            .entry(self.hasher.hash_one(key))
            .or_insert(next);
        if number == next {
            self.text.extend_from_slice(key);
            self.ends.push(self.text.len());
        }
        number
    }

    fn get(&self, number: usize) -> &[u8] {
        let start = number
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }
}

impl Tally {
    pub(super) fn with_names(names: Names) -> Self {
        Self {
            names,
            keys: Vec::new(),
        }
    }

    pub(super) fn change(&mut self, change: &Change<'_>) {
        let number = self.names.number(change.kv.key);
        self.count(number, Latest::new(change.at), change.size);
    }

    /// Counts a change of the key with this number.
    pub(super) fn count(&mut self, number: u32, latest: Latest, size: u64) {
        let number = number as usize;
        if self.keys.len() <= number {
            let none = Key {
                latest: Latest::NONE,
                latest_bytes: 0,
                all_bytes: 0,
                revisions: 0,
            };
            self.keys.resize(number + 1, none);
        }
        let key = &mut self.keys[number];
        key.revisions += 1;
        key.all_bytes += size;
        if key.revisions == 1 || latest > key.latest {
            (key.latest, key.latest_bytes) = (latest, size);
        }
    }

    pub(super) fn finish(&self, options: &UsageOptions, sizes: &Sizes) -> Usage {
        let mut all = Amounts::default();
        let (mut resources, mut namespaces) = (Groups::default(), Groups::default());
        let (mut largest, mut history, mut revisions) = (
            Top::new(options.top),
            Top::new(options.top),
            Top::new(options.top),
        );
        for (number, key) in self
            .keys
            .iter()
            .enumerate()
            .filter(|(_, key)| key.revisions > 0)
        {
            let amounts = key.amounts();
            let key_name = self.names.get(number);
            let name = object_name(key_name, &options.prefix);
            all.add(&amounts);
            resources.add(name.as_ref().map_or("", |name| &name.resource), &amounts);
            namespaces.add(
                name.as_ref().and_then(|name| name.namespace).unwrap_or(""),
                &amounts,
            );
            largest.offer(amounts.bytes(), key_name, number);
            history.offer(amounts.history_bytes, key_name, number);
            revisions.offer(amounts.revisions, key_name, number);
        }
        Usage {
            database_bytes: sizes.database_bytes,
            free_bytes: sizes.free_bytes,
            key_bytes: sizes.key_bytes,
            all,
            resources: resources.sorted(),
            namespaces: namespaces.sorted(),
            largest: self.objects(largest),
            most_history: self.objects(history),
            most_revisions: self.objects(revisions),
        }
    }

    fn objects(&self, top: Top<'_>) -> Vec<Object> {
        let found = top
            .sorted()
            .into_iter()
            .filter_map(|number| Some((number, self.keys.get(number)?)));
        found
            .map(|(number, key)| Object {
                key: printable(self.names.get(number)),
                amounts: key.amounts(),
            })
            .collect()
    }
}

impl Key {
    fn amounts(&self) -> Amounts {
        let live = !self.latest.is_deletion();
        let live_bytes = if live { self.latest_bytes } else { 0 };
        Amounts {
            keys: u64::from(live),
            deleted_keys: u64::from(!live),
            revisions: self.revisions,
            live_bytes,
            history_bytes: self.all_bytes - live_bytes,
        }
    }
}

fn printable(key: &[u8]) -> String {
    std::str::from_utf8(key).map_or_else(
        |_| key.escape_ascii().to_string(),
        |text| text.escape_debug().to_string(),
    )
}

#[derive(Default)]
struct Groups(BTreeMap<String, Amounts>);

impl Groups {
    fn add(&mut self, name: &str, amounts: &Amounts) {
        match self.0.get_mut(name) {
            Some(group) => group.add(amounts),
            None => {
                self.0.insert(name.to_owned(), *amounts);
            }
        }
    }

    /// Most bytes first; among equals by name.
    fn sorted(self) -> Vec<Group> {
        let mut groups: Vec<Group> = self
            .0
            .into_iter()
            .map(|(name, amounts)| Group { name, amounts })
            .collect();
        groups.sort_by_key(|group| Reverse(group.amounts.bytes()));
        groups
    }
}

/// The few largest of many; among equals the first by name.
struct Top<'n> {
    limit: usize,
    kept: BinaryHeap<Reverse<Entry<'n>>>,
}

/// Ordered by amount, then by name from the last to the first.
type Entry<'n> = (u64, Reverse<&'n [u8]>, usize);

impl<'n> Top<'n> {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BinaryHeap::new(),
        }
    }

    fn offer(&mut self, amount: u64, name: &'n [u8], number: usize) {
        if amount == 0 || self.limit == 0 {
            return;
        }
        let entry = Reverse((amount, Reverse(name), number));
        if self.kept.len() < self.limit {
            self.kept.push(entry);
        } else if self.kept.peek().is_some_and(|smallest| entry < *smallest) {
            self.kept.pop();
            self.kept.push(entry);
        }
    }

    fn sorted(self) -> Vec<usize> {
        self.kept
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse((_, _, number))| number)
            .collect()
    }
}
