//! Steps whose actions are scripts in memory: each fails, or is killed, where the script says so.

use std::sync::{Mutex, MutexGuard};

use futures::FutureExt;

use super::super::action::RULES;
use super::super::action::act::{Act, ActRecord};
use super::super::tests::plan_of;
use super::super::{AddLearner, PlanKind, Stages};
use super::*;
use crate::failure::FailureKind;
use crate::target::Target;

/// Where a script goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It fails while it is prepared.
    Prepare,
    /// It fails while it is applied.
    Apply,
    /// It fails while it is undone.
    Undo,
    /// The process is killed when the step has begun and has done nothing.
    KilledBefore,
    /// The process is killed when all is done and the journal does not say so.
    KilledAfter,
    /// The process is killed when the undo has begun and has undone nothing.
    KilledBeforeUndo,
    /// The process is killed when all is undone and the journal does not say so.
    KilledAfterUndo,
}

/// An action in memory, with one effect.
#[derive(Default)]
struct Script(Mutex<Scripted>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Scripted {
    fault: Option<Fault>,
    /// Its effect.
    applied: bool,
    prepares: u32,
    undos: u32,
    learner_removed: bool,
}

#[derive(Serialize, Deserialize)]
struct ScriptRecord {
    number: u32,
}

impl ActRecord for ScriptRecord {
    const NAME: &'static str = "script";
}

impl Script {
    fn state(&self) -> MutexGuard<'_, Scripted> {
        self.0.lock().unwrap()
    }

    /// Whether it goes wrong here and now.
    fn is_due(&self, fault: Fault) -> bool {
        let is_due = self.state().fault == Some(fault);
        if is_due {
            self.state().fault = None;
        }
        is_due
    }

    fn fail(&self, fault: Fault) -> Result<(), Failure> {
        match self.is_due(fault) {
            true => Err(Failure::other("the script fails")),
            false => Ok(()),
        }
    }

    /// Never goes on, so that whoever waits can drop it.
    async fn killed(&self, fault: Fault) {
        if self.is_due(fault) {
            std::future::pending::<()>().await;
        }
    }
}

impl Act for Script {
    type Record = ScriptRecord;

    fn describe(&self) -> String {
        "do as the script says".to_owned()
    }

    async fn prepare(&self, _step: &mut StepContext<'_>) -> Result<ScriptRecord, Failure> {
        self.fail(Fault::Prepare)?;
        let mut state = self.state();
        state.prepares += 1;
        Ok(ScriptRecord {
            number: state.prepares,
        })
    }

    async fn apply(
        &self,
        record: &ScriptRecord,
        _step: &mut StepContext<'_>,
    ) -> Result<Done, Failure> {
        assert_eq!(record.number, 1, "it is prepared once");
        self.killed(Fault::KilledBefore).await;
        self.fail(Fault::Apply)?;
        self.state().applied = true;
        self.killed(Fault::KilledAfter).await;
        Ok(Done::Plain)
    }

    async fn undo(
        &self,
        _record: &ScriptRecord,
        undo: &mut Undoing<'_>,
    ) -> Result<Undone, Failure> {
        self.state().learner_removed = undo.learner_removed;
        self.killed(Fault::KilledBeforeUndo).await;
        self.fail(Fault::Undo)?;
        self.state().applied = false;
        self.state().undos += 1;
        self.killed(Fault::KilledAfterUndo).await;
        Ok(Undone::default())
    }
}

/// A script as the step of a plan on a host, with the journal on a disk.
struct Trial {
    _state: tempfile::TempDir,
    plans: Plans,
    plan: Plan,
    script: Script,
    rule: UndoRule,
}

const STEP: u32 = 2;

impl Trial {
    fn new(kind: PlanKind, rule: UndoRule) -> Self {
        let learner = Action::AddLearner(AddLearner {
            target: target(),
            name: "m2".to_owned(),
            peer_urls: Vec::new(),
        });
        let mut stages = Stages::default();
        stages.stage("add", [("m1".to_owned(), learner)]);
        let plan = Plan {
            kind,
            ..plan_of(stages)
        };
        let state = tempfile::tempdir().unwrap();
        let plans = Plans::of(state.path());
        std::fs::create_dir(plans.snapshot_of(&plan.id).parent().unwrap()).unwrap();
        Self {
            _state: state,
            plans,
            plan,
            script: Script::default(),
            rule,
        }
    }

    /// As another process would, with what is on the disk; none: it was killed.
    fn run(&self, direction: Direction) -> Option<Result<StepRun, Failure>> {
        let this_host = || {
            Ok(ThisHost {
                node: "m1".to_owned(),
                pods: "/none".into(),
                archive: Aside::of_host(),
            })
        };
        let mut executor = Executor::new(&self.plans, &self.plan, this_host).unwrap();
        let work = Work {
            number: STEP,
            act: &self.script,
            undo: self.rule,
        };
        let mut events = |_| ();
        let run = executor.perform(&work, direction, &mut events);
        run.now_or_never()
    }

    /// Does the step, or undoes it, with this going wrong.
    fn goes_wrong(&self, direction: Direction, fault: Fault) {
        self.script.state().fault = Some(fault);
        let run = self.run(direction);
        assert!(!matches!(run, Some(Ok(_))), "{fault:?}: {run:?}");
        assert_eq!(self.script.state().fault, None, "{fault:?}");
    }

