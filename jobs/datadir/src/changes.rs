//! The bucket `key`, read once and in the order of the file.

use std::sync::Arc;

use crate::Error;
use crate::error::Damage;
use crate::page::Leaf;
use crate::plan::Plan;
use crate::progress::{OnProgress, report};
use crate::records::{KeyValue, RevisionKey, kv};
use crate::scan::{Extent, Scanned, Visitor, scan};
use crate::tree::Database;

/// The pages of the bucket `key`, ready to be read.
pub(crate) struct Changes {
    pub(crate) plan: Plan,
    pub(crate) order: Vec<u32>,
}

/// Called for each leaf page: its number in key order, the page with its bytes.
pub(crate) type OnLeaf<'v> = &'v mut dyn FnMut(usize, &Leaf<'_>, &[u8]) -> Result<(), Damage>;

/// One change of a user's key.
pub(crate) struct Change<'a> {
    pub(crate) at: RevisionKey,
    pub(crate) kv: KeyValue<'a>,
    /// Bytes it takes in its page: element, key and value.
    pub(crate) size: u64,
}

impl Changes {
    pub(crate) fn new(db: &mut Database<'_>) -> Result<Self, Error> {
        let plan = Plan::of_bucket(db, "key")?;
        let order = plan.file_order();
        Ok(Self { plan, order })
    }

    /// Visits the leaves, in any order. Damage ends it.
    pub(crate) fn leaves(
        &self,
        db: &Database<'_>,
        visit: OnLeaf<'_>,
        on_progress: OnProgress<'_>,
    ) -> Result<Scanned, Error> {
        let total = db.meta().database_size();
        let file = db.source().name();
        for planned in self
            .plan
            .buckets
            .iter()
            .filter(|planned| planned.bucket.is_inline())
        {
            let bucket = &planned.bucket;
            Leaf::parse(bucket.page, &bucket.inline)
                .and_then(|leaf| visit(0, &leaf, &bucket.inline))
                .map_err(|damage| Error::damaged(file, damage))?;
        }
        let extent = Extent {
            bytes: 0..total,
            every_byte: false,
        };
        let mut visitor = Leaves {
            file,
            visit,
            on_progress,
            total,
        };
        scan(
            db.source(),
            db.meta(),
            &self.plan,
            &self.order,
            &extent,
            &mut visitor,
        )
    }

    /// Visits the changes, in any order. Damage ends it.
    pub(crate) fn each(
        &self,
        db: &Database<'_>,
        visit: &mut dyn FnMut(Change<'_>),
        on_progress: OnProgress<'_>,
    ) -> Result<Scanned, Error> {
        self.leaves(db, &mut |_, leaf, _| each_change(leaf, visit), on_progress)
    }
}

/// Visits the changes in a leaf of the bucket `key`.
pub(crate) fn each_change(
    leaf: &Leaf<'_>,
    visit: &mut dyn FnMut(Change<'_>),
) -> Result<(), Damage> {
    let page = leaf.page();
    for (index, element) in (0..).zip(leaf.elements()) {
        let element = element?;
        let bad = |what: String| Damage::Record {
            page,
            index,
            bucket: "key".to_owned(),
            what,
        };
        let (at, kv) = kv::decode(element.key, element.value).map_err(|e| bad(e.to_string()))?;
        let size = (crate::page::ELEMENT_LEN + element.key.len() + element.value.len()) as u64;
        visit(Change { at, kv, size });
    }
    Ok(())
}

struct Leaves<'v, 'p> {
    file: &'v str,
    visit: OnLeaf<'v>,
    on_progress: OnProgress<'p>,
    total: u64,
}

impl Visitor for Leaves<'_, '_> {
    fn leaf(&mut self, index: usize, page: u64, run: &[u8]) -> Result<(), Error> {
        let visited = Leaf::parse(page, run).and_then(|leaf| (self.visit)(index, &leaf, run));
        visited.map_err(|damage| Error::damaged(self.file, damage))
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Error> {
        Err(Error::damaged(self.file, damage))
    }

    fn chunk(&mut self, offset: u64, bytes: &Arc<Vec<u8>>) -> Result<(), Error> {
        report(
            &mut *self.on_progress,
            offset + bytes.len() as u64,
            self.total,
        )
    }
}
