//! A plan that was interrupted on hosts in memory: resumed and rolled back.

use std::sync::Arc;

use etcd_operations::plan::{Direction, Plan, PlanKind, StepRun};

use super::resume::Resuming;
use super::undo::Undoing;
use crate::commands::life::fakes::{FakeSurroundings, FakeTerminal, Reply};
use crate::commands::life::{Consent, carry_out};
use crate::commands::planned::Nothing;
use crate::views::Format;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::executor::memory::{Fault, MemoryHost, RESTORED, hosts, memory, plan};
use kubectl_etcd_core::executor::{Executed, execute};
use kubectl_etcd_core::outcome::NoticeSink;

const ASKED: Consent = Consent {
    dry_run: false,
    yes: false,
    output: Format::Table,
};

const YES: Consent = Consent { yes: true, ..ASKED };

struct Trial {
    memory: Vec<MemoryHost>,
    plan: Plan,
    around: FakeSurroundings,
}

impl Trial {
    /// A plan that has begun, and of which nothing was done.
    async fn begun(kind: PlanKind) -> Self {
        let memory = memory(3);
        let plan = plan(kind, &memory);
        hosts(&memory).begin(&plan).await.unwrap();
        Self {
            memory,
            plan,
            around: FakeSurroundings::default(),
        }
    }

    /// One whose step has failed so.
    async fn failed(kind: PlanKind, number: u32, fault: Fault) -> Self {
        let trial = Self::begun(kind).await;
        trial.fails(number, Direction::Do, fault);
        trial.execute().await.unwrap_err();
        trial
    }

    /// One that is done.
    async fn done(kind: PlanKind) -> Self {
        let trial = Self::begun(kind).await;
        trial.execute().await.unwrap();
        trial
    }

    async fn execute(&self) -> Result<Executed, Error> {
        let quiet: NoticeSink = Arc::new(|_| {});
        execute(&quiet, &hosts(&self.memory), &self.plan, &Nothing).await
    }

    fn fails(&self, number: u32, direction: Direction, fault: Fault) {
        let node = &self.plan.step(number).unwrap().node;
        let at = self.plan.hosts.iter().position(|host| host.node == *node);
        self.memory[at.unwrap()].fails(number, direction, fault);
    }

    async fn resume(&self, terminal: &FakeTerminal, consent: Consent) -> Result<Verdict, Error> {
        let hosts = hosts(&self.memory);
        let resuming = Resuming {
            hosts: &hosts,
            id: &self.plan.id,
            accept_outage: false,
            snapshot: None::<&Nothing>,
            surroundings: &self.around,
            alone: false,
        };
        carry_out(&resuming, terminal, consent).await
    }

    async fn undo(&self, terminal: &FakeTerminal, consent: Consent) -> Result<Verdict, Error> {
        self.undo_with(terminal, consent, false, &[]).await
    }

    async fn undo_with(
        &self,
        terminal: &FakeTerminal,
        consent: Consent,
        accept_data_loss: bool,
        without: &[String],
    ) -> Result<Verdict, Error> {
        let hosts = hosts(&self.memory);
        let undoing = Undoing {
            hosts: &hosts,
            id: &self.plan.id,
            accept_data_loss,
            accept_outage: false,
            named: true,
            without,
            surroundings: &self.around,
        };
        carry_out(&undoing, terminal, consent).await
    }

    fn performed(&self, direction: Direction) -> usize {
        let all = self.memory.iter().flat_map(MemoryHost::performed);
        all.filter(|(_, way)| *way == direction).count()
    }

    fn is_free(&self) -> bool {
        self.memory.iter().all(MemoryHost::is_free)
    }
}

fn yes() -> FakeTerminal {
    FakeTerminal::new(Reply::Yes)
}

#[tokio::test]
async fn a_resumed_plan_ends_as_it_would_have_at_once() {
    for (kind, verdict, checks) in [
        (PlanKind::Restore, Verdict::Degraded, vec![Some(RESTORED)]),
        (PlanKind::Recover, Verdict::Degraded, vec![Some(RESTORED)]),
        (PlanKind::Replace, Verdict::Degraded, vec![Some(RESTORED)]),
    ] {
        let mut trial = Trial::failed(kind, 8, Fault::Apply).await;
        trial.around.problems = vec!["m2 is not ready".to_owned()];
        let terminal = yes();
        let ended = trial.resume(&terminal, YES).await.unwrap();
        assert_eq!(ended, verdict, "{kind:?}");
        assert_eq!(trial.around.checks(), checks, "{kind:?}");
        let said = terminal.starting("says: looking at members, nodes and pods");
        assert_eq!(said.len(), 1, "{kind:?}");
        let shown = terminal.starting("shows").join("");
        let id = &trial.plan.id;
        // Only undo is offered, and a step that failed before is not mentioned.
        let next = format!("Undo     kubectl etcd plan undo {id}\n");
        assert!(shown.ends_with(&next), "{shown}");
        assert!(shown.contains("Problem  m2 is not ready\n"), "{shown}");
        assert!(!shown.contains("went wrong"), "{shown}");
        assert!(trial.is_free());
    }
}

