//! When a schedule is due. Kubernetes decides that itself; this is for what is shown.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// So far is looked ahead, so that nights and weekends are among the gaps; and never at more runs than these.
const AHEAD: SignedDuration = SignedDuration::from_hours(8 * 24);
const MOST_RUNS: usize = 2000;
/// At least so many runs, however rare.
const LEAST_RUNS: usize = 3;

fn parse(cron: &str) -> Option<Cron> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser.parse(cron).ok()
}

fn zoned(time: Timestamp, zone: &str) -> Zoned {
    // Without a time zone database UTC is as good: what is told is when and how often, not at what o'clock.
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    time.to_zoned(zone)
}

/// The first time after this one at which a schedule is due; none: it cannot be told.
pub fn due_after(cron: &str, zone: &str, time: Timestamp) -> Option<Timestamp> {
    let next = parse(cron)?.find_next_occurrence(&zoned(time, zone), false);
    next.ok().map(|next| next.timestamp())
}

/// The longest time between two runs one after another that are due soon; none: it cannot be told.
pub fn interval(cron: &str, zone: &str, now: Timestamp) -> Option<Duration> {
    let parsed = parse(cron)?;
    let mut at = zoned(now, zone);
    let mut due = Vec::new();
    while due.len() < LEAST_RUNS
        || (at.timestamp().duration_since(now) < AHEAD && due.len() < MOST_RUNS)
    {
        at = parsed.find_next_occurrence(&at, false).ok()?;
        due.push(at.timestamp());
    }
    let gaps = due.windows(2).filter_map(|two| {
        let gap = two[1].duration_since(two[0]);
        Duration::try_from(gap).ok()
    });
    gaps.max()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3600;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn intervals_are_the_longest_gap() {
        let now = at("2026-11-21T12:00:00Z");
        let hours = |cron: &str| interval(cron, "Etc/UTC", now).map(|gap| gap.as_secs() / HOUR);
        assert_eq!(hours("0 3 * * *"), Some(24));
        assert_eq!(hours("0 */6 * * *"), Some(6));
        assert_eq!(hours("0 3 * * 1-5"), Some(72), "over a weekend");
        assert_eq!(hours("@daily"), Some(24));
        assert_eq!(hours("0 3 * * SUN"), Some(24 * 7));
        assert_eq!(
            hours("0 8-20 * * 1-5"),
            Some(60),
            "from Friday evening to Monday"
        );
        assert_eq!(hours("*/5 3 * * *"), Some(23), "a block of runs each night");
        assert_eq!(
            interval("* * * * *", "Etc/UTC", now),
            Some(Duration::from_secs(60))
        );
        for none in ["", "nonsense", "0 0 3 * * *", "61 * * * *", "0 0 30 2 *"] {
            assert_eq!(hours(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_is_due_is_after_and_not_at() {
        let due = due_after("0 3 * * *", "Etc/UTC", at("2026-11-21T03:00:00Z"));
        assert_eq!(due, Some(at("2026-11-22T03:00:00Z")));
        let unknown = due_after("0 3 * * *", "No/Where", at("2026-11-21T03:00:00Z"));
        assert_eq!(unknown, due);
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(cron in "[-0-9*/,a-zA-Z@# ?LW]{0,20}") {
            let now = at("2026-11-21T12:00:00Z");
            if let Some(gap) = interval(&cron, "Etc/UTC", now) {
                prop_assert!(gap >= Duration::from_secs(60), "{:?}", gap);
            }
            if let Some(due) = due_after(&cron, "Etc/UTC", now) {
                prop_assert!(due > now);
            }
        }
    }
}
