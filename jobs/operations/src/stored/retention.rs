//! Which of the stored snapshots of one cluster may go.
//!
//! All times are those that stand in the descriptions, so that neither a clock that jumped nor a copied file changes what
//! is old. Days and weeks are those of UTC, weeks those of ISO 8601.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::report::Reason;

/// How many to keep. A snapshot stays when any rule keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// The newest so many.
    #[serde(default)]
    pub last: u32,
    /// The newest of each day, for the newest so many days that have one.
    #[serde(default)]
    pub daily: u32,
    /// The newest of each week, for the newest so many weeks that have one.
    #[serde(default)]
    pub weekly: u32,
    /// All that are at most so many seconds older than the newest.
    #[serde(default)]
    pub within_seconds: u64,
}

impl Rules {
    /// Whether they keep nothing: then nothing was asked for.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// For each of these times, at which snapshots of one cluster that were found whole were begun, why it stays; those for
/// which there is no reason may go. Of several that were begun at the same time the later in the list counts as newer.
pub fn decide(taken: &[Timestamp], rules: &Rules, now: Timestamp) -> Vec<Vec<Reason>> {
    let mut reasons = vec![Vec::new(); taken.len()];
    let mut newest_first: Vec<usize> = (0..taken.len()).filter(|&i| taken[i] <= now).collect();
    newest_first.sort_by_key(|&i| std::cmp::Reverse((taken[i], i)));
    for (i, reasons) in reasons.iter_mut().enumerate() {
        if taken[i] > now {
            reasons.push(Reason::InFuture);
        }
    }
    let Some(&newest) = newest_first.first() else {
        return reasons;
    };
    reasons[newest].push(Reason::Newest);
    for &i in newest_first.iter().take(count(rules.last)) {
        reasons[i].push(Reason::Last);
    }
    for i in newest_of_each(&newest_first, rules.daily, |i| date(taken[i])) {
        reasons[i].push(Reason::Daily);
    }
    let week = |i: usize| {
        let week = date(taken[i]).iso_week_date();
        (week.year(), week.week())
    };
    for i in newest_of_each(&newest_first, rules.weekly, week) {
        reasons[i].push(Reason::Weekly);
    }
    if rules.within_seconds > 0 {
        let within = Duration::from_secs(rules.within_seconds);
        for &i in &newest_first {
            if taken[newest].duration_since(taken[i]).unsigned_abs() <= within {
                reasons[i].push(Reason::Within);
            }
        }
    }
    reasons
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn date(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// The first of each period in this order, of the first so many periods.
fn newest_of_each<P: std::hash::Hash + Eq>(
    newest_first: &[usize],
    periods: u32,
    period: impl Fn(usize) -> P,
) -> Vec<usize> {
    let mut seen = HashSet::new();
    newest_first
        .iter()
        .copied()
        .filter(|&i| seen.insert(period(i)))
        .take(count(periods))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn stay(taken: &[&str], rules: Rules) -> Vec<Vec<Reason>> {
        let taken: Vec<_> = taken.iter().map(|text| at(text)).collect();
        decide(&taken, &rules, at("2026-11-21T12:00:00Z"))
    }

    #[test]
    fn each_rule_keeps_what_it_says() {
        let taken = [
            "2026-11-08T03:00:00Z", // Sunday, the week before last
            "2026-11-19T03:00:00Z",
            "2026-11-20T03:00:00Z",
            "2026-11-20T21:00:00Z",
            "2026-11-21T03:00:00Z",
        ];
        let only = |rules| -> Vec<usize> {
            let reasons = stay(&taken, rules);
            (0..taken.len())
                .filter(|&i| !reasons[i].is_empty())
                .collect()
        };
        let none = Rules::default();
        assert_eq!(only(Rules { last: 2, ..none }), [3, 4]);
        assert_eq!(only(Rules { daily: 2, ..none }), [3, 4]);
        assert_eq!(only(Rules { daily: 3, ..none }), [1, 3, 4]);
        assert_eq!(only(Rules { weekly: 2, ..none }), [0, 4]);
        assert_eq!(
            only(Rules {
                within_seconds: 86_400,
                ..none
            }),
            [2, 3, 4]
        );
        assert_eq!(only(none), [4], "the newest always stays");
    }

    #[test]
    fn a_clock_that_was_ahead_neither_removes_nor_is_counted() {
        let rules = Rules {
            last: 1,
            within_seconds: 3600,
            ..Rules::default()
        };
        let reasons = stay(&["2026-11-21T03:00:00Z", "2031-01-01T00:00:00Z"], rules);
        assert_eq!(reasons[1], [Reason::InFuture]);
        assert_eq!(reasons[0], [Reason::Newest, Reason::Last, Reason::Within]);
    }

    /// What the rules say, in so many words: a snapshot stays if fewer than N newer periods (or snapshots) are there.
    fn model(taken: &[Timestamp], rules: &Rules, now: Timestamp, i: usize) -> bool {
        if taken[i] > now {
            return true;
        }
        let past: Vec<usize> = (0..taken.len()).filter(|&j| taken[j] <= now).collect();
        let newer = |j: usize| (taken[j], j) > (taken[i], i);
        let newer_ones: Vec<usize> = past.iter().copied().filter(|&j| newer(j)).collect();
        let newest = past.iter().map(|&j| taken[j]).max().unwrap();
        let days = |j: usize| taken[j].as_second().div_euclid(86_400);
        // Weeks begin on Mondays; 1970-01-05 was one.
        let weeks = |j: usize| (days(j) - 4).div_euclid(7);
        let by_period = |n: u32, period: &dyn Fn(usize) -> i64| {
            let periods: HashSet<i64> = newer_ones.iter().map(|&j| period(j)).collect();
            !periods.contains(&period(i)) && periods.len() < n as usize
        };
        newer_ones.is_empty()
            || newer_ones.len() < rules.last as usize
            || by_period(rules.daily, &days)
            || by_period(rules.weekly, &weeks)
            || (rules.within_seconds > 0
                && newest.as_second() - taken[i].as_second()
                    <= i64::try_from(rules.within_seconds).unwrap())
    }

    proptest! {
        #[test]
        fn it_decides_as_the_plain_model_does(
            hours in proptest::collection::vec(0i64..24 * 90, 0..40),
            (last, daily, weekly) in (0u32..6, 0u32..10, 0u32..6),
            within_hours in 0u64..200,
        ) {
            let begin = at("2026-09-01T00:30:00Z").as_second();
            let now = at("2026-11-21T12:00:00Z");
            let taken: Vec<_> = hours.iter().map(|h| Timestamp::from_second(begin + h * 3600).unwrap()).collect();
            let rules = Rules { last, daily, weekly, within_seconds: within_hours * 3600 };
            let reasons = decide(&taken, &rules, now);
            for (i, reasons) in reasons.iter().enumerate() {
                prop_assert_eq!(!reasons.is_empty(), model(&taken, &rules, now, i), "{} of {:?}", i, &taken);
            }
        }

        #[test]
        fn more_rules_never_remove_more(
            hours in proptest::collection::vec(0i64..2000, 0..30),
            (last, daily) in (0u32..6, 0u32..10),
        ) {
            let now = at("2027-11-21T12:00:00Z");
            let begin = at("2026-09-01T00:00:00Z").as_second();
            let taken: Vec<_> = hours.iter().map(|h| Timestamp::from_second(begin + h * 3600).unwrap()).collect();
            let few = decide(&taken, &Rules { last, ..Rules::default() }, now);
            let more = decide(&taken, &Rules { last, daily, ..Rules::default() }, now);
            for (few, more) in few.iter().zip(&more) {
                prop_assert!(few.is_empty() || !more.is_empty());
            }
        }
    }
}
