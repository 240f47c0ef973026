//! One bit for each page.

/// A set of page numbers below a limit.
pub(crate) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            words: vec![0; usize::try_from(limit.div_ceil(64)).unwrap_or(0)],
        }
    }

    /// Puts a page in; whether it was not in before. One beyond the limit is never put in.
    pub(crate) fn insert(&mut self, page: u64) -> bool {
        let Some(word) = usize::try_from(page / 64)
            .ok()
            .and_then(|word| self.words.get_mut(word))
        else {
            return false;
        };
        let bit = 1 << (page % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn contains(&self, page: u64) -> bool {
        let word = usize::try_from(page / 64)
            .ok()
            .and_then(|word| self.words.get(word));
        word.is_some_and(|word| word >> (page % 64) & 1 == 1)
    }
}
