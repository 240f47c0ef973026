//! `kubectl etcd recover`

use clap::Args;
use etcd_operations::look::LookOptions;
use etcd_operations::plan::make::{Recovering, recover as plan};
use jiff::Timestamp;

use super::Context;
use super::life::carry_out;
use super::making::Making;
use super::planned::{Accepted, Nothing, PlanArgs, Planned, WhoArgs};
use super::restore::token;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::executor::gather::{Gathered, alive_elsewhere};

const EXAMPLES: &str = "\
Examples:
  # What is there, what would be done, and what would it cost?
  kubectl etcd recover --ssh --dry-run

  # On a control-plane node, with the others over ssh
  kubectl etcd recover --ssh

  # A cluster with one control-plane node
  kubectl etcd recover

  # No ssh, or the other nodes are lost: out of this one alone. What to run on each of the others is
  # in the plan
  kubectl etcd recover --this-node-only --dry-run

Run it as root on a control-plane node, or with --ssh from anywhere. The old data is moved aside, \
never deleted; kubectl etcd plan undo brings it back.
Exit codes: 0 done and checked, 1 a step failed, 5 refused or not confirmed, 6 nothing could be \
reached.";

/// Bring a cluster back that has lost its quorum: a new one out of the best survivor, which the others join
///
/// It gets a cluster id of its own: no old member can mix with it or be stopped by it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RecoverArgs {
    /// Recover from the data of this node, instead of the best
    #[arg(long, value_name = "NODE", conflicts_with = "this_node_only")]
    from: Option<String>,
    /// Agree to losing what the plan says may be lost; needed with --yes
    #[arg(long)]
    accept_data_loss: bool,
    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    plan: PlanArgs,
}

/// Looks, plans, asks, and forms a new cluster.
///
/// # Errors
/// When a safety check refuses, or a step fails.
pub async fn recover(context: &Context<'_>, args: RecoverArgs) -> Result<Verdict, Error> {
    let Gathered { hosts, unreachable } = args.who.gather(context).await?;
    let plan_of = async |now| {
        let looked = hosts.look(LookOptions::default()).await?;
        let mut manifests = Vec::new();
        for host in hosts.iter() {
            // Only the best host's is needed: which one that is, the plan says.
            manifests.push(host.manifest("etcd").await.ok());
        }
        let what = Recovering {
            token: token(),
            from: args.from.clone(),
            manifests,
            unreachable: unreachable.clone(),
            alive_elsewhere: alive_elsewhere(&looked).await,
            taking_part: args.who.taking_part(),
        };
        let made = plan(&looked, &what, now);
        Planned::new(looked, made, &args.who.manifest)
    };
    let making = Making {
        hosts: &hosts,
        accepted: Accepted::data_loss(args.accept_data_loss),
        bring: &Nothing,
        surroundings: context.apiservers(args.who.this_node_only),
        now: Timestamp::now(),
        plan_of,
    };
    carry_out(&making, context.ui, args.plan.consent()).await
}
