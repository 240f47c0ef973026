//! The order of a life, of a change that does nothing but tell of it.

use std::cell::RefCell;

use serde::Serialize;

use super::fakes::{FakeTerminal, Reply};
use super::{Change, Consent, Ending, Terminal, carry_out};
use crate::views::grid::Paint;
use crate::views::{Format, View};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};

#[derive(Serialize)]
struct Shown(u32);

impl View for Shown {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        format!("plan {}", self.0)
    }
}

/// A plan is how often it was looked.
#[derive(Default)]
struct Told {
    life: RefCell<Vec<String>>,
    looks: RefCell<u32>,
    /// Where it fails.
    fails_at: &'static str,
    changed: bool,
    trusts_first_look: bool,
    nothing: bool,
}

impl Told {
    fn failing(at: &'static str) -> Self {
        Self {
            fails_at: at,
            ..Self::default()
        }
    }

    fn at(&self, what: &str) -> Result<(), Error> {
        self.life.borrow_mut().push(what.to_owned());
        match self.fails_at == what {
            true => Err(Error::failed(what)),
            false => Ok(()),
        }
    }

    fn life(&self) -> String {
        self.life.borrow().join(", ")
    }
}

impl Change for Told {
    type Plan = u32;
    type Lock = ();
    type Done = ();
    type View = Shown;

    async fn make(&self, _terminal: &impl Terminal) -> Result<u32, Error> {
        let look = self.looks.replace_with(|looks| *looks + 1) + 1;
        self.at(&format!("look {look}"))?;
        Ok(look)
    }

    fn nothing_to_do(
        &self,
        plan: &u32,
        _consent: &Consent,
        _terminal: &impl Terminal,
    ) -> Option<Ending<Shown>> {
        let nothing = || Ending::shown(Shown(*plan), Verdict::Healthy);
        self.nothing.then(nothing)
    }

    fn preview(&self, plan: &u32, _consent: &Consent) -> Shown {
        Shown(*plan)
    }

    fn dry_run_ends(&self, _plan: &u32) -> Result<Verdict, Error> {
        self.at("dry run").map(|()| Verdict::Degraded)
    }

    fn refuse(&self, plan: &u32, _consent: &Consent) -> Result<(), Error> {
        self.at(&format!("refuse {plan}"))
    }

    async fn lock(&self, _plan: &u32, _terminal: &impl Terminal) -> Result<(), Error> {
        self.at("lock")
    }

    fn looks_again(&self, _plan: &u32, _consent: &Consent) -> bool {
        !self.trusts_first_look
    }

    fn is_as_agreed(&self, _now: &u32, _agreed: &u32) -> bool {
        !self.changed
    }

    async fn begin(&self, plan: &u32, (): ()) -> Result<(), Error> {
        self.at(&format!("begin {plan}"))
    }

    async fn execute(&self, plan: &u32, (): &(), _terminal: &impl Terminal) -> Result<(), Error> {
        self.at(&format!("execute {plan}"))
    }

    async fn check(&self, plan: u32, (): (), _terminal: &impl Terminal) -> Ending<Shown> {
        Ending {
            view: Some(Shown(plan + 100)),
            ends: self.at("check").map(|()| Verdict::Degraded),
        }
    }
}

fn consent(dry_run: bool, yes: bool) -> Consent {
    Consent {
        dry_run,
        yes,
        output: Format::Table,
    }
}

const ASKED: Consent = Consent {
    dry_run: false,
    yes: false,
    output: Format::Table,
};

#[tokio::test]
async fn what_is_looked_at_under_the_lock_is_what_is_done() {
    let (change, terminal) = (Told::default(), FakeTerminal::new(Reply::Yes));
    let verdict = carry_out(&change, &terminal, ASKED).await.unwrap();
    assert_eq!(verdict, Verdict::Degraded);
    assert_eq!(
        change.life(),
        "look 1, refuse 1, lock, look 2, refuse 2, begin 2, execute 2, check"
    );
    assert_eq!(
        terminal.lines(),
        ["tells: plan 1", "asks: Go on?", "shows: plan 102"]
    );
}

#[tokio::test]
async fn who_has_agreed_beforehand_is_not_asked() {
    let (change, terminal) = (Told::default(), FakeTerminal::new(Reply::No));
    carry_out(&change, &terminal, consent(false, true))
        .await
        .unwrap();
    assert_eq!(terminal.lines(), ["shows: plan 102"]);
}

#[tokio::test]
async fn a_dry_run_ends_when_the_plan_is_shown_and_refuses_what_would_be_refused() {
    for (fails_at, life, code) in [
        ("", "look 1, refuse 1, dry run", Ok(Verdict::Degraded)),
        (
            "dry run",
            "look 1, refuse 1, dry run",
            Err(ErrorKind::Failed),
        ),
        ("refuse 1", "look 1, refuse 1", Err(ErrorKind::Failed)),
    ] {
        let (change, terminal) = (Told::failing(fails_at), FakeTerminal::new(Reply::Yes));
        let ended = carry_out(&change, &terminal, consent(true, true)).await;
        assert_eq!(ended.map_err(|error| error.kind), code);
        assert_eq!(change.life(), life);
        assert_eq!(terminal.lines(), ["shows: plan 1"]);
    }
}

#[tokio::test]
async fn where_there_is_nothing_to_do_nobody_is_asked_or_kept_out() {
    let change = Told {
        nothing: true,
        ..Told::default()
    };
    let terminal = FakeTerminal::new(Reply::Yes);
    carry_out(&change, &terminal, ASKED).await.unwrap();
    assert_eq!(change.life(), "look 1");
    assert_eq!(terminal.lines(), ["shows: plan 1"]);
}

#[tokio::test]
async fn what_fails_ends_the_life_there() {
    let all = "look 1, refuse 1, lock, look 2, refuse 2, begin 2, execute 2, check";
    for at in all.split(", ") {
        let (change, terminal) = (Told::failing(at), FakeTerminal::new(Reply::Yes));
        let error = carry_out(&change, &terminal, ASKED).await.unwrap_err();
        assert_eq!(error.message, at);
        let until = all.find(at).unwrap() + at.len();
        assert_eq!(change.life(), all[..until]);
        // How far it came is shown even so, where it came to its end.
        let shown = terminal.starting("shows").len();
        assert_eq!(shown, usize::from(at == "check"), "{at}");
    }
}

#[tokio::test]
async fn without_consent_nothing_is_locked() {
    for (reply, kind) in [
        (Reply::No, ErrorKind::Refused),
        (Reply::CtrlC, ErrorKind::Interrupted),
    ] {
        let (change, terminal) = (Told::default(), FakeTerminal::new(reply));
        let error = carry_out(&change, &terminal, ASKED).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!(change.life(), "look 1, refuse 1");
    }
}

#[tokio::test]
async fn what_has_changed_since_it_was_shown_is_not_begun() {
    let change = Told {
        changed: true,
        ..Told::default()
    };
    let terminal = FakeTerminal::new(Reply::Yes);
    let error = carry_out(&change, &terminal, ASKED).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.ends_with("nothing was done"), "{error}");
    assert_eq!(change.life(), "look 1, refuse 1, lock, look 2, refuse 2");
}

#[tokio::test]
async fn a_look_that_is_fresh_enough_is_not_taken_again() {
    let change = Told {
        trusts_first_look: true,
        ..Told::default()
    };
    let terminal = FakeTerminal::new(Reply::Yes);
    carry_out(&change, &terminal, consent(false, true))
        .await
        .unwrap();
    assert_eq!(
        change.life(),
        "look 1, refuse 1, lock, begin 1, execute 1, check"
    );
}
