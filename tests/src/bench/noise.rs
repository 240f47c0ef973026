//! Numbers without a pattern, the same in every run.

/// Marsaglia's xorshift.
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new() -> Self {
        Self(1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
