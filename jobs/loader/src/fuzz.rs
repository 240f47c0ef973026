//! What the fuzz target and the property test call: any bytes in, no panic out, and what must always hold does.

use crate::program::{Joined, Wrong};
use crate::stamp::{BLOCK, Stamp};

/// The largest program that is tried, and the byte more that [`Joined`] wants.
const MEMORY: usize = (16 << 10) + 1;

/// Reads any bytes as a loader's stamp, and as the parts of a program. The first two say how large the program is, the third
/// how long the pieces are in which it comes.
pub fn loader(bytes: &[u8]) {
    for block in bytes.windows(BLOCK).take(64) {
        if let Some(stamp) = block.first_chunk().and_then(Stamp::read) {
            assert!(Stamp::read(&stamp.block()) == Some(stamp));
        }
    }
    let [low, high, piece, stream @ ..] = bytes else {
        return;
    };
    let size = usize::from(u16::from_le_bytes([*low, *high])) % MEMORY;
    let (mut one, mut other) = ([0; MEMORY], [0; MEMORY]);
    let whole = joined(stream, stream.len().max(1), &mut one, size);
    let pieces = joined(stream, usize::from(*piece).max(1), &mut other, size);
    assert!(
        whole.is_ok() == pieces.is_ok(),
        "in pieces it reads another way"
    );
    let same = one.get(..size) == other.get(..size);
    assert!(whole.is_err() || same, "in pieces it is another program");
}

fn joined(stream: &[u8], piece: usize, memory: &mut [u8], size: usize) -> Result<(), Wrong> {
    let Some(memory) = memory.get_mut(..=size) else {
        return Err(Wrong::TooLarge);
    };
    let mut joined = Joined::into_memory(memory);
    for piece in stream.chunks(piece) {
        joined.push(piece)?;
    }
    joined.finish()
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..2000), less in 0_u16..2) {
            super::loader(&bytes);
            let size = u16::try_from(bytes.len()).unwrap().saturating_sub(less).to_le_bytes();
            super::loader(&[&size[..], &[7], &compress_to_vec(&bytes, 1)].concat());
        }
    }
}
