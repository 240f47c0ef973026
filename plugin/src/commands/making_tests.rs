//! A plan that is made and carried out on hosts in memory.

use std::cell::Cell;
use std::time::Duration;

use etcd_operations::failure::Failure;
use etcd_operations::plan::make::{Loss, PlanPreview};
use etcd_operations::plan::{Direction, Plan, PlanKind};
use jiff::Timestamp;
use tokio::time::timeout;

use super::life::fakes::{FakeSurroundings, FakeTerminal, Reply};
use super::life::{Consent, carry_out};
use super::making::Making;
use super::planned::{Accepted, Nothing, Planned};
use crate::views::Format;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::executor::memory::{Fault, MemoryHost, RESTORED, hosts, memory, plan};

const ASKED: Consent = Consent {
    dry_run: false,
    yes: false,
    output: Format::Table,
};

const YES: Consent = Consent { yes: true, ..ASKED };

const DRY_RUN: Consent = Consent {
    dry_run: true,
    ..ASKED
};

/// A plan that loses data.
fn preview(plan: &Plan) -> PlanPreview {
    PlanPreview {
        refused: None,
        plan: plan.clone(),
        found: Vec::new(),
        losses: vec![Loss::Outage, Loss::LogBeyondDatabase { entries: 7 }],
        origin: None,
        fences: Vec::new(),
        brought_back: Vec::new(),
    }
}

/// A command of one kind on three hosts.
struct Trial {
    memory: Vec<MemoryHost>,
    plan: Plan,
    accepted: Accepted,
    /// What each look makes, the last for ever.
    looks: Vec<PlanPreview>,
    looked: Cell<usize>,
    around: FakeSurroundings,
}

impl Trial {
    fn of(kind: PlanKind) -> Self {
        let memory = memory(3);
        let plan = plan(kind, &memory);
        Self {
            looks: vec![preview(&plan)],
            plan,
            memory,
            accepted: Accepted::default(),
            looked: Cell::new(0),
            around: FakeSurroundings::default(),
        }
    }

    async fn run(&self, terminal: &FakeTerminal, consent: Consent) -> Result<Verdict, Error> {
        let hosts = hosts(&self.memory);
        let making = Making {
            hosts: &hosts,
            accepted: self.accepted,
            bring: &Nothing,
            surroundings: &self.around,
            now: self.plan.made,
            plan_of: async |now: Timestamp| {
                assert_eq!(now, self.plan.made, "a plan has one name");
                let at = self.looked.replace(self.looked.get() + 1);
                let preview = self.looks.get(at).or(self.looks.last()).unwrap();
                Ok::<_, Error>(Planned {
                    looked: Vec::new(),
                    preview: preview.clone(),
                })
            },
        };
        carry_out(&making, terminal, consent).await
    }

    fn looks(&self) -> usize {
        self.looked.get()
    }

    fn performed(&self) -> usize {
        let hosts = self.memory.iter();
        hosts.map(|host| host.performed().len()).sum()
    }

    /// Nothing was asked of any host.
    fn is_untouched(&self) -> bool {
        self.memory.iter().all(|host| host.requests() == 0)
    }
}

