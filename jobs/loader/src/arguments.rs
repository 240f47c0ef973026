//! The loader's command line: `loader DIGEST SIZE PART… -- ARGUMENT…`.

use crate::program::Digest;

/// The largest program that is accepted, in bytes. What is carried is at most 8 MB in a release build; the room above
/// it is for development builds. It bounds what a wrong command line can make the loader ask of the node's memory.
pub const LARGEST_PROGRAM: usize = 64 << 20;

/// Why a command line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The first argument is not a SHA-256 in 64 hexadecimal digits.
    Digest,
    /// The second argument is not a decimal number from 1 to [`LARGEST_PROGRAM`].
    Size,
    /// No part is named before `--`.
    NoPart,
    /// There is no `--` between the parts and the program's own arguments.
    NoSeparator,
}

impl Refused {
    /// The sentence for standard error.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Digest => "the first argument is not a sha256 in 64 hexadecimal digits",
            Self::Size => {
                "the second argument is not the program's size in bytes (at most 67108864)"
            }
            Self::NoPart => "no part is named",
            Self::NoSeparator => "'--' is missing between the parts and the program's arguments",
        }
    }
}

/// What the first two arguments say about the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// SHA-256 of the inflated program.
    pub digest: Digest,
    /// Size of the inflated program in bytes.
    pub size_bytes: usize,
}

/// A command line that was understood. The parts and the program's arguments are given by position, as the loader hands
/// the kernel its own argument vector, only shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The program that must come out.
    pub expected: Expected,
    /// How many parts are named, from the third argument on.
    pub parts: usize,
}

impl Arguments {
    /// Position of the first part in the argument vector, where 0 is the loader's own name.
    pub const FIRST_PART: usize = 3;

    /// Reads the arguments after the loader's own name.
    ///
    /// # Errors
    /// When the line is not `DIGEST SIZE PART… -- ARGUMENT…`.
    pub fn parse<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Result<Self, Refused> {
        let digest = arguments
            .next()
            .and_then(Digest::from_hex)
            .ok_or(Refused::Digest)?;
        let size_bytes = arguments.next().and_then(decimal).ok_or(Refused::Size)?;
        if size_bytes == 0 || size_bytes > LARGEST_PROGRAM {
            return Err(Refused::Size);
        }
        let expected = Expected { digest, size_bytes };
        match arguments.position(|argument| argument == b"--") {
            None => Err(Refused::NoSeparator),
            Some(0) => Err(Refused::NoPart),
            Some(parts) => Ok(Self { expected, parts }),
        }
    }
}

fn decimal(text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_usize, |number, byte| match byte {
        b'0'..=b'9' => number
            .checked_mul(10)?
            .checked_add(usize::from(byte.wrapping_sub(b'0'))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(line: &[&str]) -> Result<Arguments, Refused> {
        Arguments::parse(line.iter().map(|argument| argument.as_bytes()))
    }

    #[test]
    fn a_whole_line_is_understood() {
        let arguments = parse(&[
            HEX,
            "5500000",
            "/carried/0",
            "/carried/1",
            "--",
            "status",
            "--",
            "x",
        ])
        .unwrap();
        assert_eq!(arguments.parts, 2);
        assert_eq!(arguments.expected.size_bytes, 5_500_000);
        assert_eq!(arguments.expected.digest, Digest::of(b""));
    }

    #[test]
    fn the_program_may_have_no_arguments() {
        assert_eq!(parse(&[HEX, "1", "/carried/0", "--"]).unwrap().parts, 1);
    }

    #[test]
    fn incomplete_lines_are_refused() {
        assert_eq!(parse(&[]), Err(Refused::Digest));
        assert_eq!(parse(&[&HEX[1..], "1", "p", "--"]), Err(Refused::Digest));
        assert_eq!(
            parse(&[&HEX.replace('e', "g"), "1", "p", "--"]),
            Err(Refused::Digest)
        );
        assert_eq!(parse(&[HEX]), Err(Refused::Size));
        assert_eq!(parse(&[HEX, "1", "p"]), Err(Refused::NoSeparator));
        assert_eq!(parse(&[HEX, "1", "--"]), Err(Refused::NoPart));
    }

    #[test]
    fn sizes_that_cannot_be_meant_are_refused() {
        for size in [
            "",
            "0",
            "-1",
            "+1",
            "1k",
            " 1",
            "67108865",
            "18446744073709551616",
            "99999999999999999999999999",
        ] {
            assert_eq!(
                parse(&[HEX, size, "p", "--"]),
                Err(Refused::Size),
                "{size:?}"
            );
        }
        assert!(parse(&[HEX, "67108864", "p", "--"]).is_ok());
    }
}
