//! The program out of its parts: one raw deflate stream, cut into parts at any byte, inflated into memory of the size
//! the program must have, and checked against its SHA-256.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use sha2::{Digest as _, Sha256};

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// What is wrong with the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The stream breaks its own rules: a part is damaged, foreign or in the wrong place.
    Damaged,
    /// The parts end before the stream does: one is missing or was cut.
    Cut,
    /// Something follows the end of the stream.
    Trailing,
    /// The program is larger than it must be.
    TooLarge,
    /// The stream ends before the program is as large as it must be.
    TooSmall,
}

impl Wrong {
    /// The sentence for standard error.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Damaged => "the parts are damaged or not in order",
            Self::Cut => "the parts end too early: one is missing or was cut",
            Self::Trailing => "there is more in the parts than the program",
            Self::TooLarge => "the program in the parts is larger than it must be",
            Self::TooSmall => "the program in the parts is smaller than it must be",
        }
    }
}

/// Inflates the parts, given piece by piece, into memory that is one byte larger than the program must be.
///
/// The byte is never part of the program. Without it the inflater could not tell a program that is too large from one
/// that is complete while the end of the stream is still to come: it says of both that its memory is full.
pub struct Joined<'m> {
    inflater: DecompressorOxide,
    memory: &'m mut [u8],
    written: usize,
    complete: bool,
}

impl<'m> Joined<'m> {
    /// Begins with nothing; `memory` has the program's size and one byte more, and its content does not matter.
    #[must_use]
    pub fn into_memory(memory: &'m mut [u8]) -> Self {
        Self {
            inflater: DecompressorOxide::new(),
            memory,
            written: 0,
            complete: false,
        }
    }

    /// Takes the next piece of the stream, of any length.
    ///
    /// # Errors
    /// When the stream is wrong up to here; then nothing more may be pushed.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Wrong> {
        if self.complete {
            return if piece.is_empty() {
                Ok(())
            } else {
                Err(Wrong::Trailing)
            };
        }
        const FLAGS: u32 = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
        let (status, consumed, written) =
            decompress(&mut self.inflater, piece, self.memory, self.written, FLAGS);
        self.written = self.written.saturating_add(written);
        match status {
            TINFLStatus::NeedsMoreInput => Ok(()),
            TINFLStatus::Done if consumed < piece.len() => Err(Wrong::Trailing),
            TINFLStatus::Done => {
                self.complete = true;
                Ok(())
            }
            TINFLStatus::HasMoreOutput => Err(Wrong::TooLarge),
            TINFLStatus::FailedCannotMakeProgress
            | TINFLStatus::BadParam
            | TINFLStatus::Adler32Mismatch
            | TINFLStatus::Failed
            | _ => Err(Wrong::Damaged),
        }
    }

    /// Ends the stream: it and the program must be complete.
    ///
    /// # Errors
    /// When either is not.
    pub fn finish(self) -> Result<(), Wrong> {
        if !self.complete {
            Err(Wrong::Cut)
        } else if self.written == self.memory.len() {
            Err(Wrong::TooLarge)
        } else if self.written.saturating_add(1) < self.memory.len() {
            Err(Wrong::TooSmall)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