    fn is_done(&self) {
        let done = Done::Plain;
        for _ in 0..2 {
            let done = done.clone();
            assert_eq!(self.run(Direction::Do), Some(Ok(StepRun::Done { done })));
            assert!(self.script.state().applied);
        }
    }

    /// It is undone as the table says, and undone again it is the same.
    fn is_undone(&self, was_done: bool) {
        let before = self.script.state().clone();
        let undo = self.rule.of(self.plan.kind, was_done);
        let reverts = matches!(undo, Undo::Revert | Undo::RevertUnlessMember);
        let left = match undo {
            Undo::Unknown | Undo::Stays => {
                vec!["do as the script says cannot be undone".into()]
            }
            _ => Vec::new(),
        };
        let undone = StepRun::Undone {
            undone: Undone {
                left,
                kept: Vec::new(),
            },
            never_begun: false,
        };
        for _ in 0..2 {
            assert_eq!(self.run(Direction::Undo), Some(Ok(undone.clone())));
            let after = self.script.state().clone();
            assert_eq!(after.applied, before.applied && !reverts);
            assert_eq!(after.undos, before.undos + u32::from(reverts));
        }
        let refused = self.run(Direction::Do).unwrap().unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
    }

    fn entries(&self) -> usize {
        self.plans
            .journal_of(&self.plan.id)
            .unwrap()
            .entries()
            .len()
    }
}

/// Every action in every kind of plan in which its rule differs.
fn trials(test: impl Fn(&dyn Fn() -> Trial)) {
    for (_, rule, _) in RULES {
        for kind in [PlanKind::Restore, PlanKind::Recover, PlanKind::Replace] {
            test(&|| Trial::new(kind, *rule));
        }
    }
}

#[test]
fn a_step_that_fails_to_prepare_never_began_and_can_be_tried_again() {
    trials(|trial| {
        let trial = trial();
        trial.goes_wrong(Direction::Do, Fault::Prepare);
        assert_eq!(trial.entries(), 0);
        let never = StepRun::Undone {
            undone: Undone::default(),
            never_begun: true,
        };
        assert_eq!(trial.run(Direction::Undo), Some(Ok(never)));
        assert_eq!(trial.script.state().undos, 0);
        trial.is_done();
    });
}

#[test]
fn a_step_that_fails_or_is_killed_is_resumed_from_its_record_and_undone() {
    trials(|trial| {
        for fault in [Fault::Apply, Fault::KilledBefore, Fault::KilledAfter] {
            let resumed = trial();
            resumed.goes_wrong(Direction::Do, fault);
            resumed.is_done();
            assert_eq!(resumed.script.state().prepares, 1);
            resumed.is_undone(true);
            let undone = trial();
            undone.goes_wrong(Direction::Do, fault);
            undone.is_undone(false);
        }
    });
}

#[test]
fn an_undo_that_fails_or_is_killed_is_tried_again() {
    trials(|trial| {
        for fault in [Fault::Undo, Fault::KilledBeforeUndo, Fault::KilledAfterUndo] {
            let trial = trial();
            trial.is_done();
            let undo = trial.rule.of(trial.plan.kind, true);
            if matches!(undo, Undo::Revert | Undo::RevertUnlessMember) {
                trial.goes_wrong(Direction::Undo, fault);
            }
            trial.is_undone(true);
        }
    });
}

#[test]
fn the_undo_of_data_is_told_whether_its_learner_was_removed_again() {
    let undone = |left: &[&str]| Event::Undone {
        undone: Undone {
            left: left.iter().map(|one| (*one).into()).collect(),
            kept: Vec::new(),
        },
    };
    for (event, removed) in [(undone(&[]), true), (undone(&["it votes"]), false)] {
        let (_, rule, _) = RULES.iter().find(|(name, ..)| *name == "SwapData").unwrap();
        let trial = Trial::new(PlanKind::Replace, *rule);
        trial.is_done();
        let mut journal = trial.plans.journal_of(&trial.plan.id).unwrap();
        journal.add(1, event).unwrap();
        trial.is_undone(true);
        assert_eq!(trial.script.state().learner_removed, removed);
    }
}

#[test]
fn a_record_of_another_action_is_no_record_of_this_one() {
    let (_, rule, _) = RULES[0];
    let trial = Trial::new(PlanKind::Restore, rule);
    let mut journal = trial.plans.journal_of(&trial.plan.id).unwrap();
    let record = serde_json::from_str(r#"{"record": "nothing"}"#).unwrap();
    journal.add(STEP, Event::Begun { record }).unwrap();
    for direction in [Direction::Do, Direction::Undo] {
        let failure = trial.run(direction).unwrap().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Corrupt);
    }
}

fn target() -> Target {
    Target {
        node: "m1".to_owned(),
        pod: "etcd-m1".to_owned(),
        member_name: "m1".to_owned(),
        client_urls: Vec::new(),
        peer_urls: Vec::new(),
        tls: None,
        data_dir: "/var/lib/etcd".into(),
        wal_dir: None,
        quota_bytes: None,
        image: None,
    }
}