#[tokio::test]
async fn a_resumed_change_of_a_manifest_is_not_looked_at_again() {
    let trial = Trial::failed(PlanKind::Manifest, 10, Fault::Apply).await;
    let ended = trial.resume(&yes(), YES).await.unwrap();
    assert_eq!((ended, trial.around.checks().len()), (Verdict::Healthy, 0));
}

#[tokio::test]
async fn a_plan_is_resumed_after_each_step_and_each_fault_and_nothing_is_done_twice() {
    for number in 1..=12 {
        for fault in Fault::ALL {
            let trial = Trial::failed(PlanKind::Restore, number, fault).await;
            let ended = trial.resume(&yes(), ASKED).await.unwrap();
            let case = format!("{fault:?} at {number}");
            assert_eq!(ended, Verdict::Healthy, "{case}");
            assert_eq!(trial.performed(Direction::Do), 12, "{case}");
            assert_eq!(trial.around.checks(), [Some(RESTORED)], "{case}");
            assert!(trial.is_free(), "{case}");
        }
    }
}

#[tokio::test]
async fn a_resumed_plan_that_fails_again_leaves_the_same_two_ways_on() {
    let trial = Trial::failed(PlanKind::Recover, 4, Fault::Unheard).await;
    trial.fails(7, Direction::Do, Fault::Apply);
    let error = trial.resume(&yes(), YES).await.unwrap_err();
    let id = &trial.plan.id;
    assert_eq!(
        crate::advice::hints(&error),
        [
            format!("kubectl etcd plan resume {id} tries again and goes on"),
            format!("kubectl etcd plan undo {id} rolls back what was done"),
        ]
    );
    assert_eq!(trial.resume(&yes(), YES).await.unwrap(), Verdict::Healthy);
}

