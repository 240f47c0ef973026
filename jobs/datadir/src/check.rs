//! What is checked and summed while the leaves come by.

use std::hash::RandomState;

use crate::crc::Joined;
use crate::error::Damage;
use crate::kubernetes::is_object;
use crate::latest::LatestChanges;
use crate::page::Leaf;
use crate::plan::Plan;
use crate::records::kv::{self, KeyValue, RevisionKey};
use crate::records::{BadRecord, Kind, Revision};
use crate::status::Status;

/// Checks leaves and sums their records.
pub(crate) struct Check<'p> {
    plan: &'p Plan,
    kinds: Vec<Kind>,
    /// Whether every record is decoded; else only as much as counting live keys needs.
    decode: bool,
    sums: Vec<Sum>,
    records: u64,
    last_revision: Revision,
    live: LatestChanges<()>,
    has_objects: bool,
    damage: Found,
}

/// CRC-32C and length of the records of one leaf.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    crc: u32,
    len: u32,
}

/// Damage found, as much of it as is kept.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) kept: Vec<Damage>,
    pub(crate) left_out: u64,
}

impl Found {
    /// What one wants to read; a broken file can have a finding for every page.
    const LIMIT: usize = 100;

    pub(crate) fn push(&mut self, damage: Damage) {
        if self.kept.len() < Self::LIMIT {
            self.kept.push(damage);
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.left_out += other.left_out;
        other.kept.into_iter().for_each(|damage| self.push(damage));
    }
}

impl<'p> Check<'p> {
    pub(crate) fn new(plan: &'p Plan, decode: bool, keys: &RandomState) -> Self {
        Self {
            plan,
            kinds: plan
                .buckets
                .iter()
                .map(|planned| Kind::of(&planned.bucket.name))
                .collect(),
            decode,
            sums: Vec::new(),
            records: 0,
            last_revision: Revision::default(),
            live: LatestChanges::new(keys.clone()),
            has_objects: false,
            damage: Found::default(),
        }
    }

    /// Checks leaf `index` of the plan.
    pub(crate) fn leaf(&mut self, index: usize, page: u64, run: &[u8]) {
        let bucket = self.plan.bucket_of(index);
        let end = self
            .plan
            .buckets
            .get(bucket)
            .map_or(0, |planned| planned.leaves.end);
        let (low, high) = (self.plan.low(index), self.plan.high(index, end));
        let summed =
            Leaf::parse(page, run).and_then(|leaf| self.sum(bucket, &leaf, run, low, high));
        match summed {
            Ok(sum) => self.sums.push(sum),
            Err(damage) => self.damage.push(damage),
        }
    }

    pub(crate) fn damage(&mut self, damage: Damage) {
        self.damage.push(damage);
    }

    fn sum(
        &mut self,
        bucket: usize,
        leaf: &Leaf<'_>,
        bytes: &[u8],
        low: &[u8],
        high: Option<&[u8]>,
    ) -> Result<Sum, Damage> {
        let page = leaf.page();
        let mut sum = Sum::default();
        let (mut pending, mut last): (std::ops::Range<usize>, Option<&[u8]>) = (0..0, None);
        for (index, at) in (0..).zip(leaf.positions()) {
            let at = at?;
            let (key, value) = (&bytes[at.key..at.value], &bytes[at.value..at.end]);
            if last.is_some_and(|last| last >= key) {
                return Err(Damage::KeyOrder { page, index });
            }
            if last.is_none() && key < low {
                return Err(Damage::KeyRange { page, index });
            }
            last = Some(key);
            if bucket == ROOT {
                continue;
            }
            if at.is_bucket {
                return Err(self.nested(bucket, page, index));
            }
            self.record(bucket, page, index, key, value);
            // Key and value lie side by side, and mostly so do the records: one long sum beats many short ones.
            if pending.end != at.key {
                sum.add(&bytes[pending]);
                pending = at.key..at.key;
            }
            pending.end = at.end;
        }
        if let (Some(last), Some(high)) = (last, high)
            && last >= high
        {
            return Err(Damage::KeyRange {
                page,
                index: leaf.len() - 1,
            });
        }
        sum.add(&bytes[pending]);
        Ok(sum)
    }

