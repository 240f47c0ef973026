//! `kubectl etcd member promote`

use etcd_operations::advice;
use etcd_operations::advice::Task;
use std::time::Duration;

use clap::Args;

use super::change::{ChangeArgs, carry_out};
use super::look::Look;
use super::plan::{Plan, Step, refuse_loss};
use crate::args::parse_duration;
use crate::commands::Context;
use crate::views::member_change::Action;
use kubectl_etcd_core::assess::votes::VoteChange;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::format::count;

const EXAMPLES: &str = "\
Examples:
  # Give a learner its vote, if it has caught up
  kubectl etcd member promote cp-4

  # Wait until it has
  kubectl etcd member promote cp-4 --wait 5m

Exit codes: 0 done, or it votes already, 3 done but the cluster is degraded, 4 no quorum, \
5 refused (it has not caught up, say) or not confirmed.";

/// Give a learner a vote, once it has caught up with the leader
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PromoteArgs {
    /// The node, the member's name, or its id
    #[arg(value_name = "MEMBER")]
    member: String,
    /// Wait so long for it to catch up
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Go on although too few of the voters then are healthy, and the cluster takes no writes then
    #[arg(long)]
    allow_quorum_loss: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Promotes a learner.
///
/// # Errors
/// When a safety check refuses, or etcd does.
pub(super) async fn promote(context: &Context<'_>, args: &PromoteArgs) -> Result<Verdict, Error> {
    let wait = args.wait.unwrap_or(Duration::ZERO);
    let plan_of = |look: &Look<'_>| plan(look, &args.member, wait, args.allow_quorum_loss);
    carry_out(context, &args.change, plan_of).await
}

pub(super) fn plan(
    look: &Look<'_>,
    wanted: &str,
    wait: Duration,
    allowed: bool,
) -> Result<Plan, Error> {
    let Some(subject) = look.named(wanted)? else {
        return Err(
            Error::usage(format!("{wanted} is no member of this cluster"))
                .hint(advice![Task::ListMembers, " lists those there are"]),
        );
    };
    let mut plan = Plan::new(Action::Promote, look, Some(subject));
    let name = subject.name();
    if !subject.member.is_learner {
        return Ok(plan.nothing(format!("{name} votes already")));
    }
    if wait.is_zero() {
        let why = match (subject.member.started(), subject.healthy()) {
            (false, _) => Some("has never started"),
            (true, false) => Some("does not answer"),
            (true, true) => None,
        };
        if let Some(why) = why {
            return Err(Error::refused(format!("the learner {name} {why}"))
                .hint("start it, and give it time with --wait 5m"));
        }
    }
    // Nobody is promoted who has not caught up, so it will be healthy.
    plan.after = plan.before.after(VoteChange::OneMore { healthy: true });
    let instead = "bring the other members back first: kubectl etcd status";
    refuse_loss(&plan, allowed, instead)?;
    if let Some(lag) = subject.row.and_then(|row| row.lag).filter(|lag| *lag > 0) {
        plan.costs = vec![format!(
            "{name} is {} log entries behind: etcd gives it a vote only when it is in sync with the leader",
            count(lag)
        )];
    }
    let on = look.through(Some(subject.member.id))?;
    let step = Step::Promote {
        member: subject.member.id,
        name,
        wait,
    };
    Ok(plan.then(on, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::member::look::tests::look;
    use kubectl_etcd_core::assess::fixtures::{Cluster, id};
    use kubectl_etcd_core::error::ErrorKind;

    fn with_a_learner() -> Cluster {
        let mut cluster = Cluster::of(4);
        cluster.members[3].is_learner = true;
        cluster.account(4).is_learner = true;
        cluster
    }

    #[test]
    fn a_learner_that_is_up_gets_its_vote() {
        let cluster = with_a_learner();
        let plan = plan(&look(&cluster), "cp-4", Duration::ZERO, false).unwrap();
        assert_eq!(plan.steps.len(), 1);
        assert_eq!((plan.before.voters, plan.after.voters), (3, 4));
        assert_eq!(plan.steps[0].on, "cp-1");
    }

    #[test]
    fn who_votes_already_is_left_alone() {
        let cluster = with_a_learner();
        let plan = plan(&look(&cluster), "cp-2", Duration::ZERO, false).unwrap();
        assert!(plan.steps.is_empty() && plan.nothing.is_some());
    }

    #[test]
    fn who_never_started_is_waited_for_or_refused() {
        let mut cluster = with_a_learner();
        cluster.accounts[3] = None;
        cluster.members[3].name.clear();
        let wanted = id(4).to_string();
        let error = plan(&look(&cluster), &wanted, Duration::ZERO, false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains("never started"), "{error}");
        assert!(plan(&look(&cluster), &wanted, Duration::from_secs(9), false).is_ok());
    }
}