#[tokio::test]
async fn what_has_ended_is_not_resumed_and_not_asked_about() {
    let trial = Trial::done(PlanKind::Restore).await;
    let terminal = FakeTerminal::new(Reply::No);
    let ended = trial.resume(&terminal, ASKED).await.unwrap();
    assert_eq!(ended, Verdict::Healthy);
    let said = format!(
        "says: {} has ended: there is nothing to resume",
        trial.plan.id
    );
    assert_eq!(terminal.lines(), [said]);
    assert!(trial.around.locked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_somebody_rolls_back_is_not_resumed() {
    let trial = Trial::failed(PlanKind::Restore, 8, Fault::Apply).await;
    trial.fails(2, Direction::Undo, Fault::Apply);
    trial.undo_with(&yes(), YES, true, &[]).await.unwrap_err();
    let error = trial.resume(&yes(), YES).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        crate::advice::hints(&error)[0].starts_with("kubectl etcd plan undo"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_plan_that_somebody_else_goes_on_with_while_the_question_stands_is_left_to_them() {
    let id = |trial: &Trial| (trial.memory[0].clone(), trial.plan.id.clone());
    let kept_out = |ended: Result<Verdict, Error>| {
        let error = ended.unwrap_err();
        error.kind == ErrorKind::Refused && error.message.contains("has changed")
    };
    let trial = Trial::failed(PlanKind::Restore, 4, Fault::Unheard).await;
    let (host, plan) = id(&trial);
    let terminal = yes().meanwhile(move || {
        let run = host.step(&plan, 4, Direction::Do);
        assert!(matches!(run, Ok(StepRun::Done { .. })));
    });
    assert!(kept_out(trial.resume(&terminal, ASKED).await));

    let trial = Trial::done(PlanKind::Restore).await;
    let (host, plan) = id(&trial);
    let terminal = yes().meanwhile(move || {
        host.step(&plan, 10, Direction::Undo).unwrap();
    });
    assert!(kept_out(trial.undo(&terminal, ASKED).await));
    assert_eq!(trial.performed(Direction::Undo), 1, "theirs");
}

#[tokio::test]
async fn without_a_yes_or_the_lock_nothing_is_resumed_or_rolled_back() {
    let mut trial = Trial::failed(PlanKind::Restore, 4, Fault::Unheard).await;
    let no = FakeTerminal::new(Reply::No);
    assert_eq!(
        trial.resume(&no, ASKED).await.unwrap_err().kind,
        ErrorKind::Refused
    );
    assert_eq!(
        trial.undo(&no, ASKED).await.unwrap_err().kind,
        ErrorKind::Refused
    );
    assert_eq!(
        no.starting("asks"),
        ["asks: Resume it?", "asks: Roll it back?"]
    );
    trial.around.held_by = Some("jane");
    for error in [
        trial.resume(&yes(), YES).await.unwrap_err(),
        trial.undo(&yes(), YES).await.unwrap_err(),
    ] {
        assert!(error.message.starts_with("jane"), "{error}");
    }
    assert_eq!(trial.performed(Direction::Do), 5);
    assert_eq!(trial.performed(Direction::Undo), 0);
}

#[tokio::test]
async fn a_plan_is_rolled_back_after_each_step() {
    for number in 1..=12 {
        for fault in Fault::ALL {
            let trial = Trial::failed(PlanKind::Restore, number, fault).await;
            let (terminal, case) = (yes(), format!("{fault:?} at {number}"));
            let ended = trial.undo(&terminal, ASKED).await.unwrap();
            assert_eq!(ended, Verdict::Healthy, "{case}");
            assert!(trial.is_free(), "{case}");
            let half = usize::from(fault == Fault::Apply);
            let undone = trial.performed(Direction::Undo);
            assert_eq!(undone, trial.performed(Direction::Do) + half, "{case}");
            assert!(
                terminal.starting("shows")[0].contains("State    undone"),
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn an_undo_that_puts_data_out_of_service_wants_it_named() {
    let trial = Trial::done(PlanKind::Restore).await;
    let error = trial.undo(&yes(), YES).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        crate::advice::hints(&error)[0].starts_with("--accept-data-loss"),
        "{error:?}"
    );
    assert_eq!(trial.performed(Direction::Undo), 0);
    let terminal = yes();
    trial.undo_with(&terminal, YES, true, &[]).await.unwrap();
    assert_eq!(trial.performed(Direction::Undo), 12);
    // Before the data was swapped nothing is lost by it.
    let trial = Trial::failed(PlanKind::Restore, 7, Fault::Prepare).await;
    for (at, number) in [(1, 8), (2, 9)] {
        let undone = trial.memory[at].step(&trial.plan.id, number, Direction::Undo);
        undone.unwrap();
    }
    assert_eq!(trial.undo(&yes(), YES).await.unwrap(), Verdict::Healthy);
}

#[tokio::test]
async fn what_could_not_be_rolled_back_makes_the_end_a_degraded_one() {
    let trial = Trial::done(PlanKind::Replace).await;
    trial.memory[1].leaves(5, "the member stays removed");
    let terminal = yes();
    let ended = trial.undo(&terminal, ASKED).await.unwrap();
    assert_eq!(ended, Verdict::Degraded);
    let shown = terminal.starting("shows").join("");
    assert!(
        shown.contains("Left     m2: the member stays removed"),
        "{shown}"
    );

    let trial = Trial::done(PlanKind::Restore).await;
    let lost = ["m3".to_owned()];
    let terminal = yes();
    let ended = trial
        .undo_with(&terminal, ASKED, false, &lost)
        .await
        .unwrap();
    assert_eq!(ended, Verdict::Degraded);
    assert_eq!(trial.performed(Direction::Undo), 8);
    let shown = terminal.starting("shows").join("");
    assert!(shown.contains("Left     m3 took no part"), "{shown}");
}

#[tokio::test]
async fn a_manifest_that_somebody_writes_to_while_the_question_stands_is_not_written_over() {
    let trial = Trial::done(PlanKind::Manifest).await;
    let host = trial.memory[2].clone();
    let terminal = yes().meanwhile(move || host.is_changed_by_another());
    let error = trial.undo(&terminal, ASKED).await.unwrap_err();
    assert!(error.message.starts_with("somebody has changed"), "{error}");
    assert_eq!(trial.performed(Direction::Undo), 0);
}

#[tokio::test]
async fn an_old_plan_is_rolled_back_unasked_only_by_its_name() {
    let bare = async |trial: &Trial, consent: Consent| {
        let undoing = Undoing {
            hosts: &hosts(&trial.memory),
            id: &trial.plan.id,
            accept_data_loss: true,
            accept_outage: false,
            named: false,
            without: &[],
            surroundings: &trial.around,
        };
        carry_out(&undoing, &yes(), consent).await
    };
    let trial = Trial::done(PlanKind::Manifest).await;
    let error = bare(&trial, YES).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    let hints = crate::advice::hints(&error);
    assert_eq!(
        hints,
        [format!("kubectl etcd plan undo {} --yes", trial.plan.id)]
    );
    assert_eq!(trial.performed(Direction::Undo), 0);
    bare(&trial, ASKED).await.unwrap();
    // One that has not ended is the one that is meant, however old.
    let trial = Trial::failed(PlanKind::Manifest, 10, Fault::Apply).await;
    bare(&trial, YES).await.unwrap();
}
