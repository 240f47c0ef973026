//! CRC-32C of pieces that are read in another order than they are counted in.
//!
//! etcd's status hash runs over the records in key order; the pages lie in the file in another one. The CRC of two
//! pieces put together follows from the CRC of each and the length of the second, so each page's records are summed
//! where they are read, and the sums are put together in key order at the end.

/// The Castagnoli polynomial, bits reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// A CRC-32C that pieces are appended to, either as bytes or as CRC and length.
#[derive(Debug)]
pub(crate) struct Joined {
    crc: u32,
    /// x^(8·2^k) modulo the polynomial, for each bit k of a length.
    powers: [u32; 64],
    last: (u64, u32),
}

impl Joined {
    pub(crate) fn new() -> Self {
        let mut powers = [0; 64];
        // x^8; in the reflected order bit 31 is x^0.
        let mut power = 1 << (31 - 8);
        for slot in &mut powers {
            *slot = power;
            power = multiply(power, power);
        }
        Self {
            crc: 0,
            powers,
            last: (0, 1 << 31),
        }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
    }

    /// Appends a piece of `len` bytes with the CRC-32C `crc`.
    pub(crate) fn append_sum(&mut self, crc: u32, len: u64) {
        self.crc = multiply(self.crc, self.shift(len)) ^ crc;
    }

    pub(crate) fn value(&self) -> u32 {
        self.crc
    }

    /// x^(8·len) modulo the polynomial. Pages hold alike lengths, so the last answer is often the next one.
    fn shift(&mut self, len: u64) -> u32 {
        if self.last.0 != len {
            let bits = (0..64).filter(|k| len >> k & 1 == 1);
            let power = bits.fold(1 << 31, |product, k| multiply(product, self.powers[k]));
            self.last = (len, power);
        }
        self.last.1
    }
}

/// Product of two polynomials modulo the CRC's.
fn multiply(a: u32, b: u32) -> u32 {
    let (mut product, mut b) = (0, b);
    for bit in (0..32).rev() {
        // Without branches: the bits are as good as random, and a wrong guess costs more than the work saved.
        product ^= b & (a >> bit & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_give_the_sum_of_the_whole(pieces in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..700)), 0..12)
        ) {
            let mut joined = Joined::new();
            for (as_sum, piece) in &pieces {
                if *as_sum {
                    joined.append_sum(crc32c::crc32c(piece), piece.len() as u64);
                } else {
                    joined.append(piece);
                }
            }
            let whole: Vec<u8> = pieces.into_iter().flat_map(|(_, piece)| piece).collect();
            prop_assert_eq!(joined.value(), crc32c::crc32c(&whole));
        }
    }
}
