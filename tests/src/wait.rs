//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How a condition that does not hold yet describes what it saw.
pub type State = String;

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
        std::thread::sleep(Duration::from_millis(50));
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
