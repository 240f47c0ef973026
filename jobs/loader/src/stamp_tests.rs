//! Tests of the stamp, in a file of their own: stamp.rs is compiled into another program too.

use crate::stamp::{BLANK, BLOCK, LARGEST_PROGRAM, MOST_PARTS, Stamp};

fn stamp() -> Stamp {
    Stamp {
        digest: [7; 32],
        size_bytes: 5_500_000,
        parts: 4,
    }
}

#[test]
fn what_was_filled_in_is_read() {
    assert_eq!(Stamp::read(&stamp().block()), Some(stamp()));
}

#[test]
fn a_blank_block_starts_nothing() {
    assert_eq!(Stamp::read(&BLANK), None);
}

#[test]
fn a_block_with_another_beginning_is_none() {
    let mut block = stamp().block();
    block[0] ^= 1;
    assert_eq!(Stamp::read(&block), None);
}

#[test]
fn sizes_and_counts_that_cannot_be_are_refused() {
    for (size_bytes, parts) in [
        (0, 1),
        (LARGEST_PROGRAM + 1, 1),
        (usize::MAX, 1),
        (1, 0),
        (1, MOST_PARTS + 1),
    ] {
        let odd = Stamp {
            size_bytes,
            parts,
            ..stamp()
        };
        assert_eq!(Stamp::read(&odd.block()), None, "{odd:?}");
        assert!(!odd.fill_in(&mut BLANK.to_vec()), "{odd:?}");
    }
}

#[test]
fn only_a_loader_with_one_blank_block_is_filled_in() {
    let mut loader = [&b"before"[..], &BLANK, b"after"].concat();
    assert!(stamp().fill_in(&mut loader));
    assert_eq!(loader.len(), 6 + BLOCK + 5);
    assert_eq!(loader[6..6 + BLOCK], stamp().block());
    assert!(!stamp().fill_in(&mut loader), "it is filled in by now");
    assert!(!stamp().fill_in(&mut [BLANK, BLANK].concat()));
    assert!(!stamp().fill_in(&mut Vec::new()));
}
