//! `kubectl etcd plan undo`: what a plan did is rolled back, as far as it still exists.

use std::time::Duration;

use clap::Args;
use etcd_operations::advice;
use etcd_operations::plan::{Direction, Plan, PlanId};
use jiff::Timestamp;

use super::idle::found_idle;
use super::outage::refuse_outage;
use super::{WhichArgs, find, states};
use crate::commands::Context;
use crate::commands::life::{Change, Consent, Ending, Terminal, carry_out};
use crate::views::plan::PlanView;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::executor::gather::gather_for;
use kubectl_etcd_core::executor::lock::Locked;
use kubectl_etcd_core::executor::state::Progress;
use kubectl_etcd_core::executor::surroundings::Surroundings;
use kubectl_etcd_core::executor::{Executed, Hosts, PlanState, roll_back};
use kubectl_etcd_core::format;

/// A plan that has ended is rolled back by who has just seen it end, without naming it.
const FRESH: Duration = Duration::from_secs(600);

const UNDO: &str = "\
Examples:
  # Bring back what the last plan changed
  kubectl etcd plan undo

  # From anywhere, without a host that is lost for good
  kubectl etcd plan undo --ssh --without cp-3

Exit codes: 0 done, 1 a step failed, 3 something could not be rolled back, 5 refused.";

#[derive(Debug, Args)]
#[command(after_help = UNDO)]
pub(super) struct UndoArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    /// Agree to what was written since going out of service; needed with --yes
    #[arg(long)]
    accept_data_loss: bool,
    /// Roll back although the cluster loses its quorum while this node's etcd is down
    #[arg(long)]
    accept_outage: bool,
    /// Roll back without this host of the plan, which is lost for good; may be given several times
    #[arg(long, value_name = "NODE")]
    without: Vec<String>,
}

pub(super) async fn undo(context: &Context<'_>, args: UndoArgs) -> Result<Verdict, Error> {
    let ssh = &args.which.ssh;
    let hosts = context.hosts(ssh).await?.hosts;
    let named = args.which.plan.is_some();
    let plan = find(&hosts, args.which.plan).await?.plan;
    refuse_without(&plan, &args.without)?;
    let hosts = gather_for(
        &context.ui.notices(),
        &ssh.targets(),
        hosts,
        &plan.without(&args.without),
    )
    .await;
    let hosts = hosts.map_err(|error| {
        error.hint("one that is lost for good: kubectl etcd plan undo --without NODE")
    })?;
    let undoing = Undoing {
        hosts: &hosts,
        id: &plan.id,
        named,
        accept_data_loss: args.accept_data_loss,
        accept_outage: args.accept_outage,
        without: &args.without,
        surroundings: context.apiservers(false),
    };
    let consent = Consent {
        dry_run: false,
        yes: args.yes,
        output: args.which.output.output,
    };
    carry_out(&undoing, context.ui, consent).await
}

/// What is to be rolled back of a plan.
pub(super) struct Undoing<'a, S> {
    pub(super) hosts: &'a Hosts,
    pub(super) id: &'a PlanId,
    /// Whether somebody has named it.
    pub(super) named: bool,
    pub(super) accept_data_loss: bool,
    pub(super) accept_outage: bool,
    /// The hosts that are left out.
    pub(super) without: &'a [String],
    pub(super) surroundings: S,
}

impl<S: Surroundings> Change for Undoing<'_, S> {
    type Plan = PlanState;
    type Lock = Locked;
    type Done = Executed;
    type View = PlanView;

    async fn make(&self, terminal: &impl Terminal) -> Result<PlanState, Error> {
        let state = found_idle(terminal, self.hosts, self.id).await?;
        refuse_older(self.hosts, &state).await?;
        refuse_gone(&state)?;
        refuse_changed(&state)?;
        Ok(state)
    }

    fn preview(&self, state: &PlanState, _consent: &Consent) -> PlanView {
        PlanView::to_be_rolled_back(state)
    }

    fn refuse(&self, state: &PlanState, consent: &Consent) -> Result<(), Error> {
        if consent.yes && !self.named {
            self.refuse_unnamed(state, Timestamp::now())?;
        }
        if consent.yes && state.undo_loses_data() && !self.accept_data_loss {
            return Err(Error::refused(format!(
                "what was written since {:.0} would be out of service",
                state.plan.made
            ))
            .hint("--accept-data-loss, besides --yes, takes that; it stays in a folder that is named at the end"));
        }
        Ok(())
    }

    fn question(&self, _state: &PlanState) -> String {
        "Roll it back?".to_owned()
    }

    async fn lock(&self, state: &PlanState, _terminal: &impl Terminal) -> Result<Locked, Error> {
        let what = format!("undo of {}", state.plan.title);
        self.surroundings.lock(&[], &what).await
    }

    fn is_as_agreed(&self, now: &PlanState, agreed: &PlanState) -> bool {
        now.steps == agreed.steps
    }

    async fn begin(&self, state: &PlanState, locked: Locked) -> Result<Locked, Error> {
        if !self.accept_outage {
            refuse_outage(self.hosts, state, Direction::Undo).await?;
        }
        // A plan that has ended is begun again for this, so that no other is at work meanwhile.
        self.hosts.begin_again(&state.plan, self.without).await?;
        Ok(locked.during(state.plan.kind).await)
    }

    async fn execute(
        &self,
        state: &PlanState,
        _locked: &Locked,
        terminal: &impl Terminal,
    ) -> Result<Executed, Error> {
        let plan = state.plan.without(self.without);
        roll_back(&terminal.notices(), self.hosts, &plan).await
    }

    async fn check(
        &self,
        state: PlanState,
        executed: Executed,
        _terminal: &impl Terminal,
    ) -> Ending<PlanView> {
        let view = PlanView::rolled_back(&state)
            .ended(Progress::Undone, &executed)
            .without(self.without);
        let verdict = Verdict::of(executed.leaves_nothing() && self.without.is_empty());
        Ending::shown(view, verdict)
    }
}

