//! The list of free pages, where a database has one.
//!
//! etcd on Linux keeps none in the file; databases made by other tools, by etcd on other systems or by etcd before
//! 3.2 do. Then it must name exactly the pages the tree does not use: bbolt hands out what it names, and a page both
//! used and free is lost with the next write.

use crate::Error;
use crate::bitmap::Bitmap;
use crate::error::Damage;
use crate::page::{FREELIST, HEADER_LEN, Header};
use crate::plan::Plan;
use crate::tree::Database;

/// Which pages are used, one bit each.
pub(crate) struct Pages {
    used: Bitmap,
    page_size: usize,
    list_pages: u64,
}

impl Pages {
    pub(crate) fn new(plan: &Plan, high_water: u64, page_size: u32) -> Self {
        let mut pages = Self {
            used: Bitmap::new(high_water),
            page_size: page_size as usize,
            list_pages: 0,
        };
        pages.set(0, 2);
        for (page, count) in &plan.branches {
            pages.set(u64::from(*page), u64::from(*count));
        }
        pages
    }

    /// Marks the pages of a run of this many bytes.
    pub(crate) fn mark(&mut self, page: u64, bytes: usize) {
        self.set(page, (bytes / self.page_size) as u64);
    }

    fn set(&mut self, page: u64, count: u64) {
        for page in page..page.saturating_add(count) {
            self.used.insert(page);
        }
    }

    /// Pages the list itself fills.
    pub(crate) fn list_pages(&self) -> u64 {
        self.list_pages
    }

    /// Compares the list with the pages marked.
    pub(crate) fn compare(
        &mut self,
        db: &mut Database<'_>,
        found: &mut dyn FnMut(Damage),
    ) -> Result<(), Error> {
        let Some(page) = db.meta().freelist else {
            return Ok(());
        };
        let (header, run) = match read_list(db, page) {
            Ok(read) => read,
            Err(Error::Damaged { damage, .. }) => {
                found(damage);
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        self.list_pages = header.run_pages();
        let mut bad = |what: String| found(Damage::Freelist { page, what });
        for own in page..page + header.run_pages() {
            if self.used.contains(own) {
                bad(format!("its page {own} belongs to the tree as well"));
            }
        }
        self.set(page, header.run_pages());
        let high_water = db.meta().high_water;
        for id in ids(&header, &run, &mut bad) {
            if !(2..high_water).contains(&id) {
                bad(format!("names page {id}; expected 2 to {}", high_water - 1));
            } else if !self.used.insert(id) {
                bad(format!("names page {id}, which is used, or named twice"));
            }
        }
        let lost = (0..high_water)
            .filter(|page| !self.used.contains(*page))
            .count();
        if lost > 0 {
            bad(format!("leaves out {lost} pages that nothing uses"));
        }
        Ok(())
    }
}

fn read_list(db: &mut Database<'_>, page: u64) -> Result<(Header, Vec<u8>), Error> {
    let mut run = Vec::new();
    let header = db.read_any_run(page, 0, &mut run)?;
    if header.flags != FREELIST {
        let expected = "0x0010, a list of free pages";
        return Err(db.damaged(Damage::PageKind {
            page,
            found: header.flags,
            expected,
        }));
    }
    Ok((header, run))
}

/// The numbers in the list. A count of 65535 means that the first entry is the real count.
fn ids<'r>(
    header: &Header,
    run: &'r [u8],
    bad: &mut dyn FnMut(String),
) -> impl Iterator<Item = u64> + use<'r> {
    let mut entries = run[HEADER_LEN.min(run.len())..]
        .as_chunks::<8>()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes));
    let count = match header.count {
        u16::MAX => entries.next().unwrap_or(0),
        count => u64::from(count),
    };
    if count > entries.len() as u64 {
        bad(format!("claims {count} entries, more than its pages hold"));
    }
    entries.take(usize::try_from(count).unwrap_or(usize::MAX))
}
