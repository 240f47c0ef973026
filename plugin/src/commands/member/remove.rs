//! `kubectl etcd member remove`

use clap::Args;
use etcd_operations::advice;
use etcd_operations::advice::Task;
use etcd_operations::shell::CommandLine;

use super::change::{ChangeArgs, carry_out};
use super::look::{Look, Subject};
use super::plan::{Plan, Step, move_leader, refuse_loss};
use crate::commands::Context;
use crate::views::member_change::Action;
use kubectl_etcd_core::assess::votes::VoteChange;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # What would it cost?
  kubectl etcd member remove cp-3 --dry-run

  # Remove the member of a node that is gone for good
  kubectl etcd member remove cp-3

  # Remove a member that was added and never started, by its id
  kubectl etcd member remove 5a4bd5bb4ea2a3b1 --yes

A member that leads hands the lead over first. Who is removed never comes back under its id; \
its data stays where it is, and is of no more use to this cluster.

Exit codes: 0 done, or it was none, 3 done but the cluster is degraded, 4 no quorum, \
5 refused or not confirmed.";

/// Remove a member from the cluster
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RemoveArgs {
    /// The node, the member's name, or its id
    #[arg(value_name = "MEMBER")]
    member: String,
    /// Go on although too few of those that are left are healthy, and the cluster takes no writes then
    #[arg(long)]
    allow_quorum_loss: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Removes a member.
///
/// # Errors
/// When a safety check refuses, or etcd does.
pub(super) async fn remove(context: &Context<'_>, args: &RemoveArgs) -> Result<Verdict, Error> {
    let plan_of = |look: &Look<'_>| plan(look, &args.member, args.allow_quorum_loss);
    carry_out(context, &args.change, plan_of).await
}

pub(super) fn plan(look: &Look<'_>, wanted: &str, allowed: bool) -> Result<Plan, Error> {
    let Some(subject) = look.named(wanted)? else {
        let mut plan = Plan::new(Action::Remove, look, None);
        plan.member = Some(wanted.to_owned());
        return Ok(plan.nothing(format!("{wanted} is no member of this cluster")));
    };
    let mut plan = Plan::new(Action::Remove, look, Some(subject));
    if !subject.member.is_learner {
        let healthy = subject.healthy();
        plan.after = plan.before.after(VoteChange::OneLess { healthy });
        if plan.after.voters == 0 {
            return Err(Error::refused(format!(
                "{} is the only voting member: without it there is no cluster",
                subject.name()
            ))
            .hint("add another one first: kubectl etcd member add"));
        }
        let instead = "bring the other members back first: kubectl etcd status";
        refuse_loss(&plan, allowed, instead)?;
    }
    let mut on = look.through(Some(subject.member.id))?;
    if subject.leads() {
        let Some(to) = look.successor(subject.member.id) else {
            return Err(Error::refused(format!(
                "{} leads, and no other voting member is healthy enough to lead instead",
                subject.name()
            ))
            .hint(advice![
                "bring the other members back first: ",
                Task::ShowStatus
            ]));
        };
        let (leader, step) = move_leader(subject, to)?;
        plan = plan.then(leader, step);
        if let Some(node) = to.row.filter(|row| row.seen_from.is_none()).and(to.node()) {
            on = node.to_owned();
        }
    }
    (plan.costs, plan.next) = aftermath(subject);
    let step = Step::Remove {
        member: subject.member.id,
        name: subject.name(),
    };
    Ok(plan.then(on, step))
}

/// What a removal costs beside votes, and what is left to do, where the member is on a node.
fn aftermath(subject: Subject<'_>) -> (Vec<String>, Vec<String>) {
    let (Some(node), true) = (subject.node(), subject.member.started()) else {
        return (Vec::new(), Vec::new());
    };
    let cost = format!(
        "etcd on {node} stops, and so does its apiserver when it uses that etcd alone, as kubeadm sets it up"
    );
    let replace = CommandLine::new("kubectl etcd member replace").operand(node);
    let rest = format!(
        "its static pod and its data are still on {node}: to have a member there again, {replace}; to have none, take etcd.yaml and kube-apiserver.yaml out of its manifest folder"
    );
    (vec![cost], vec![rest])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::member::look::tests::look;
    use kubectl_etcd_core::assess::fixtures::{Cluster, id};
    use kubectl_etcd_core::error::ErrorKind;
    use kubectl_etcd_core::outcome::{RunError, RunErrorKind};

    fn words(plan: &Plan) -> Vec<(String, String)> {
        let words = plan.steps.iter();
        words
            .map(|one| (one.on.clone(), one.step.words()))
            .collect()
    }

    #[test]
    fn the_leader_hands_the_lead_over_before_it_is_removed() {
        let cluster = Cluster::of(3);
        let plan = plan(&look(&cluster), "cp-1", false).unwrap();
        let steps = words(&plan);
        assert_eq!(
            steps[0],
            ("cp-1".into(), "move the lead from cp-1 to cp-2".into())
        );
        assert_eq!(steps[1].0, "cp-2", "asked for on the new leader's node");
        assert!(steps[1].1.starts_with("remove cp-1"), "{steps:?}");
        assert_eq!((plan.after.voters, plan.after.healthy), (2, 2));
        assert!(plan.costs[0].contains("apiserver"));
    }

    #[test]
    fn a_removal_that_costs_the_quorum_is_refused_unless_that_is_named() {
        let mut cluster = Cluster::of(3);
        cluster.lost(3, RunError::new(RunErrorKind::NodeDown, "off"));
        let error = plan(&look(&cluster), "cp-2", false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains("1 of 2"), "{error}");
        let lifts = |hint: &String| hint.contains("--allow-quorum-loss");
        assert!(crate::advice::hints(&error).iter().any(lifts), "{error:?}");
        assert!(plan(&look(&cluster), "cp-2", true).is_ok());
        // The dead one may go: that is what helps.
        let dead = plan(&look(&cluster), "cp-3", false).unwrap();
        assert_eq!(words(&dead).len(), 1);
        assert_eq!((dead.after.voters, dead.after.healthy), (2, 2));
    }

    #[test]
    fn the_last_member_is_never_removed() {
        let error = plan(&look(&Cluster::of(1)), "cp-1", true).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
    }

    #[test]
    fn who_is_no_member_needs_no_removal() {
        let cluster = Cluster::of(3);
        let plan = plan(&look(&cluster), "1f000000000000ff", false).unwrap();
        assert!(plan.steps.is_empty() && plan.nothing.is_some());
    }

    #[test]
    fn what_never_started_costs_nothing() {
        let mut cluster = Cluster::of(3);
        let mut fourth = kubectl_etcd_core::assess::fixtures::member(4);
        fourth.name.clear();
        fourth.client_urls.clear();
        fourth.is_learner = true;
        cluster.members.push(fourth);
        cluster.accounts.push(None);
        let plan = plan(&look(&cluster), &id(4).to_string(), false).unwrap();
        assert_eq!((plan.before, plan.steps.len()), (plan.after, 1));
        assert!(plan.costs.is_empty() && plan.next.is_empty());
    }
}