impl<S> Undoing<'_, S> {
    /// Unasked the newest plan is rolled back only as long as it is the one that everybody has in mind.
    fn refuse_unnamed(&self, state: &PlanState, now: Timestamp) -> Result<(), Error> {
        let age: Duration = now
            .duration_since(state.plan.made)
            .try_into()
            .unwrap_or_default();
        if state.unfinished || age < FRESH {
            return Ok(());
        }
        let (title, age) = (&state.plan.title, format::age(age));
        Err(Error::refused(format!(
            "the newest plan is {age} old ({title}): without being asked it is rolled back only by its name"
        ))
        .hint(advice![self.hosts.undo(self.id), " --yes"]))
    }
}

/// Only hosts of a plan can be left out of it, and not all of them.
fn refuse_without(plan: &Plan, without: &[String]) -> Result<(), Error> {
    let of_plan = |node: &&String| plan.hosts.iter().any(|host| host.node == **node);
    if let Some(other) = without.iter().find(|node| !of_plan(node)) {
        let message = format!("{other} has no part in {}", plan.id);
        return Err(Error::usage(message).hint("kubectl etcd plan show says which hosts have"));
    }
    match plan.without(without).hosts.is_empty() {
        true => Err(Error::usage("no host of the plan is left")),
        false => Ok(()),
    }
}

/// What cannot be rolled back to its end is not begun with.
fn refuse_gone(state: &PlanState) -> Result<(), Error> {
    if !state.gone.is_empty() {
        return Err(Error::refused(format!(
            "files moved aside by {} are missing: {}",
            state.plan.id,
            state.gone.join(", ")
        ))
        .hint("bring it back to its place, or leave the plan as it is"));
    }
    Ok(())
}

/// An undo does not write over what somebody else wrote. Begun all the same it would end half way, and a plan that is half
/// undone keeps every other from beginning.
fn refuse_changed(state: &PlanState) -> Result<(), Error> {
    if state.changed.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "somebody has changed what {} wrote: {}",
        state.plan.id,
        state.changed.join(", ")
    ))
    .hint("on that host, kubectl etcd manifest diff COMPONENT shows the change: revert it, or leave the plan as it is"))
}

/// What was done later stands on what was done before.
async fn refuse_older(hosts: &Hosts, state: &PlanState) -> Result<(), Error> {
    let states = states(hosts).await?;
    let on_the_same = |other: &&PlanState| {
        let mut nodes = other.plan.hosts.iter();
        nodes.any(|host| state.plan.hosts.iter().any(|own| own.node == host.node))
    };
    let later = states
        .iter()
        .filter(|other| other.plan.made > state.plan.made && on_the_same(other))
        .find(|other| !other.steps.is_empty() && (!other.is_back() || other.unfinished));
    match later {
        None => Ok(()),
        Some(later) => {
            let later = &later.plan;
            Err(Error::refused(format!(
                "{} ({}) was done on the same hosts after {}",
                later.id, later.title, state.plan.id
            ))
            .hint(advice!["roll that back first: ", hosts.undo(&later.id)]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::plan::samples::state;
    use kubectl_etcd_core::error::ErrorKind;

    #[test]
    fn a_plan_whose_manifest_somebody_has_edited_stays_as_it_is() {
        let mut state = state();
        assert!(refuse_changed(&state).is_ok());
        state.changed = vec!["m1: /etc/kubernetes/manifests/etcd.yaml".to_owned()];
        let error = refuse_changed(&state).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains("m1: /etc/kubernetes"), "{error}");
    }
}