fn yes() -> FakeTerminal {
    FakeTerminal::new(Reply::Yes)
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_touches_nothing() {
    let trial = Trial::of(PlanKind::Restore);
    let terminal = yes();
    let verdict = trial.run(&terminal, DRY_RUN).await.unwrap();
    assert_eq!((verdict, trial.looks()), (Verdict::Healthy, 1));
    assert_eq!(terminal.lines().len(), 1, "{:?}", terminal.lines());
    assert!(terminal.lines()[0].contains("stop etcd (m1, m2, m3)"));
    assert!(trial.is_untouched());
    assert!(trial.around.locked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_plan_that_is_refused_is_shown_by_a_dry_run_and_never_begun() {
    let mut trial = Trial::of(PlanKind::Recover);
    let refusal = Failure::refused("m2 still serves").hint("stop it");
    trial.looks[0].refused = Some(refusal);
    for (consent, shown) in [(DRY_RUN, 1), (ASKED, 0), (YES, 0)] {
        let terminal = yes();
        let error = trial.run(&terminal, consent).await.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Refused, "m2 still serves")
        );
        assert_eq!(crate::advice::hints(&error), ["stop it"]);
        assert_eq!(terminal.lines().len(), shown);
        assert!(trial.is_untouched());
    }
}

#[tokio::test]
async fn yes_is_no_consent_to_a_loss_that_nobody_has_seen() {
    let trial = Trial::of(PlanKind::Restore);
    let error = trial.run(&yes(), YES).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        crate::advice::hints(&error)[0].starts_with("--accept-data-loss"),
        "{error:?}"
    );
    assert!(trial.is_untouched());
    // Who is asked has seen it.
    trial.run(&yes(), ASKED).await.unwrap();
    let mut trial = Trial::of(PlanKind::Restore);
    trial.accepted.data_loss = true;
    trial.run(&yes(), YES).await.unwrap();
}

#[tokio::test]
async fn only_what_makes_a_cluster_anew_may_cost_the_quorum_unnamed() {
    let refused = |kind: PlanKind| async move {
        let mut trial = Trial::of(kind);
        trial.looks[0].losses = vec![Loss::Outage];
        let ended = trial.run(&yes(), YES).await;
        trial.accepted.outage = true;
        trial.run(&yes(), YES).await.unwrap();
        ended.is_err_and(|error| {
            crate::advice::hints(&error)
                .iter()
                .any(|hint| hint.contains("--accept-outage"))
        })
    };
    assert!(refused(PlanKind::Manifest).await && refused(PlanKind::Replace).await);
    assert!(!refused(PlanKind::Restore).await && !refused(PlanKind::Recover).await);
}

