//! A store's history made up, and what is to be said of it, worked out with plain maps.

use std::collections::BTreeMap;

use etcd_datadir::records::Revision;

use super::Numbers;
use super::bolt::{NamedRecords, Record};

/// What a history is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    pub(crate) changes: usize,
    pub(crate) keys: usize,
    pub(crate) value_len: usize,
    /// Compacted at this part of the history, in percent.
    pub(crate) compacted_percent: usize,
    pub(crate) seed: u64,
}

/// A change as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) revision: Revision,
    pub(crate) deletion: bool,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// A made-up store.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) stored: Vec<Stored>,
    pub(crate) compacted: Option<u64>,
    pub(crate) current: u64,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f | 0x80).unwrap());
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A record as etcd stores it: key, create and modification revision and version, value.
pub(crate) fn encode(key: &[u8], numbers: [u64; 3], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, key);
    for (field, number) in (2..).zip(numbers) {
        varint(&mut out, field << 3);
        varint(&mut out, number);
    }
    bytes(&mut out, 5, value);
    out
}

impl Model {
    /// Makes up a history and compacts it as etcd does.
    pub(crate) fn new(history: &History) -> Self {
        let mut numbers = Numbers::new(history.seed);
        let mut live: BTreeMap<Vec<u8>, (u64, u64)> = BTreeMap::new();
        let (mut stored, mut main) = (Vec::new(), 1);
        while stored.len() < history.changes {
            main += 1;
            let mut touched = Vec::new();
            for sub in 0..1 + numbers.next() % 3 {
                let number = numbers.below(history.keys);
                if touched.contains(&number) {
                    continue;
                }
                touched.push(number);
                let resource = ["pods", "secrets", "minions", "example.com/widgets"][number % 4];
                let key =
                    format!("/registry/{resource}/ns-{}/object-{number}", number % 7).into_bytes();
                let revision = Revision { main, sub };
                let deletion = live.contains_key(&key) && numbers.below(5) == 0;
                if deletion {
                    live.remove(&key);
                    let mut value = Vec::new();
                    bytes(&mut value, 1, &key);
                    stored.push(Stored {
                        revision,
                        deletion,
                        key,
                        value,
                    });
                    continue;
                }
                let known = live.entry(key.clone()).or_insert((main, 0));
                known.1 += 1;
                let (len, limit) = (numbers.below(history.value_len + 1), history.value_len);
                // Now and then one that needs pages of its own.
                let len = if numbers.below(40) == 0 {
                    len + 4 * limit
                } else {
                    len
                };
                let value = encode(&key, [known.0, main, known.1], &numbers.bytes(len));
                stored.push(Stored {
                    revision,
                    deletion,
                    key,
                    value,
                });
            }
        }
        let compacted =
            (history.compacted_percent > 0).then(|| main * history.compacted_percent as u64 / 100);
        let mut model = Self {
            stored,
            compacted,
            current: main,
        };
        if let Some(compacted) = compacted {
            let latest = model.latest(compacted);
            model.stored.retain(|change| {
                change.revision.main > compacted
                    || (latest.get(&change.key) == Some(&change.revision) && !change.deletion)
            });
        }
        model
    }

    /// The latest change of each key up to a revision, deletions included.
    pub(crate) fn latest(&self, revision: u64) -> BTreeMap<Vec<u8>, Revision> {
        let upto = self
            .stored
            .iter()
            .filter(|change| change.revision.main <= revision);
        upto.map(|change| (change.key.clone(), change.revision))
            .collect()
    }

    /// The buckets of an etcd 3.6 with this history.
    pub(crate) fn buckets(&self) -> Vec<NamedRecords> {
        let mut meta: Vec<Record> = vec![
            (b"consistent_index".to_vec(), 77u64.to_be_bytes().to_vec()),
            (b"term".to_vec(), 3u64.to_be_bytes().to_vec()),
            (
                b"confState".to_vec(),
                br#"{"voters":[1],"auto_leave":false}"#.to_vec(),
            ),
            (b"storageVersion".to_vec(), b"3.6.0".to_vec()),
        ];
        if let Some(compacted) = self.compacted {
            let at = Revision {
                main: compacted,
                sub: 0,
            }
            .encode()
            .to_vec();
            meta.push((b"scheduledCompactRev".to_vec(), at.clone()));
            meta.push((b"finishedCompactRev".to_vec(), at));
        }
        let member = br#"{"id":2748,"peerURLs":["http://a:2380"],"name":"a"}"#.to_vec();
        let lease = (5i64.to_be_bytes().to_vec(), vec![8, 5, 16, 60]);
        vec![
            (
                "alarm".into(),
                vec![(vec![8, 0xbc, 0x15, 16, 1], Vec::new())],
            ),
            ("auth".into(), vec![(b"authEnabled".to_vec(), vec![0])]),
            ("authRoles".into(), Vec::new()),
            ("authUsers".into(), Vec::new()),
            (
                "cluster".into(),
                vec![(b"clusterVersion".to_vec(), b"3.6.0".to_vec())],
            ),
            ("key".into(), self.records()),
            ("lease".into(), vec![lease]),
            ("members".into(), vec![(b"abc".to_vec(), member)]),
            (
                "members_removed".into(),
                vec![(b"def".to_vec(), b"removed".to_vec())],
            ),
            ("meta".into(), meta),
        ]
    }

    fn records(&self) -> Vec<Record> {
        self.stored
            .iter()
            .map(|change| (change.stored_key(), change.value.clone()))
            .collect()
    }

    /// Hash and number of records, as `etcdutl snapshot status` counts them.
    pub(crate) fn status_hash(&self) -> (u32, u64) {
        let (mut hash, mut records) = (0, 0);
        for (name, mut stored) in self.buckets() {
            stored.sort();
            hash = crc32c::crc32c_append(hash, name.as_bytes());
            for (key, value) in stored {
                hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, &key), &value);
                records += 1;
            }
        }
        (hash, records)
    }

    /// Keys that are there at the end.
    pub(crate) fn live(&self) -> Vec<&Stored> {
        let latest = self.latest(u64::MAX);
        self.stored
            .iter()
            .filter(|c| !c.deletion && latest.get(&c.key) == Some(&c.revision))
            .collect()
    }

    /// etcd's `HashKV`, rule by rule.
    pub(crate) fn hashkv(&self, revision: u64) -> u32 {
        let deletions: Vec<Revision> = self
            .stored
            .iter()
            .filter(|c| c.deletion)
            .map(|c| c.revision)
            .collect();
        let keep: Vec<Revision> = self
            .latest(revision)
            .into_values()
            .filter(|revision| !deletions.contains(revision))
            .collect();
        let compacted = self.compacted.unwrap_or(0);
        let mut hash = crc32c::crc32c(b"key");
        for change in &self.stored {
            let main = change.revision.main;
            let swept = main <= compacted && !keep.is_empty() && !keep.contains(&change.revision);
            if main > revision || swept || (main == compacted && change.deletion) {
                continue;
            }
            hash = crc32c::crc32c_append(
                crc32c::crc32c_append(hash, &change.stored_key()),
                &change.value,
            );
        }
        hash
    }
}

impl Stored {
    /// The key it is stored under.
    pub(crate) fn stored_key(&self) -> Vec<u8> {
        let mut key = self.revision.encode().to_vec();
        key.extend(self.deletion.then_some(b't'));
        key
    }

    /// Bytes it takes in its page.
    pub(crate) fn size(&self) -> u64 {
        (16 + self.stored_key().len() + self.value.len()) as u64
    }
}
