//! The life of everything that changes a cluster, the same for all: look, make, refuse, show, ask, lock, look again, refuse,
//! compare, begin, execute, check, show. With `--dry-run` it ends once the plan is made and shown, and what would be refused is.
//!
//! What is made and what is shown is the command's: a [`Change`]. Nothing of the order is.

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;

use crate::ui::Ui;
use crate::views::{Format, View};
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::outcome::NoticeSink;

/// What was typed of how a change is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Consent {
    /// Only the plan is shown.
    pub(crate) dry_run: bool,
    /// Nobody is asked.
    pub(crate) yes: bool,
    /// How the answer is written.
    pub(crate) output: Format,
}

/// Where a change is shown, and who is asked.
pub(crate) trait Terminal {
    /// One line about what is going on.
    fn say(&self, line: &str);

    /// A warning.
    fn warn(&self, line: &str);

    /// Tells what a question will be about.
    fn tell(&self, view: &impl View);

    /// Prints the answer.
    ///
    /// # Errors
    /// When it cannot be written.
    fn show(&self, view: &impl View, format: Format) -> Result<(), Error>;

    /// Asks whether to go on.
    ///
    /// # Errors
    /// When the answer is no, or nobody is there to be asked.
    async fn confirm(&self, question: &str) -> Result<(), Error>;

    /// Where runners and hosts tell what is going on.
    fn notices(&self) -> NoticeSink;
}

impl Terminal for Ui {
    fn say(&self, line: &str) {
        Ui::say(self, line);
    }

    fn warn(&self, line: &str) {
        Ui::warn(self, line);
    }

    fn tell(&self, view: &impl View) {
        Ui::tell(self, view);
    }

    fn show(&self, view: &impl View, format: Format) -> Result<(), Error> {
        Ui::show(self, view, format)
    }

    async fn confirm(&self, question: &str) -> Result<(), Error> {
        Ui::confirm(self, question, false).await
    }

    fn notices(&self) -> NoticeSink {
        Ui::notices(self)
    }
}

/// How a command ends: what is shown, and what it exits with then.
pub(crate) struct Ending<V> {
    /// What is shown; none: all was said before.
    pub(crate) view: Option<V>,
    /// The verdict, or what went wrong.
    pub(crate) ends: Result<Verdict, Error>,
}

impl<V> Ending<V> {
    /// Shown, with this verdict.
    pub(crate) fn shown(view: V, verdict: Verdict) -> Self {
        Self {
            view: Some(view),
            ends: Ok(verdict),
        }
    }
}

/// Something that changes a cluster.
pub(crate) trait Change {
    /// What would be done, made from one look.
    type Plan;
    /// What keeps others out meanwhile.
    type Lock;
    /// What was done.
    type Done;
    /// What is shown, before and after.
    type View: View;

    /// Looks, and makes the plan of what is found. Done again once the lock is held.
    ///
    /// # Errors
    /// When nothing can be made of it.
    async fn make(&self, terminal: &impl Terminal) -> Result<Self::Plan, Error>;

    /// How it ends where there is nothing to do.
    fn nothing_to_do(
        &self,
        _plan: &Self::Plan,
        _consent: &Consent,
        _terminal: &impl Terminal,
    ) -> Option<Ending<Self::View>> {
        None
    }

    /// The plan, as it is shown before anything is done.
    fn preview(&self, plan: &Self::Plan, consent: &Consent) -> Self::View;

    /// How a dry run ends.
    ///
    /// # Errors
    /// When the plan is one that is not begun.
    fn dry_run_ends(&self, _plan: &Self::Plan) -> Result<Verdict, Error> {
        Ok(Verdict::Healthy)
    }

    /// Refuses what must not be done as things are, or what nobody has agreed to by name: saying yes beforehand is no
    /// consent to a loss that nobody has seen.
    ///
    /// # Errors
    /// What would lift it is a hint.
    fn refuse(&self, _plan: &Self::Plan, _consent: &Consent) -> Result<(), Error> {
        Ok(())
    }

    /// Why something was refused before the lock was held: members look ill while somebody else works on them.
    async fn why_refused(&self, refused: Error) -> Error {
        refused
    }

