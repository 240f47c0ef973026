//! How long something that fails in passing is tried again, and with which pauses.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// The limits of a [`Patience`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retries {
    /// The shortest and the longest pause between tries.
    pub pause: (Duration, Duration),
    /// For so long nothing may succeed.
    pub patience: Duration,
    /// A try that held for so long succeeded: what comes next is another failure.
    pub held: Duration,
}

/// The tries of something that fails in passing.
pub(crate) struct Patience {
    retries: Retries,
    pauses: ExponentialBackoff,
    /// When the last try began.
    begun: Instant,
    /// When the first of those failed that failed in a row.
    failed: Option<Instant>,
}

impl Patience {
    /// The first try begins now.
    pub(crate) fn new(retries: Retries) -> Self {
        let (shortest, longest) = retries.pause;
        Self {
            retries,
            pauses: ExponentialBuilder::default()
                .with_min_delay(shortest)
                .with_max_delay(longest)
                .without_max_times()
                .with_jitter()
                .build(),
            begun: Instant::now(),
            failed: None,
        }
    }

    /// The pause after a try that failed now, if there is to be another one.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Duration> {
        if now.duration_since(self.begun) >= self.retries.held {
            *self = Self::new(self.retries);
        }
        let failed = *self.failed.get_or_insert(now);
        let lasts = now.duration_since(failed) < self.retries.patience;
        let pause = self.pauses.next().filter(|_| lasts)?;
        self.begun = now + pause;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: Retries = Retries {
        pause: (Duration::from_millis(300), Duration::from_secs(8)),
        patience: Duration::from_secs(120),
        held: Duration::from_secs(60),
    };

    #[test]
    fn what_fails_is_given_its_time_and_no_more() {
        let begun = Instant::now();
        let mut now = begun;
        let mut patience = Patience::new(RETRIES);
        let first = patience.next(now).unwrap();
        assert!(first < Duration::from_secs(1), "{first:?}");
        while let Some(pause) = patience.next(now) {
            // Somebody who does not answer is waited for as well.
            now += pause + Duration::from_secs(10);
        }
        let took = now.duration_since(begun);
        let most = RETRIES.patience + RETRIES.pause.1 * 2 + Duration::from_secs(10);
        assert!(took >= RETRIES.patience && took < most, "{took:?}");
        now += RETRIES.held;
        assert!(patience.next(now).is_some(), "a try that held for long");
    }
}
