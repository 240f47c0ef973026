//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How a condition that does not hold yet describes what it saw.
pub type State = String;

/// The shortest pause before a condition is asked again.
const SHORTEST: Duration = Duration::from_millis(50);

/// The longest one: a condition that takes long to ask is not noticed much later than it holds.
const LONGEST: Duration = Duration::from_secs(1);

/// How long to pause after a question that took so long: three times as long. A kubectl that is started twenty times a second
/// takes half a processor from the cluster that it waits for.
fn pause(question: Duration) -> Duration {
    (question * 3).clamp(SHORTEST, LONGEST)
}

/// Waits until the condition holds; gives back its value and what it took.
///
/// The condition answers `Ok` when it holds, else what it saw, which is in the error when the limit has passed.
///
/// # Errors
/// When the condition does not hold within the limit.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<T, State>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let state = match condition() {
            Ok(value) => return Ok(value),
            Err(state) => state,
        };
        if start.elapsed() >= limit {
            bail!(
                "{what}: not so after {:.1} s; last seen: {state}",
                start.elapsed().as_secs_f64()
            );
        }
        std::thread::sleep(pause(asked.elapsed()));
    }
}

/// Like [`until`] for a plain yes or no.
///
/// # Errors
/// When the condition does not hold within the limit.
pub fn until_true(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    until(what, limit, || {
        condition().then_some(()).ok_or_else(|| "no".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut left = 3;
        let value = until("count", Duration::from_secs(5), || {
            left -= 1;
            if left == 0 {
                Ok("there")
            } else {
                Err(format!("{left} left"))
            }
        });
        assert_eq!(value.unwrap(), "there");
    }

    #[test]
    fn a_question_that_takes_long_is_asked_less_often() {
        let pauses = [1, 100, 5000].map(|ms| pause(Duration::from_millis(ms)).as_millis());
        assert_eq!(pauses, [50, 300, 1000]);
    }

    #[test]
    fn the_error_tells_the_last_state() {
        let error =
            until::<()>("door open", Duration::ZERO, || Err("ajar".to_owned())).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("door open") && text.contains("ajar"),
            "{text}"
        );
    }
}
