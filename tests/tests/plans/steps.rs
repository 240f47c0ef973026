//! Plans that are interrupted: killed, or without power, after any line of their journals.

use std::time::{Duration, Instant};

use anyhow::Result;
use testbed::{Cluster, Spec};

use crate::step_faults::{Command, Fault, HEAD, Then, Trial, prepare, shown, table};
use crate::{ready, with};

/// How long the sample may take; what has not begun by then is left out, and said so.
const BUDGET: Duration = Duration::from_secs(120);

/// Spread over commands, faults and steps: each has stopped something that is not started yet. What is done after each step and
/// each fault is shown with hosts in memory (`a_plan_is_resumed_after_each_step_and_each_fault_and_nothing_is_done_twice`,
/// `a_plan_is_taken_back_after_each_step`); here, that what a real master has left is what they assume.
const SAMPLE: [Trial; 3] = [
    trial(Command::SetFlag, Fault::Kill, 5, Then::Resume),
    trial(Command::Recover, Fault::Power, 12, Then::Undo),
    trial(Command::Restore, Fault::Power, 9, Then::Resume),
];

const fn trial(command: Command, fault: Fault, line: usize, then: Then) -> Trial {
    Trial {
        command,
        fault,
        line,
        then,
    }
}

#[test]
fn an_interrupted_plan_is_gone_on_with_or_taken_back() {
    with(1, |cluster| {
        eprintln!(
            "a sample; each line of each plan: cargo test -p testbed --test plans -- --ignored --nocapture --test-threads=1 after_every_line"
        );
        prepare(cluster)?;
        let begun = Instant::now();
        eprintln!("{HEAD}");
        for trial in SAMPLE {
            match begun.elapsed() < BUDGET {
                true => drop(shown(trial, cluster)?),
                false => eprintln!("{trial}       -  left out: no time"),
            }
        }
        Ok(())
    });
}

#[test]
#[ignore = "takes 15 minutes; cargo test -p testbed --test plans -- --ignored --nocapture after_every_line"]
fn set_flag_interrupted_after_every_line() -> Result<()> {
    table(Command::SetFlag, single)
}

#[test]
#[ignore = "takes 40 minutes; cargo test -p testbed --test plans -- --ignored --nocapture after_every_line"]
fn restore_interrupted_after_every_line() -> Result<()> {
    table(Command::Restore, single)
}

#[test]
#[ignore = "takes 40 minutes; cargo test -p testbed --test plans -- --ignored --nocapture after_every_line"]
fn recover_interrupted_after_every_line() -> Result<()> {
    table(Command::Recover, single)
}

#[test]
#[ignore = "takes an hour; cargo test -p testbed --test plans -- --ignored --nocapture after_every_line"]
fn restore_of_all_interrupted_after_every_line() -> Result<()> {
    table(Command::RestoreAll, three)
}

#[test]
#[ignore = "takes an hour; cargo test -p testbed --test plans -- --ignored --nocapture after_every_line"]
fn member_replace_interrupted_after_every_line() -> Result<()> {
    table(Command::Replace, three)
}

fn three() -> Result<Cluster> {
    let cluster = Cluster::start(Spec::masters(3).side_by_side())?;
    ready(&cluster)?;
    Ok(cluster)
}

/// It may take long: nobody waits for its end.
fn single() -> Result<Cluster> {
    let cluster = Cluster::start(Spec::masters(1).side_by_side())?;
    ready(&cluster)?;
    Ok(cluster)
}
