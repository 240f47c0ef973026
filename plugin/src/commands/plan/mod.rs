//! `kubectl etcd plan`

mod idle;
mod outage;
mod resume;
#[cfg(test)]
mod tests;
mod undo;

use clap::{Args, Subcommand};
use etcd_operations::plan::PlanId;
use jiff::Timestamp;

use self::resume::{ResumeArgs, resume};
use self::undo::{UndoArgs, undo};
use super::Context;
use crate::args::OutputArgs;
use crate::args::ssh::SshArgs;
use crate::views::plan::{PlanList, PlanView};
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::executor::{Hosts, PlanState};

const EXAMPLES: &str = "\
Examples:
  # Which plans were begun on this host, and how far are they?
  kubectl etcd plan list

  # What exactly did the last one do?
  kubectl etcd plan show

  # After a crash, a Ctrl-C or a loss of power: resume, or roll back
  kubectl etcd plan resume
  kubectl etcd plan undo

  # The same from anywhere
  kubectl etcd plan list --ssh

Run it on a control-plane node, as root; the other hosts of the plan are reached over ssh. Without a \
name: the plan that has begun and not ended, else the newest.
Exit codes: 0 done, 1 a step failed, 3 done and something is not as it should be or could not be \
rolled back, 5 refused.";

const LIST: &str = "\
Examples:
  # Which plans were begun on this host, and how far are they?
  kubectl etcd plan list

  # On all control-plane nodes
  kubectl etcd plan list --ssh";

const SHOW: &str = "\
Examples:
  # What exactly did the last one do?
  kubectl etcd plan show

  # One of them, for a program
  kubectl etcd plan show recover-2026-11-22T083000Z -o json

Exit codes: 0 done, 3 it has not ended, or something is not as it should be.";

/// Show, resume, or roll back what a command did on control-plane nodes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlansArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the plans that were begun on this host
    #[command(after_help = LIST)]
    List(ListArgs),
    /// Show a plan and how far it is
    #[command(after_help = SHOW)]
    Show(WhichArgs),
    /// Resume a plan that has begun and not ended
    Resume(ResumeArgs),
    /// Roll back what a plan did, as far as it still exists
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
            let states = states(&context.hosts(&args.ssh).await?.hosts).await?;
            let view = PlanList::new(&states, Timestamp::now());
            context.ui.show(&view, args.output.output)?;
            Ok(Verdict::Healthy)
        }
        Action::Show(args) => {
            let hosts = context.hosts(&args.ssh).await?.hosts;
            let state = find(&hosts, args.plan).await?;
            let view = PlanView::kept(&state);
            context.ui.show(&view, args.output.output)?;
            Ok(verdict(&state))
        }
        Action::Resume(args) => Box::pin(resume(context, args)).await,
        Action::Undo(args) => Box::pin(undo(context, args)).await,
    }
}

fn verdict(state: &PlanState) -> Verdict {
    Verdict::of(!state.unfinished)
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
