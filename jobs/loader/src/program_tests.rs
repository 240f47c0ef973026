//! Tests of joining, inflating and checking.

use super::*;
use miniz_oxide::deflate::compress_to_vec;
use proptest::prelude::*;

fn join<'p>(parts: impl IntoIterator<Item = &'p [u8]>, size: usize) -> Result<Vec<u8>, Wrong> {
    // Rubbish on purpose: what was in the memory before must not show.
    let mut memory = vec![0xA5; size + 1];
    let mut joined = Joined::into_memory(&mut memory);
    for part in parts {
        joined.push(part)?;
    }
    joined.finish()?;
    memory.truncate(size);
    Ok(memory)
}

fn sample() -> Vec<u8> {
    (0..50_000_u32)
        .flat_map(|n| (n.wrapping_mul(n) >> 7).to_le_bytes())
        .collect()
}

#[test]
fn one_part_or_many_give_the_program() {
    let program = sample();
    let stream = compress_to_vec(&program, 9);
    for length in [1, 2, 1000, stream.len() - 1, stream.len(), stream.len() + 1] {
        assert_eq!(
            join(stream.chunks(length), program.len()).unwrap(),
            program,
            "parts of {length}"
        );
    }
}

/// The inflater calls its memory full before it has seen that the stream ends there; that was taken for too large.
#[test]
fn the_end_of_the_stream_may_come_after_the_last_byte_of_the_program() {
    let program = sample();
    let stream = compress_to_vec(&program, 9);
    for behind in 1..16 {
        let (head, tail) = stream.split_at(stream.len() - behind);
        let parts = std::iter::once(head).chain(tail.chunks(1));
        assert_eq!(
            join(parts, program.len()).unwrap(),
            program,
            "{behind} bytes one by one"
        );
    }
}

#[test]
fn empty_pieces_change_nothing() {
    let program = sample();
    let stream = compress_to_vec(&program, 9);
    let (head, tail) = stream.split_at(stream.len() / 2);
    assert_eq!(
        join([&[], head, &[], tail, &[]], program.len()).unwrap(),
        program
    );
}

#[test]
fn a_missing_part_is_refused_wherever_it_was() {
    let program = sample();
    let stream = compress_to_vec(&program, 9);
    let parts: Vec<&[u8]> = stream.chunks(stream.len() / 4 + 1).collect();
    for missing in 0..parts.len() {
        let mut rest = parts.clone();
        rest.remove(missing);
        // Without a part in the middle, what follows can still look like a stream; then the digest is the judge.
        match join(rest, program.len()) {
            Err(_) => {}
            Ok(other) => assert_ne!(Digest::of(&other), Digest::of(&program), "part {missing}"),
        }
    }
    assert_eq!(
        join(parts[..3].iter().copied(), program.len()),
        Err(Wrong::Cut)
    );
}

#[test]
fn no_part_at_all_is_cut() {
    assert_eq!(join([], 10), Err(Wrong::Cut));
}

#[test]
fn anything_after_the_end_is_refused() {
    let program = sample();
    let stream = compress_to_vec(&program, 9);
    let mut longer = stream.clone();
    longer.push(0);
    assert_eq!(join([&longer[..]], program.len()), Err(Wrong::Trailing));
    assert_eq!(
        join([&stream[..], &[0]], program.len()),
        Err(Wrong::Trailing)
    );
    assert_eq!(
        join([&stream[..], &stream[..]], program.len()),
        Err(Wrong::Trailing)
    );
}

#[test]
fn the_announced_size_binds() {
    let program = sample();
    let stream = compress_to_vec(&program, 9);
    assert_eq!(join([&stream[..]], program.len() - 1), Err(Wrong::TooLarge));
    assert_eq!(join([&stream[..]], 1), Err(Wrong::TooLarge));
    assert_eq!(
        join(stream.chunks(1), program.len() - 1),
        Err(Wrong::TooLarge)
    );
    assert_eq!(
        join(stream.chunks(1), program.len() + 1),
        Err(Wrong::TooSmall)
    );
    assert_eq!(join([&stream[..]], program.len() + 1), Err(Wrong::TooSmall));
}

/// A stream of a few KiB that would inflate to 64 MiB stops at the size it must have.
#[test]
fn a_bomb_does_not_grow_beyond_the_programs_size() {
    let stream = compress_to_vec(&vec![0; 64 << 20], 9);
    assert!(stream.len() < 80_000);
    assert_eq!(join([&stream[..]], 4096), Err(Wrong::TooLarge));
}

proptest! {
    #[test]
    fn any_program_survives_any_cutting(
        program in proptest::collection::vec(any::<u8>(), 1..5000),
        cuts in proptest::collection::vec(1_usize..700, 0..40),
        level in 0_u8..=10,
    ) {
        let stream = compress_to_vec(&program, level);
        let mut rest = &stream[..];
        let mut parts = Vec::new();
        for cut in cuts {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = after;
        }
        parts.push(rest);
        prop_assert_eq!(join(parts, program.len()).unwrap(), program);
    }

    #[test]
    fn a_flipped_bit_never_passes(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let program = &sample()[..3_000];
        let mut stream = compress_to_vec(program, 9);
        let position = at.index(stream.len());
        stream[position] ^= 1 << bit;
        match join([&stream[..]], program.len()) {
            Err(_) => {}
            // Padding means nothing, and a repetition may be copied from another place with the same bytes.
            Ok(other) if other == program => {}
            Ok(other) => prop_assert_ne!(Digest::of(&other), Digest::of(program)),
        }
    }

    #[test]
    fn every_cut_is_noticed(at in any::<prop::sample::Index>()) {
        let program = &sample()[..3_000];
        let stream = compress_to_vec(program, 9);
        prop_assert_eq!(join([&stream[..at.index(stream.len())]], program.len()), Err(Wrong::Cut));
    }

    #[test]
    fn rubbish_never_panics(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8), size in 1_usize..10_000) {
        let _ = join(pieces.iter().map(|piece| &piece[..]), size);
    }
}
