//! `kubectl etcd plan`

mod idle;
mod outage;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use etcd_operations::plan::{self, Direction, Plan, PlanId, StepState};
use jiff::Timestamp;

use self::idle::found_idle;
use self::outage::refuse_outage;
use super::Context;
use super::planned::Nothing;
use super::restore::{self, Snapshot};
use crate::args::OutputArgs;
use crate::args::ssh::SshArgs;
use crate::views::plan::{PlanList, PlanView, Progress};
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::lead::gather::{gather, gather_for, this_host};
use kubectl_etcd_core::lead::lock::{Locked, lock};
use kubectl_etcd_core::lead::run::Bring;
use kubectl_etcd_core::lead::{Hosts, PlanState, lead, take_back};
use kubectl_etcd_core::runners::host::Host;

const EXAMPLES: &str = "\
Examples:
  # Which plans were begun on this host, and how far are they?
  kubectl etcd plan list

  # What exactly did the last one do?
  kubectl etcd plan show

  # After a crash, a Ctrl-C or a loss of power: go on, or take it back
  kubectl etcd plan resume
  kubectl etcd plan undo

  # The same from anywhere
  kubectl etcd plan list --ssh

Run it on a control-plane node, as root; the other hosts of the plan are reached over ssh. Without a name: the plan that has
begun and not ended, else the newest.
Exit codes: 0 done, 1 a step failed, 3 done and something could not be taken back, 5 refused.";

/// Show, go on with, or take back what a command did on control-plane nodes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlansArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the plans that were begun on this host
    List(ListArgs),
    /// Show a plan and how far it is
    Show(WhichArgs),
    /// Go on with a plan that has begun and not ended
    Resume(ResumeArgs),
    /// Take back what a plan did, as far as it still exists
    Undo(UndoArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// Plan; the one that has begun and not ended, else the newest
    #[arg(value_name = "PLAN", value_parser = plan_id)]
    plan: Option<PlanId>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
}

#[derive(Debug, Args)]
struct ResumeArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    /// Go on although the cluster loses its quorum while this node's etcd is down
    #[arg(long)]
    accept_outage: bool,
    /// The snapshot of a restore, where not every host had got it
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct UndoArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    /// Agree to what was written since going out of service; needed with --yes
    #[arg(long)]
    accept_data_loss: bool,
    /// Take it back although the cluster loses its quorum while this node's etcd is down
    #[arg(long)]
    accept_outage: bool,
    /// Take it back without this host of the plan, which is lost for good; may be given several times
    #[arg(long, value_name = "NODE")]
    without: Vec<String>,
}

/// What was sent before a plan was interrupted, and what it takes to send the rest.
struct Sent<'a> {
    state: &'a PlanState,
    snapshot: Option<Snapshot>,
}

impl Bring for Sent<'_> {
    async fn snapshot(&self, host: &Host, plan: &Plan) -> Result<(), Error> {
        let received = plan.steps_of(host.node()).any(|step| {
            let done = matches!(
                self.state.steps.get(&step.number),
                Some(StepState::Done { .. })
            );
            done && matches!(step.action, plan::Action::Receive { .. })
        });
        match &self.snapshot {
            _ if received => Ok(()),
            Some(snapshot) => snapshot.snapshot(host, plan).await,
            None => Nothing.snapshot(host, plan).await,
        }
    }
}