    /// Tells what is about to be done.
    fn announce(&self, plan: &Self::Plan, consent: &Consent, terminal: &impl Terminal) {
        if !consent.yes {
            terminal.tell(&self.preview(plan, consent));
        }
    }

    /// What is asked.
    fn question(&self, _plan: &Self::Plan) -> String {
        "Go on?".to_owned()
    }

    /// Keeps others out.
    ///
    /// # Errors
    /// When somebody else is at work.
    async fn lock(&self, plan: &Self::Plan, terminal: &impl Terminal) -> Result<Self::Lock, Error>;

    /// Whether the look before the lock is too old: the question may have stood for minutes, and somebody else may have been
    /// at work until now.
    fn looks_again(&self, _plan: &Self::Plan, _consent: &Consent) -> bool {
        true
    }

    /// Whether who agreed to `agreed` has agreed to this as well.
    fn is_as_agreed(&self, now: &Self::Plan, agreed: &Self::Plan) -> bool;

    /// What is said where it is not.
    fn changed(&self) -> Error {
        Error::refused("what was found has changed since the plan was shown: nothing was done")
            .hint("run it again, and look at the new plan")
    }

    /// Puts on record that it begins, where there is a record of it. An error here has changed nothing.
    ///
    /// # Errors
    /// When it must not begin, or cannot.
    async fn begin(&self, _plan: &Self::Plan, lock: Self::Lock) -> Result<Self::Lock, Error> {
        Ok(lock)
    }

    /// Does it.
    ///
    /// # Errors
    /// The first step's that failed, with what helps on from there.
    async fn execute(
        &self,
        plan: &Self::Plan,
        lock: &Self::Lock,
        terminal: &impl Terminal,
    ) -> Result<Self::Done, Error>;

    /// Looks at what came of it.
    async fn check(
        &self,
        plan: Self::Plan,
        done: Self::Done,
        terminal: &impl Terminal,
    ) -> Ending<Self::View>;
}

/// Carries a change through its life.
///
/// # Errors
/// When it is refused, not confirmed, changed meanwhile, or fails.
pub(crate) async fn carry_out(
    change: &impl Change,
    terminal: &impl Terminal,
    consent: Consent,
) -> Result<Verdict, Error> {
    // On the heap: what is found and done is large, and would be in the future of whoever calls this.
    let agreed = match Box::pin(change.make(terminal)).await {
        Ok(agreed) => agreed,
        Err(refused) => return Err(change.why_refused(refused).await),
    };
    if let Some(ending) = change.nothing_to_do(&agreed, &consent, terminal) {
        return end(ending, terminal, consent);
    }
    if consent.dry_run {
        let ends = match change.refuse(&agreed, &consent) {
            Ok(()) => change.dry_run_ends(&agreed),
            Err(refused) => Err(change.why_refused(refused).await),
        };
        let view = Some(change.preview(&agreed, &consent));
        return end(Ending { view, ends }, terminal, consent);
    }
    if let Err(refused) = change.refuse(&agreed, &consent) {
        return Err(change.why_refused(refused).await);
    }
    change.announce(&agreed, &consent, terminal);
    if !consent.yes {
        terminal.confirm(&change.question(&agreed)).await?;
    }
    let lock = Box::pin(change.lock(&agreed, terminal)).await?;
    let plan = match change.looks_again(&agreed, &consent) {
        false => agreed,
        true => {
            let now = Box::pin(change.make(terminal)).await?;
            change.refuse(&now, &consent)?;
            match change.is_as_agreed(&now, &agreed) {
                true => now,
                false => return Err(change.changed()),
            }
        }
    };
    let lock = Box::pin(change.begin(&plan, lock)).await?;
    let done = Box::pin(change.execute(&plan, &lock, terminal)).await?;
    // Nothing is changed from here on, and looking at what came of it may take a minute.
    drop(lock);
    let ending = Box::pin(change.check(plan, done, terminal)).await;
    end(ending, terminal, consent)
}

fn end<V: View>(
    ending: Ending<V>,
    terminal: &impl Terminal,
    consent: Consent,
) -> Result<Verdict, Error> {
    if let Some(view) = &ending.view {
        terminal.show(view, consent.output)?;
    }
    ending.ends
}