#[tokio::test]
async fn without_a_yes_nothing_is_touched() {
    for (reply, code) in [(Reply::No, 5), (Reply::CtrlC, 130)] {
        let trial = Trial::of(PlanKind::Restore);
        let terminal = FakeTerminal::new(reply);
        let error = trial.run(&terminal, ASKED).await.unwrap_err();
        assert_eq!(error.kind.exit_code(), code);
        assert_eq!(terminal.starting("tells").len(), 1, "what is asked about");
        assert!(trial.is_untouched() && trial.around.locked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn while_somebody_else_has_the_lock_nothing_is_touched() {
    let mut trial = Trial::of(PlanKind::Replace);
    trial.around.held_by = Some("jane");
    let error = trial.run(&yes(), ASKED).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.starts_with("jane"), "{error}");
    assert!(trial.is_untouched());
    assert_eq!(trial.looks(), 1);
}

#[tokio::test]
async fn what_has_changed_between_the_look_and_the_lock_is_not_done() {
    let mut trial = Trial::of(PlanKind::Replace);
    let mut other = preview(&trial.plan);
    other.plan.stages.pop();
    trial.looks.push(other);
    let error = trial.run(&yes(), ASKED).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("has changed"), "{error}");
    assert!(trial.is_untouched());
    assert_eq!(trial.looks(), 2);
}

#[tokio::test]
async fn another_plan_that_begins_between_the_look_and_the_lock_keeps_this_one_out() {
    let mut trial = Trial::of(PlanKind::Replace);
    let theirs = plan(PlanKind::Manifest, &trial.memory);
    let (host, begun) = (trial.memory[1].clone(), theirs.clone());
    trial.around = FakeSurroundings::default().meanwhile(move || host.begin(&begun).unwrap());
    let error = trial.run(&yes(), ASKED).await.unwrap_err();
    assert!(error.message.contains(theirs.id.as_str()), "{error}");
    assert!(trial.memory[0].is_free() && trial.memory[2].is_free());
    assert_eq!(trial.performed(), 0);
}

#[tokio::test]
async fn unasked_a_cluster_that_is_made_anew_is_looked_at_once() {
    for (kind, consent, looks) in [
        (PlanKind::Restore, YES, 1),
        (PlanKind::Recover, YES, 1),
        (PlanKind::Restore, ASKED, 2),
        (PlanKind::Replace, YES, 2),
        (PlanKind::Manifest, YES, 2),
    ] {
        let mut trial = Trial::of(kind);
        trial.accepted.data_loss = true;
        trial.run(&yes(), consent).await.unwrap();
        assert_eq!(trial.looks(), looks, "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_done_is_looked_at_and_shown_with_the_way_back() {
    let trial = Trial::of(PlanKind::Restore);
    let terminal = yes();
    let verdict = trial.run(&terminal, ASKED).await.unwrap();
    assert_eq!((verdict, trial.performed()), (Verdict::Healthy, 12));
    assert!(trial.memory.iter().all(MemoryHost::is_free));
    assert_eq!(trial.around.checks(), [Some(RESTORED)]);
    let locked = trial.around.locked.lock().unwrap().join(", ");
    assert_eq!(locked, trial.plan.title);
    let said = terminal.starting("says");
    let id = &trial.plan.id;
    assert_eq!(
        said[0],
        format!(
            "says: if this is interrupted, `kubectl etcd plan resume {id}` goes on and `kubectl etcd plan undo {id}` rolls back"
        )
    );
    assert_eq!(said[5], "says: looking at members, nodes and pods");
    let shown = terminal.starting("shows");
    assert!(
        shown[0].contains(&format!("Undo     kubectl etcd plan undo {id}\n")),
        "{shown:?}"
    );
    assert!(
        shown[0].contains("Checked  3 members with the same data\n"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_cluster_that_is_not_as_it_should_be_afterwards_is_degraded() {
    for (kind, verdict, checks) in [
        (PlanKind::Restore, Verdict::Degraded, 1),
        (PlanKind::Recover, Verdict::Degraded, 1),
        (PlanKind::Replace, Verdict::Degraded, 1),
        // Its last step has looked.
        (PlanKind::Manifest, Verdict::Healthy, 0),
    ] {
        let mut trial = Trial::of(kind);
        trial.around.problems = vec!["no report of kubelet on m2".to_owned()];
        let ended = trial.run(&yes(), ASKED).await.unwrap();
        assert_eq!(
            (ended, trial.around.checks().len()),
            (verdict, checks),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_step_that_fails_in_the_middle_leaves_two_ways_on() {
    for fault in Fault::ALL {
        let trial = Trial::of(PlanKind::Restore);
        trial.memory[1].fails(5, Direction::Do, fault);
        let terminal = yes();
        let error = trial.run(&terminal, ASKED).await.unwrap_err();
        let id = &trial.plan.id;
        let ways = [
            format!("kubectl etcd plan resume {id} tries again and goes on"),
            format!("kubectl etcd plan undo {id} rolls back what was done"),
        ];
        assert_eq!(crate::advice::hints(&error), ways, "{fault:?}");
        assert!(terminal.starting("shows").is_empty());
        assert!(trial.memory.iter().all(|host| !host.is_free()));
        assert!(trial.around.checks().is_empty());
    }
}

#[tokio::test]
async fn after_ctrl_c_the_plan_is_on_its_hosts_and_how_to_go_on_was_said() {
    let trial = Trial::of(PlanKind::Restore);
    trial.memory[0].fails(4, Direction::Do, Fault::Hangs);
    let terminal = yes();
    // A signal drops what is being done.
    let running = trial.run(&terminal, ASKED);
    timeout(Duration::from_millis(50), running)
        .await
        .unwrap_err();
    assert!(trial.memory.iter().all(|host| !host.is_free()));
    assert_eq!(trial.performed(), 5);
    assert!(terminal.starting("says")[0].contains("plan resume"));
}