fn plan_id(text: &str) -> Result<PlanId, String> {
    PlanId::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Does what was asked.
///
/// # Errors
/// When there is no such plan, a host of it cannot be reached, or a step fails.
pub async fn plan(context: &Context<'_>, args: PlansArgs) -> Result<Verdict, Error> {
    match args.action {
        Action::List(args) => {
            let states = states(&hosts(context, &args.ssh).await?).await?;
            let view = PlanList::new(&states, Timestamp::now());
            context.ui.show(&view, args.output.output)?;
            Ok(Verdict::Healthy)
        }
        Action::Show(args) => {
            let hosts = hosts(context, &args.ssh).await?;
            let state = find(&hosts, args.plan).await?;
            let view = PlanView::kept(&state).for_hosts(&hosts);
            context.ui.show(&view, args.output.output)?;
            Ok(verdict(&state))
        }
        Action::Resume(args) => Box::pin(resume(context, args)).await,
        Action::Undo(args) => Box::pin(undo(context, args)).await,
    }
}

/// Those on which plans are looked for.
async fn hosts(context: &Context<'_>, ssh: &SshArgs) -> Result<Hosts, Error> {
    match ssh.wanted() {
        true => Ok(
            gather(&context.ui.notices(), &ssh.targets(), context.connection)
                .await?
                .hosts,
        ),
        false => Ok(Hosts::here(this_host(
            &context.ui.notices(),
            context.connection,
        )?)),
    }
}

async fn resume(context: &Context<'_>, args: ResumeArgs) -> Result<Verdict, Error> {
    let ssh = &args.which.ssh;
    let hosts = hosts(context, ssh).await?;
    let state = find(&hosts, args.which.plan).await?;
    let hosts = gather_for(&context.ui.notices(), &ssh.targets(), hosts, &state.plan).await?;
    let state = found_idle(context.ui, &hosts, &state.plan.id).await?;
    let id = &state.plan.id;
    if state.is_back() {
        return Err(Error::refused(format!("{id} is being rolled back"))
            .hint(format!("{} goes on with that", hosts.undo(id))));
    }
    if !state.unfinished {
        context
            .ui
            .say(&format!("{id} has ended: there is nothing to go on with"));
        return Ok(Verdict::Healthy);
    }
    let shown = PlanView::kept(&state);
    if !args.yes {
        context.ui.tell(&shown);
        context.ui.confirm("Go on with it?", false).await?;
    }
    let sent = Sent {
        snapshot: match &args.file {
            Some(file) => Some(restore::read(context.ui, file).await?),
            None => None,
        },
        state: &state,
    };
    let locked = locked(context, &state.plan.title).await?;
    if !args.accept_outage {
        refuse_outage(&hosts, &state, Direction::Do).await?;
    }
    hosts.begin_again(&state.plan, &[]).await?;
    let _locked = locked.during(state.plan.kind).await;
    let led = lead(&context.ui.notices(), &hosts, &state.plan, &sent).await?;
    let view = PlanView::kept(&state)
        .ended(Progress::Done, &led)
        .for_hosts(&hosts);
    context.ui.show(&view, args.which.output.output)?;
    Ok(Verdict::Healthy)
}

async fn undo(context: &Context<'_>, args: UndoArgs) -> Result<Verdict, Error> {
    let ssh = &args.which.ssh;
    let hosts = hosts(context, ssh).await?;
    let state = find(&hosts, args.which.plan).await?;
    refuse_without(&state.plan, &args.without)?;
    let hosts = gather_for(
        &context.ui.notices(),
        &ssh.targets(),
        hosts,
        &state.plan.without(&args.without),
    )
    .await;
    let hosts = hosts.map_err(|error| {
        error.hint("one that is lost for good: kubectl etcd plan undo --without NODE")
    })?;
    let state = found_idle(context.ui, &hosts, &state.plan.id).await?;
    refuse_older(&hosts, &state).await?;
    refuse_gone(&state)?;
    refuse_changed(&state)?;
    let shown = PlanView::to_be_taken_back(&state);
    if args.yes && shown.loses() && !args.accept_data_loss {
        return Err(Error::refused(format!(
            "what was written since {} would be out of service",
            state.plan.made
        ))
        .hint("--accept-data-loss, besides --yes, takes that; it stays in a folder that is named at the end"));
    }
    if !args.yes {
        context.ui.tell(&shown);
        context.ui.confirm("Take it back?", false).await?;
    }
    let what = format!("undo of {}", state.plan.title);
    let locked = locked(context, &what).await?;
    if !args.accept_outage {
        refuse_outage(&hosts, &state, Direction::Undo).await?;
    }
    // A plan that has ended is begun again for this, so that no other is at work meanwhile.
    hosts.begin_again(&state.plan, &args.without).await?;
    let _locked = locked.during(state.plan.kind).await;
    let plan = state.plan.without(&args.without);
    let led = take_back(&context.ui.notices(), &hosts, &plan).await?;
    let view = PlanView::taken_back(&state)
        .ended(Progress::Undone, &led)
        .without(&args.without);
    let complete = view.is_clean();
    context.ui.show(&view, args.which.output.output)?;
    Ok(match complete {
        true => Verdict::Healthy,
        false => Verdict::Degraded,
    })
}

/// Takes the cluster's lock, as far as an apiserver takes it.
async fn locked(context: &Context<'_>, what: &str) -> Result<Locked, Error> {
    let notices = context.ui.notices();
    let taken = lock(&notices, context.created, context.connection, &[], what);
    Box::pin(taken).await
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

/// What cannot be taken back to its end is not begun with.
fn refuse_gone(state: &PlanState) -> Result<(), Error> {
    if !state.gone.is_empty() {
        return Err(Error::refused(format!(
            "what {} put aside is there no more: {}",
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
            .hint(format!("roll that back first: {}", hosts.undo(&later.id))))
        }
    }
}

fn verdict(state: &PlanState) -> Verdict {
    match state.unfinished {
        true => Verdict::Degraded,
        false => Verdict::Healthy,
    }
}

/// The plans of the hosts, each once, the newest last.
async fn states(hosts: &Hosts) -> Result<Vec<PlanState>, Error> {
    let mut found: Vec<PlanState> = Vec::new();
    for host in hosts.iter() {
        for on_host in host.plans(None).await? {
            match found
                .iter_mut()
                .find(|state| state.plan.id == on_host.plan.id)
            {
                Some(state) => state.and(host.node(), &on_host),
                None => found.push(PlanState::of(host.node(), &on_host)),
            }
        }
    }
    found.sort_by_key(|state| state.plan.made);
    Ok(found)
}

async fn find(hosts: &Hosts, wanted: Option<PlanId>) -> Result<PlanState, Error> {
    let mut states = states(hosts).await?;
    let at = match &wanted {
        Some(id) => states.iter().position(|state| state.plan.id == *id),
        None => {
            let unfinished = states.iter().rposition(|state| state.unfinished);
            unfinished.or(states.len().checked_sub(1))
        }
    };
    match (at, wanted) {
        (Some(at), _) => Ok(states.swap_remove(at)),
        (None, Some(id)) => {
            Err(Error::failed(format!("no plan {id} was found")).hint("kubectl etcd plan list"))
        }
        (None, None) => Err(Error::failed("no plan was found")
            .hint("run it on a host that took part, or name one: --ssh NODE=ADDRESS")),
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
