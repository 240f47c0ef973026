//! One step on this host: done, gone on with, or taken back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::act::{Here, Record, Undone};
use super::action::Done;
use super::{Action, Direction, Event, Journal, Plan, PlanKind, Plans, Step, StepState};
use crate::failure::{Failure, FailureKind};
use crate::local;
use crate::manifest::{Aside, Selection};
use crate::shell::CommandLine;
use crate::work::Events;

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "run",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum StepRun {
    /// It is done.
    Done {
        /// What came of it.
        done: Done,
    },
    /// It was taken back.
    Undone {
        /// How far.
        undone: Undone,
        /// Whether there was nothing to take back.
        never_begun: bool,
    },
}

/// Does a step of a plan that has begun on this host, or takes it back. One that is so far already is not done again.
///
/// # Errors
/// What was in the way. It is in the journal too, and the step can be tried again.
pub async fn perform(
    plans: &Plans,
    plan: &Plan,
    number: u32,
    direction: Direction,
    events: &mut Events<'_>,
) -> Result<StepRun, Failure> {
    let _held = plans.hold(&plan.id)?;
    let step = plan.step(number).ok_or_else(|| {
        Failure::new(
            FailureKind::Other,
            format!("the plan {} has no step {number}", plan.id),
        )
    })?;
    let mut journal = plans.journal_of(&plan.id)?;
    let state = journal.states().remove(&number);
    match direction {
        Direction::Do => forth(plans, plan, step, state, &mut journal, events).await,
        Direction::Undo => back(plan, step, state, &mut journal, events).await,
    }
}

async fn forth(
    plans: &Plans,
    plan: &Plan,
    step: &Step,
    state: Option<StepState>,
    journal: &mut Journal,
    events: &mut Events<'_>,
) -> Result<StepRun, Failure> {
    // What is done now would stand on something that is not there any more.
    if journal.states().values().any(StepState::is_back) {
        return Err(Failure::new(
            FailureKind::Refused,
            format!("{} is being taken back on this host", plan.id),
        )
        .hint(format!(
            "{} goes on with that",
            CommandLine::new("kubectl etcd plan undo").operand(&plan.id)
        )));
    }
    if let Some(StepState::Done { done }) = state {
        return Ok(StepRun::Done { done });
    }
    let host = local::host(&Selection::default())?;
    let aside = Aside::of_host();
    let record = match journal.record_of(step.number) {
        Some(record) => record.clone(),
        None => {
            let record = step
                .action
                .prepare(&here(plans, plan, journal, &host, &aside))
                .await?;
            let event = Event::Begun {
                record: record.clone(),
            };
            journal.add(step.number, event)?;
            record
        }
    };
    let applied = {
        let here = here(plans, plan, journal, &host, &aside);
        // On the heap: the largest action's state would be in the future of whoever calls this.
        Box::pin(step.action.apply(&record, &here, events)).await
    };
    match applied {
        Ok(done) => {
            journal.add(step.number, Event::Done { done: done.clone() })?;
            Ok(StepRun::Done { done })
        }
        Err(failure) => {
            journal.add(
                step.number,
                Event::Failed {
                    failure: failure.clone(),
                },
            )?;
            Err(failure)
        }
    }
}

async fn back(
    plan: &Plan,
    step: &Step,
    state: Option<StepState>,
    journal: &mut Journal,
    events: &mut Events<'_>,
) -> Result<StepRun, Failure> {
    match state {
        None => {
            return Ok(StepRun::Undone {
                undone: Undone::default(),
                never_begun: true,
            });
        }
        Some(StepState::Undone { undone }) => return Ok(taken_back(undone)),
        Some(_) => {}
    }
    let record = journal
        .record_of(step.number)
        .cloned()
        .unwrap_or(Record::Nothing);
    let done = journal.was_done(step.number);
    let learner_is_gone = learner_is_gone(plan, journal);
    journal.add(step.number, Event::UndoBegun)?;
    // The cluster that a recovery formed is taken back as a whole, and its members with it.
    let with_cluster = plan.kind == PlanKind::Recover && step.action.is_of_members();
    let undone = match with_cluster {
        true => Ok(Undone::default()),
        false => Box::pin(step.action.undo(&record, done, learner_is_gone, events)).await,
    };
    match undone {
        Ok(undone) => {
            journal.add(
                step.number,
                Event::Undone {
                    undone: undone.clone(),
                },
            )?;
            Ok(taken_back(undone))
        }
        Err(failure) => {
            journal.add(
                step.number,
                Event::UndoFailed {
                    failure: failure.clone(),
                },
            )?;
            Err(failure)
        }
    }
}

/// Whether the learner that the plan added was removed again: one that had become a voter stays, and is left.
fn learner_is_gone(plan: &Plan, journal: &Journal) -> bool {
    let states = journal.states();
    plan.steps().any(|step| {
        matches!(step.action, Action::AddLearner { .. })
            && matches!(states.get(&step.number), Some(StepState::Undone { undone }) if undone.left.is_empty())
    })
}

fn taken_back(undone: Undone) -> StepRun {
    StepRun::Undone {
        undone,
        never_begun: false,
    }
}

fn here<'a>(
    plans: &Plans,
    plan: &'a Plan,
    journal: &'a Journal,
    host: &'a local::Host,
    aside: &'a Aside,
) -> Here<'a> {
    Here {
        id: &plan.id,
        kind: plan.kind,
        records: journal.records().map(|(_, record)| record).collect(),
        snapshot: plans.snapshot_of(&plan.id),
        node: &host.node,
        pods: &host.folder,
        etcd: plan.etcd_of(&host.node),
        aside,
        now: Timestamp::now(),
    }
}
