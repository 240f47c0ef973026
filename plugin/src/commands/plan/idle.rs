//! A step that goes on although the process that executed the plan is gone: its host does it to its end.

use std::time::Duration;

use etcd_operations::plan::PlanId;
use etcd_operations::shell::CommandLine;
use tokio::time::{Instant, sleep};

use super::find;
use crate::commands::life::Terminal;
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::executor::{Hosts, PlanState};

/// Longer than a component may take to come up, which are the longest steps but for a large snapshot's.
const LIMIT: Duration = Duration::from_secs(180);

/// How often to look again.
const AGAIN: Duration = Duration::from_millis(500);

/// The plan as it is once no host does a step of it any more.
///
/// # Errors
/// When one still does after a few minutes, or somebody else leads the plan and begins one step after the other.
pub(super) async fn found_idle(
    terminal: &impl Terminal,
    hosts: &Hosts,
    id: &PlanId,
) -> Result<PlanState, Error> {
    until_idle(
        LIMIT,
        AGAIN,
        async || find(hosts, Some(id.clone())).await,
        |state| {
            terminal.say(&format!(
                "a step of {id} is being done on {}: waiting for its end",
                state.busy.join(", ")
            ));
        },
    )
    .await
}

/// Looks until nothing is being done. Where something was, two looks must see nothing: between two steps of a leader that is
/// alive there is a moment without one.
async fn until_idle(
    limit: Duration,
    again: Duration,
    look: impl AsyncFn() -> Result<PlanState, Error>,
    waiting: impl Fn(&PlanState),
) -> Result<PlanState, Error> {
    let mut state = look().await?;
    if state.busy.is_empty() {
        return Ok(state);
    }
    waiting(&state);
    let until = Instant::now() + limit;
    let mut was_idle = false;
    while Instant::now() < until {
        sleep(again).await;
        state = look().await?;
        let idle = state.busy.is_empty();
        if idle && was_idle {
            return Ok(state);
        }
        was_idle = idle;
    }
    Err(still_busy(&state))
}

fn still_busy(state: &PlanState) -> Error {
    let id = &state.plan.id;
    // The last look may have been between two steps.
    let on = match state.busy.is_empty() {
        true => String::new(),
        false => format!(" on {}", state.busy.join(", ")),
    };
    Error::refused(format!("steps of {id} are still being done{on}")).hint(format!(
        "{} says which; wait for their end, then try again",
        CommandLine::new("kubectl etcd plan show").operand(id)
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::{Error, PlanState, until_idle};
    use crate::views::plan::samples;

    /// None of those that come to an end does so by this.
    const LONG: Duration = Duration::from_secs(60);
    const AGAIN: Duration = Duration::from_millis(1);

    /// What is seen look by look, the last for ever, and how often was waited for something.
    async fn seen(limit: Duration, busy: &[&[&str]]) -> (Result<PlanState, Error>, usize, usize) {
        let (looks, said) = (RefCell::new(0), RefCell::new(0));
        let look = async || {
            let at = looks.replace_with(|at| *at + 1);
            let mut state = samples::state();
            let nodes = busy.get(at).or(busy.last()).unwrap();
            state.busy = nodes.iter().map(|node| (*node).to_owned()).collect();
            Ok(state)
        };
        let state = until_idle(limit, AGAIN, look, |_| *said.borrow_mut() += 1).await;
        (state, looks.into_inner(), said.into_inner())
    }

    #[tokio::test]
    async fn one_that_nobody_works_at_is_not_waited_for() {
        let (state, looks, said) = seen(LONG, &[&[]]).await;
        assert!(state.is_ok());
        assert_eq!((looks, said), (1, 0));
    }

    #[tokio::test]
    async fn a_step_that_goes_on_without_its_leader_is_waited_for() {
        let (state, looks, said) = seen(LONG, &[&["m2", "m3"], &["m3"], &[]]).await;
        assert!(state.is_ok());
        assert_eq!((looks, said), (4, 1));
    }

    #[tokio::test]
    async fn the_moment_between_two_steps_is_no_end() {
        let (state, looks, _) = seen(LONG, &[&["m2"], &[], &["m2"], &[], &[]]).await;
        assert!(state.is_ok());
        assert_eq!(looks, 5);
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_refused() {
        let (state, ..) = seen(AGAIN * 20, &[&["m2", "m3"], &["m3"]]).await;
        let error = state.unwrap_err();
        assert_eq!(error.kind.exit_code(), 5);
        assert!(error.message.ends_with(" on m3"), "{error}");
    }
}
