//! `kubectl etcd member move-leader`

use clap::Args;
use etcd_operations::advice;
use etcd_operations::advice::Task;

use super::change::{ChangeArgs, carry_out};
use super::look::Look;
use super::plan::{self, Plan};
use crate::commands::Context;
use crate::views::member_change::Action;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # Let whoever is most up to date lead, before the leader's host is worked on
  kubectl etcd member move-leader

  # Let cp-2 lead
  kubectl etcd member move-leader cp-2 --yes

Writes wait for some milliseconds meanwhile.

Exit codes: 0 done, or it leads already, 3 done but the cluster is degraded, 4 no quorum, \
5 refused or not confirmed.";

/// Have another member lead
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MoveLeaderArgs {
    /// Who leads then: the node, the member's name, or its id [default: the follower that is most up to date]
    #[arg(value_name = "MEMBER")]
    member: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Moves the lead.
///
/// # Errors
/// When a safety check refuses, or etcd does.
pub(super) async fn move_leader(
    context: &Context<'_>,
    args: &MoveLeaderArgs,
) -> Result<Verdict, Error> {
    let plan_of = |look: &Look<'_>| plan(look, args.member.as_deref());
    carry_out(context, &args.change, plan_of).await
}

pub(super) fn plan(look: &Look<'_>, wanted: Option<&str>) -> Result<Plan, Error> {
    let leader = look
        .leader()
        .ok_or_else(|| Error::failed("who leads could not be told").hint(Task::ShowStatus))?;
    let to = match wanted {
        Some(wanted) => look.named(wanted)?.ok_or_else(|| {
            Error::usage(format!("{wanted} is no member of this cluster"))
                .hint(advice![Task::ListMembers, " lists those there are"])
        })?,
        None => look.successor(leader.member.id).ok_or_else(|| {
            Error::refused("no other voting member is healthy enough to lead").hint(advice![
                "bring the other members back first: ",
                Task::ShowStatus
            ])
        })?,
    };
    let plan = Plan::new(Action::MoveLeader, look, Some(to));
    let name = to.name();
    if to.member.id == leader.member.id {
        return Ok(plan.nothing(format!("{name} leads already")));
    }
    if to.member.is_learner {
        return Err(Error::refused(format!(
            "{name} is a learner: it has no vote and cannot lead"
        ))
        .hint("promote it first: kubectl etcd member promote"));
    }
    if !to.healthy() {
        return Err(
            Error::refused(format!("{name} is not healthy: it could not lead"))
                .hint(advice!["bring it back first: ", Task::ShowStatus]),
        );
    }
    let (on, step) = plan::move_leader(leader, to)?;
    Ok(plan.then(on, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::member::look::tests::look;
    use kubectl_etcd_core::assess::fixtures::Cluster;
    use kubectl_etcd_core::error::ErrorKind;
    use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

    #[test]
    fn the_leader_is_told_on_its_own_node() {
        let cluster = Cluster::of(3);
        let plan = plan(&look(&cluster), Some("cp-3")).unwrap();
        assert_eq!(plan.steps[0].on, "cp-1");
        assert_eq!(
            plan.steps[0].step.words(),
            "move the lead from cp-1 to cp-3"
        );
        assert_eq!(plan.before, plan.after);
    }

    #[test]
    fn who_cannot_lead_is_not_asked_to() {
        let mut cluster = Cluster::of(3);
        cluster.members[1].is_learner = true;
        cluster.account(2).is_learner = true;
        cluster.lost(3, RunError::new(RunErrorKind::NodeDown, "off"));
        for name in ["cp-2", "cp-3"] {
            let error = plan(&look(&cluster), Some(name)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{name}");
        }
        let error = plan(&look(&cluster), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        let plan = plan(&look(&cluster), Some("cp-1")).unwrap();
        assert!(plan.nothing.is_some());
    }
}