    fn nested(&self, bucket: usize, page: u64, index: u32) -> Damage {
        let what = "a bucket within a bucket, which etcd never makes";
        Damage::Bucket {
            page,
            index,
            bucket: self.bucket_name(bucket),
            what,
        }
    }

    fn bucket_name(&self, bucket: usize) -> String {
        self.plan
            .buckets
            .get(bucket)
            .map(|planned| planned.bucket.printable_name())
            .unwrap_or_default()
    }

    fn record(&mut self, bucket: usize, page: u64, index: u32, key: &[u8], value: &[u8]) {
        self.records += 1;
        let kind = self.kinds.get(bucket).copied().unwrap_or(Kind::Unknown);
        let checked = match kind {
            Kind::Key => self.change(key, value),
            _ if self.decode => kind.check(key, value),
            _ => Ok(()),
        };
        if let Err(bad) = checked {
            let bucket = self.bucket_name(bucket);
            self.damage.push(Damage::Record {
                page,
                index,
                bucket,
                what: bad.to_string(),
            });
        }
    }

    fn change(&mut self, key: &[u8], value: &[u8]) -> Result<(), BadRecord> {
        let (at, kv) = if self.decode {
            kv::decode(key, value)?
        } else {
            (
                RevisionKey::parse(key).ok_or(BadRecord::RevisionKey)?,
                KeyValue::decode(value)?,
            )
        };
        self.last_revision = self.last_revision.max(at.revision);
        self.live.change(kv.key, at, || ());
        // One is enough: nobody deletes all of a cluster's objects.
        self.has_objects = self.has_objects || (!at.deletion && is_object(kv.key, kv.value));
        Ok(())
    }

    /// Takes in what another check found in the leaves that lie behind this one's.
    pub(crate) fn append(&mut self, other: Self) {
        self.sums.extend_from_slice(&other.sums);
        self.records += other.records;
        self.last_revision = self.last_revision.max(other.last_revision);
        self.live.append(other.live);
        self.has_objects |= other.has_objects;
        self.damage.append(other.damage);
    }

    /// Puts the sums together in key order; `order` is the file order the leaves came in. No status when leaves are
    /// missing.
    pub(crate) fn finish(mut self, order: &[u32], found: &mut Found) -> Option<Status> {
        let mut by_key = vec![Sum::default(); self.plan.leaves.len()];
        let complete = self.sums.len() == by_key.len();
        for (index, sum) in order.iter().zip(&self.sums) {
            if let Some(slot) = by_key.get_mut(*index as usize) {
                *slot = *sum;
            }
        }
        let mut hash = Joined::new();
        for (number, planned) in self.plan.buckets.iter().enumerate().skip(ROOT + 1) {
            hash.append(&planned.bucket.name);
            for sum in &by_key[planned.leaves.clone()] {
                hash.append_sum(sum.crc, u64::from(sum.len));
            }
            if planned.bucket.is_inline() {
                let bytes = &planned.bucket.inline;
                let sum = Leaf::parse(planned.bucket.page, bytes)
                    .and_then(|leaf| self.sum(number, &leaf, bytes, &[], None));
                match sum {
                    Ok(sum) => hash.append_sum(sum.crc, u64::from(sum.len)),
                    Err(damage) => self.damage.push(damage),
                }
            }
        }
        let status = Status {
            hash: hash.value(),
            revision: self.last_revision.main,
            total_keys_all: self.records,
            total_keys_live: self.live.live().count() as u64,
            has_objects: self.has_objects,
            ..Status::default()
        };
        found.append(self.damage);
        complete.then_some(status)
    }
}

/// The root bucket's place among the planned ones.
const ROOT: usize = 0;

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        // Elements share no bytes, and a run is at most 64 MiB (tree::MAX_RUN_BYTES): it cannot overflow.
        self.len = self
            .len
            .saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }
}
