//! `kubectl etcd member`

mod add;
mod change;
#[cfg(test)]
mod change_tests;
mod look;
mod move_leader;
mod plan;
mod promote;
mod remove;
mod replace;

use clap::{Args, Subcommand};

use super::{Context, members};
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # What would the removal of cp-3's member cost?
  kubectl etcd member remove cp-3 --dry-run

  # A new member, without a vote until it has caught up
  kubectl etcd member add cp-4 --peer-url https://10.0.0.4:2380
  kubectl etcd member promote cp-4 --wait 5m

  # A member with damaged data, on its own host
  kubectl etcd member replace cp-3

  # Let another member lead before this one's host is worked on
  kubectl etcd member move-leader

A member is named by its node, its name or its id.";

/// List the members, add, remove and promote them, and choose who leads
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MemberArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(members::MembersArgs),
    Add(add::AddArgs),
    Remove(remove::RemoveArgs),
    Promote(promote::PromoteArgs),
    MoveLeader(move_leader::MoveLeaderArgs),
    Replace(replace::ReplaceArgs),
}

/// Does what was typed.
///
/// # Errors
/// As the command does.
pub async fn member(context: &Context<'_>, args: MemberArgs) -> Result<Verdict, Error> {
    match args.action {
        Action::List(args) => members::members(context, args).await,
        Action::Add(args) => add::add(context, &args).await,
        Action::Remove(args) => remove::remove(context, &args).await,
        Action::Promote(args) => promote::promote(context, &args).await,
        Action::MoveLeader(args) => move_leader::move_leader(context, &args).await,
        Action::Replace(args) => Box::pin(replace::replace(context, args)).await,
    }
}

/// A change of each kind as it is shown: planned, done, and with nothing to do.
#[cfg(test)]
pub(crate) fn samples() -> Vec<crate::views::member_change::MemberChange> {
    use kubectl_etcd_core::assess::fixtures::Cluster;

    let cluster = Cluster::of(3);
    let look = look::tests::look(&cluster);
    let rows = members::rows(&look.members, &cluster.nodes);
    let mut samples = Vec::new();
    for plan in [
        remove::plan(&look, "cp-1", false),
        remove::plan(&look, "1f000000000000ff", false),
        move_leader::plan(&look, None),
        add::plan(
            &look,
            "cp-4",
            &["https://10.0.0.4:2380".to_owned()],
            true,
            false,
        ),
    ] {
        let plan = plan.expect("a plan of a healthy cluster");
        samples.push(plan.view(true));
        let mut done = plan.view(false);
        done.changed = !plan.steps.is_empty();
        done.leader = Some("cp-2".into());
        done.members = rows.clone();
        samples.push(done);
    }
    samples
}
