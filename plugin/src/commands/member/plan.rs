//! What a change of the members does, step by step, and what it costs: decided from one look, without asking anybody.

use std::fmt;
use std::time::Duration;

use etcd_operations::advice::{Choice, Task};
use etcd_operations::ids::MemberId;

use super::look::{Look, Subject, answers_itself};
use crate::advice::typed;
use crate::views::member_change::{Action, MemberChange, StepRow};
use kubectl_etcd_core::assess::votes::Votes;
use kubectl_etcd_core::error::Error;

/// What lifts the refusal to give up the quorum.
pub(super) const ALLOW_QUORUM_LOSS: &str = "--allow-quorum-loss";

/// One step: what, and on which node it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) on: String,
    pub(super) step: Step,
}

/// One change of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Add {
        name: String,
        peer_urls: Vec<String>,
        learner: bool,
    },
    Remove {
        member: MemberId,
        name: String,
    },
    Promote {
        member: MemberId,
        name: String,
        wait: Duration,
    },
    MoveLeader {
        from: String,
        to: MemberId,
        name: String,
    },
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The command it is of.
    pub(super) action: Action,
    /// Whom it is about: the node, the member's name and its id, as far as there are such.
    pub(super) node: Option<String>,
    pub(super) member: Option<String>,
    pub(super) member_id: Option<MemberId>,
    /// What is done; nothing when all is as it should be.
    pub(super) steps: Vec<Planned>,
    /// Why nothing is done.
    pub(super) nothing: Option<String>,
    pub(super) before: Votes,
    pub(super) after: Votes,
    /// What it costs beside votes.
    pub(super) costs: Vec<String>,
    /// What comes next, for people to do.
    pub(super) next: Vec<String>,
    /// The member for which etcd refuses it, unless it is told otherwise by a flag of its own that is not known here.
    pub(super) barred_by: Option<MemberId>,
}

impl Plan {
    /// A plan that does nothing yet.
    pub(super) fn new(action: Action, look: &Look<'_>, subject: Option<Subject<'_>>) -> Self {
        let votes = look.votes();
        Self {
            action,
            node: subject.and_then(|one| one.node().map(str::to_owned)),
            member: subject.map(|one| one.name()),
            member_id: subject.map(|one| one.member.id),
            steps: Vec::new(),
            nothing: None,
            before: votes,
            after: votes,
            costs: Vec::new(),
            next: Vec::new(),
            barred_by: None,
        }
    }

    /// A plan that does nothing, and why.
    #[must_use]
    pub(super) fn nothing(mut self, why: String) -> Self {
        self.nothing = Some(why);
        self
    }

    /// The same with one step more.
    #[must_use]
    pub(super) fn then(mut self, on: String, step: Step) -> Self {
        self.steps.push(Planned { on, step });
        self
    }

    /// Whether it does just the same to the cluster as another one.
    pub(super) fn does_the_same(&self, other: &Self) -> bool {
        let steps =
            |plan: &Self| -> Vec<Step> { plan.steps.iter().map(|one| one.step.clone()).collect() };
        steps(self) == steps(other)
    }

    /// The member that leads by it.
    pub(super) fn leads_then(&self) -> Option<MemberId> {
        self.steps.iter().find_map(|one| match one.step {
            Step::MoveLeader { to, .. } => Some(to),
            Step::Add { .. } | Step::Remove { .. } | Step::Promote { .. } => None,
        })
    }

    /// Whether it adds a member that is to be promoted.
    pub(super) fn adds_a_learner(&self) -> bool {
        let adds = |one: &Planned| matches!(one.step, Step::Add { learner: true, .. });
        self.steps.iter().any(adds)
    }

    /// The node whose member it removes.
    pub(super) fn removes_from(&self) -> Option<&str> {
        let removes = |one: &Planned| matches!(one.step, Step::Remove { .. });
        self.node
            .as_deref()
            .filter(|_| self.steps.iter().any(removes))
    }

    /// As it is shown before anything is done.
    pub(super) fn view(&self, dry_run: bool) -> MemberChange {
        let row = |planned: &Planned| StepRow {
            node: planned.on.clone(),
            what: planned.step.words(),
        };
        let mut view = MemberChange::new(self.action, self.before, self.after);
        view.dry_run = dry_run;
        view.node = self.node.clone();
        view.member = self.member.clone();
        view.member_id = self.member_id.map(|id| id.to_string());
        view.steps = self.steps.iter().map(row).collect();
        view.nothing_to_do = self.nothing.clone();
        view.costs = self.costs.clone();
        view.next = self.next.clone();
        view
    }
}

impl Step {
    /// In a few words, as something to do.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Add {
                name,
                peer_urls,
                learner,
            } => {
                let how = match learner {
                    true => "as a learner, without a vote",
                    false => "with a vote",
                };
                format!("add {name} at {} {how}", peer_urls.join(", "))
            }
            Self::Remove { member, name } => format!("remove {name} ({member})"),
            Self::Promote { member, name, .. } => format!("give {name} ({member}) a vote"),
            Self::MoveLeader { from, name, .. } => {
                format!("move the lead from {from} to {name}")
            }
        }
    }
}

/// The command that gives a new learner its vote. Until it starts, etcd knows it by its id alone.
pub(super) fn promote_once_started(id: impl fmt::Display) -> String {
    let promote = Task::PromoteMember.of(id).with(Choice::Wait, "5m");
    typed(&promote).into()
}

/// The step that makes another member the leader, on the leader's node.
///
/// # Errors
/// When the leader was not heard on its own node: only it can be told.
pub(super) fn move_leader(leader: Subject<'_>, to: Subject<'_>) -> Result<(String, Step), Error> {
    let on = leader.row.filter(|row| answers_itself(row));
    let Some(on) = on.and_then(|row| row.node.clone()) else {
        return Err(Error::failed(format!(
            "{} leads, and only the leader hands the lead over; it cannot be asked on its node",
            leader.name()
        ))
        .hint("run it where it can: without an apiserver, as root on that node"));
    };
    let step = Step::MoveLeader {
        from: leader.name(),
        to: to.member.id,
        name: to.name(),
    };
    Ok((on, step))
}

/// Fewer healthy votes than a majority are refused, unless that was asked for.
///
/// # Errors
/// [`Error::refused`], with what would lift it.
pub(super) fn refuse_loss(plan: &Plan, allowed: bool, instead: &str) -> Result<(), Error> {
    if allowed || plan.after.holds {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the quorum would be lost: {} afterwards",
        plan.after.words().trim_end_matches(", the quorum is lost")
    ))
    .hint(instead)
    .hint(format!(
        "{ALLOW_QUORUM_LOSS} asks etcd for it all the same, which refuses most of it too"
    )))
}
