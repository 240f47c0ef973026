//! Times in names and in texts, always in UTC.

use jiff::Timestamp;

/// A name with a time, such as that of a snapshot taken now, without its ending. Names of one prefix sort by time.
pub fn of_time(prefix: &str, now: Timestamp) -> String {
    format!("{prefix}-{}", now.strftime("%Y-%m-%dT%H%M%SZ"))
}

/// A time as people are told it: to the second, in UTC.
pub fn to_the_second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whether a name, without its ending, is one of [`of_time`], perhaps with a number behind it.
pub(crate) fn is_of_time(stem: &str) -> bool {
    let unnumbered = stem.rsplit_once('_').filter(|(_, number)| {
        !number.is_empty() && number.len() < 3 && number.bytes().all(|b| b.is_ascii_digit())
    });
    let stem = unnumbered.map_or(stem, |(stem, _)| stem);
    let Some(at) = stem.len().checked_sub("-2026-11-20T210000Z".len()) else {
        return false;
    };
    let Some((prefix, time)) = stem.split_at_checked(at) else {
        return false;
    };
    let pattern = time
        .bytes()
        .map(|b| if b.is_ascii_digit() { b'0' } else { b });
    !prefix.is_empty() && pattern.eq(*b"-0000-00-00T000000Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot_name::prefix;

    proptest! {
        #[test]
        fn names_made_here_are_known_again(cluster in ".{0,90}", other in ".{0,40}") {
            let name = of_time(&prefix(&cluster), Timestamp::UNIX_EPOCH);
            prop_assert!(is_of_time(&name));
            let second = name + "_7";
            prop_assert!(is_of_time(&second));
            let _ = is_of_time(&other);
        }
    }
}
