//! How the loader fails: the exit codes, which the plugin tells apart.

/// Each kind of failure and its exit code. The program's own exit codes are all below 120, and a signal's above 127,
/// so a container that ended with one of these never got as far as the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// The loader was built for no program.
    Blank = 120,
    /// A part is not there or cannot be read.
    Unreadable = 121,
    /// The parts do not make up a program of the size the loader was built for.
    Parts = 122,
    /// The program is not the one the loader was built for.
    Digest = 123,
    /// The node gives no memory file or does not let it be executed.
    Refused = 124,
    /// A mistake in the loader itself.
    Internal = 125,
}

impl Failure {
    /// The code the loader exits with.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [
            Failure::Blank,
            Failure::Unreadable,
            Failure::Parts,
            Failure::Digest,
            Failure::Refused,
            Failure::Internal,
        ]
        .map(Failure::exit_code);
        assert_eq!(codes, [120, 121, 122, 123, 124, 125]);
    }
}
