//! How single values are written for people: sizes, counts, shares, durations, ages.

use std::time::Duration;

pub use etcd_operations::amounts::{bytes, count, revision};

/// What part of a whole something is, in whole per cent; `0%` of nothing. Never rounded up to 100%.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0%".to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    let rounded = (part * 100 + whole / 2) / whole;
    let shown = if part < whole {
        rounded.min(99)
    } else {
        rounded
    };
    format!("{shown}%")
}

/// How long something took: `0.4 ms`, `12 ms`, `1.3 s`, `2m 05s`.
pub fn took(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 10_000 {
        format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
    } else if micros < 1_000_000 {
        format!("{} ms", micros / 1000)
    } else if micros < 60_000_000 {
        format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000)
    } else {
        let seconds = time.as_secs();
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    }
}

/// How old something is, in its largest unit, as kubectl writes it: `45s`, `12m`, `14h`, `3d`.
pub fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A noun with its number: `1 member`, `3 members`.
pub fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Names in a sentence: `a`, `a and b`, `a, b and c`.
pub fn and<T: AsRef<str>>(names: &[T]) -> String {
    listed(names, "and")
}

/// As [`and`], where one of them is enough: `a, b or c`.
pub fn or<T: AsRef<str>>(names: &[T]) -> String {
    listed(names, "or")
}

fn listed<T: AsRef<str>>(names: &[T], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} {word} {}", first.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::amounts::UNITS;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_short() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (412 * 1024 * 1024, "412 MiB"),
            (2_147_483_648, "2 GiB"),
            (1024 * 1024 - 1, "1 MiB"),
            (10 * 1024 - 1, "10 KiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn durations_and_ages_are_short() {
        assert_eq!(took(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(took(Duration::from_micros(12_900)), "12 ms");
        assert_eq!(took(Duration::from_millis(1_340)), "1.3 s");
        assert_eq!(took(Duration::from_secs(125)), "2m 05s");
        assert_eq!(age(Duration::from_secs(45)), "45s");
        assert_eq!(age(Duration::from_secs(50_400)), "14h");
        assert_eq!(age(Duration::from_secs(86_400 * 3)), "3d");
    }

    #[test]
    fn sentences_count_and_list() {
        assert_eq!(counted(1, "member"), "1 member");
        assert_eq!(counted(0, "member"), "0 members");
        assert_eq!(and(&["a", "b", "c"]), "a, b and c");
        assert_eq!(and::<&str>(&[]), "");
    }

    proptest! {
        #[test]
        fn a_written_size_is_within_five_per_cent(size in 1024u64..1 << 59) {
            let text = bytes(size);
            let (number, unit) = text.split_once(' ').unwrap();
            let exponent = UNITS.iter().position(|known| *known == unit).unwrap();
            let back = number.parse::<f64>().unwrap() * 1024f64.powi(i32::try_from(exponent).unwrap());
            #[expect(clippy::cast_precision_loss, reason = "five per cent are compared")]
            let size = size as f64;
            prop_assert!((back - size).abs() / size < 0.051, "{text} for {size}");
            prop_assert!(text.len() <= 8, "{text}");
        }

        #[test]
        fn a_written_count_reads_back(number: u64) {
            let text = count(number);
            prop_assert_eq!(text.replace(',', "").parse::<u64>().unwrap(), number);
            prop_assert!(text.split(',').skip(1).all(|group| group.len() == 3));
            prop_assert!(!text.starts_with(','));
        }

        #[test]
        fn only_the_whole_is_a_hundred_per_cent(part: u64, whole in 1u64..) {
            let part = part % (whole.saturating_add(1).max(1));
            prop_assert_eq!(percent(part, whole) == "100%", part == whole);
        }

        #[test]
        fn took_never_panics_and_is_short(micros in 0u64..86_400_000_000) {
            prop_assert!(took(Duration::from_micros(micros)).len() <= 9);
        }
    }
}
