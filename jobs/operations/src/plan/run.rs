//! One step on this host: done, resumed, or undone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::act::{AnyAct, Record, StepContext, ThisHost, Undoing};
use super::action::undo::{Undo, UndoRule};
use super::action::{Action, Done, Undone};
use super::journal::{Event, Journal, StepState};
use super::{Direction, Plan, Plans, Step};
use crate::advice;
use crate::advice::Task;
use crate::failure::Failure;
use crate::local;
use crate::manifest::{Aside, Selection};
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
    /// It was undone.
    Undone {
        /// How far.
        undone: Undone,
        /// Whether there was nothing to undo.
        never_begun: bool,
    },
}

/// Does a step of a plan that has begun on this host, or undoes it. One that is so far already is not done again.
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
    let step = plan
        .step(number)
        .ok_or_else(|| Failure::other(format!("the plan {} has no step {number}", plan.id)))?;
    let mut executor = Executor::new(plans, plan, this_host)?;
    executor.perform(&Work::of(step), direction, events).await
}

fn this_host() -> Result<ThisHost, Failure> {
    let host = local::host(&Selection::default())?;
    Ok(ThisHost {
        node: host.node,
        pods: host.folder,
        archive: Aside::of_host(),
    })
}

/// A step's action, and what undo does for it.
struct Work<'a> {
    number: u32,
    act: &'a dyn AnyAct,
    undo: UndoRule,
}

impl<'a> Work<'a> {
    fn of(step: &'a Step) -> Self {
        Self {
            number: step.number,
            act: step.action.act(),
            undo: step.action.undo_rule(),
        }
    }
}

/// Performs steps of one plan, and keeps its journal.
struct Executor<'a> {
    plans: &'a Plans,
    plan: &'a Plan,
    journal: Journal,
    /// Looks at the host, when there is something to do on it.
    this_host: fn() -> Result<ThisHost, Failure>,
}

impl<'a> Executor<'a> {
    fn new(
        plans: &'a Plans,
        plan: &'a Plan,
        this_host: fn() -> Result<ThisHost, Failure>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            plans,
            plan,
            journal: plans.journal_of(&plan.id)?,
            this_host,
        })
    }

    async fn perform(
        &mut self,
        work: &Work<'_>,
        direction: Direction,
        events: &mut Events<'_>,
    ) -> Result<StepRun, Failure> {
        let state = self.journal.states().remove(&work.number);
        match direction {
            Direction::Do => self.do_step(work, state, events).await,
            Direction::Undo => self.undo_step(work, state, events).await,
        }
    }

    async fn do_step(
        &mut self,
        work: &Work<'_>,
        state: Option<StepState>,
        events: &mut Events<'_>,
    ) -> Result<StepRun, Failure> {
        // What is done now would stand on something that is not there any more.
        if self.journal.states().values().any(StepState::is_back) {
            return Err(self.is_being_undone());
        }
        if let Some(StepState::Done { done }) = state {
            return Ok(StepRun::Done { done });
        }
        let host = (self.this_host)()?;
        let record = match self.journal.record_of(work.number) {
            Some(record) => record.clone(),
            None => {
                let mut step = self.context(work, &host, events);
                let record = work.act.prepare(&mut step).await?;
                let event = Event::Begun {
                    record: record.clone(),
                };
                self.journal.add(work.number, event)?;
                record
            }
        };
        let mut step = self.context(work, &host, events);
        let applied = work.act.apply(&record, &mut step).await;
        self.ended(
            work,
            applied,
            |done| Event::Done { done },
            |failure| Event::Failed { failure },
        )
        .map(|done| StepRun::Done { done })
    }

    async fn undo_step(
        &mut self,
        work: &Work<'_>,
        state: Option<StepState>,
        events: &mut Events<'_>,
    ) -> Result<StepRun, Failure> {
        let record = self.journal.record_of(work.number).cloned();
        let (undone, never_begun) = match (state, record) {
            (Some(StepState::Undone { undone }), _) => (undone, false),
            (Some(_), Some(record)) => {
                self.journal.add(work.number, Event::UndoBegun)?;
                let undone = self.undo(work, &record, events).await;
                let undone = self.ended(
                    work,
                    undone,
                    |undone| Event::Undone { undone },
                    |failure| Event::UndoFailed { failure },
                )?;
                (undone, false)
            }
            _ => (Undone::default(), true),
        };
        Ok(StepRun::Undone {
            undone,
            never_begun,
        })
    }

    /// Does what the table of the actions has for this step.
    async fn undo(
        &self,
        work: &Work<'_>,
        record: &Record,
        events: &mut Events<'_>,
    ) -> Result<Undone, Failure> {
        let was_done = self.journal.was_done(work.number);
        match work.undo.of(self.plan.kind, was_done) {
            Undo::Nothing => Ok(Undone::default()),
            Undo::Revert | Undo::RevertUnlessMember => {
                let learner_removed = self.learner_removed();
                let mut undoing = Undoing {
                    learner_removed,
                    events,
                };
                work.act.undo(record, &mut undoing).await
            }
            Undo::Unknown | Undo::Stays => Ok(Undone::but(work.act.what_stays(was_done))),
        }
    }

    /// Writes into the journal how a step ended.
    fn ended<T: Clone>(
        &mut self,
        work: &Work<'_>,
        result: Result<T, Failure>,
        good: fn(T) -> Event,
        bad: fn(Failure) -> Event,
    ) -> Result<T, Failure> {
        let event = match &result {
            Ok(value) => good(value.clone()),
            Err(failure) => bad(failure.clone()),
        };
        self.journal.add(work.number, event)?;
        result
    }

    fn is_being_undone(&self) -> Failure {
        let id = &self.plan.id;
        let undo = Task::UndoPlan.of(id);
        let message = format!("{id} is being rolled back on this host");
        Failure::refused(message).hint(advice![undo, " resumes that"])
    }

    /// Whether the learner that the plan added was removed again: one that had become a voter stays, and is left.
    fn learner_removed(&self) -> bool {
        let states = self.journal.states();
        self.plan.steps().any(|step| {
            matches!(step.action, Action::AddLearner(_))
                && matches!(states.get(&step.number), Some(StepState::Undone { undone }) if undone.left.is_empty())
        })
    }

    fn context<'c>(
        &'c self,
        work: &Work<'_>,
        host: &'c ThisHost,
        events: &'c mut Events<'_>,
    ) -> StepContext<'c> {
        let begun = self.journal.records();
        let begun =
            begun.filter_map(|(number, record)| Some((&self.plan.step(number)?.action, record)));
        StepContext {
            plan: &self.plan.id,
            undo: work.undo.of(self.plan.kind, true),
            begun: begun.collect(),
            snapshot: self.plans.snapshot_of(&self.plan.id),
            host,
            etcd: self.plan.etcd_of(&host.node),
            now: Timestamp::now(),
            events,
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
