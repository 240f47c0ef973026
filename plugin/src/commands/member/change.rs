//! A change of the members: what of its life is its own. It has no journal: each of its steps is one word to etcd, which
//! does it or does not.

use std::cell::Cell;

use clap::Args;
use etcd_operations::advice;
use etcd_operations::advice::Task;
use etcd_operations::ids::MemberId;
use etcd_operations::operation::{MemberAdd, MemberPromote, MemberRemove, MoveLeader, Status};
use etcd_operations::report::Member;
use jiff::Timestamp;

use super::look::Look;
use super::plan::{Plan, Planned, Step, promote_once_started};
use crate::args::{FleetArgs, WayArgs};
use crate::commands::life::{self, Change, Consent, Ending, Terminal};
use crate::commands::operated::{ClusterLock, InSession, OperatedCluster};
use crate::commands::planned::PlanArgs;
use crate::commands::{Context, members};
use crate::views::member_change::MemberChange;
use crate::views::members::MemberRow;
use kubectl_etcd_core::assess::same::Comparison;
use kubectl_etcd_core::assess::votes::Votes;
use kubectl_etcd_core::assess::{Asked, Scope, assess};
use kubectl_etcd_core::discovery::Node;
use kubectl_etcd_core::error::{Error, Verdict};

/// How every change is made.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    how: PlanArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Carries out what `plan_of` makes of a look at the cluster.
///
/// # Errors
/// What the plan is refused for, or the first step that failed.
pub(super) async fn carry_out(
    context: &Context<'_>,
    args: &ChangeArgs,
    plan_of: impl Fn(&Look<'_>) -> Result<Plan, Error>,
) -> Result<Verdict, Error> {
    let fleet = FleetArgs::everywhere(args.way.clone());
    let cluster = InSession::open(context, fleet).await?;
    let changing = Changing::new(&cluster, plan_of);
    life::carry_out(&changing, context.ui, args.how.consent()).await
}

/// A change of the members of a cluster.
pub(super) struct Changing<'a, C, P> {
    cluster: &'a C,
    /// Makes the plan.
    plan_of: P,
    /// Who leads by the plan that was shown: who is most up to date changes from look to look.
    leads_then: Cell<Option<MemberId>>,
}

impl<'a, C, P> Changing<'a, C, P>
where
    P: Fn(&Look<'_>) -> Result<Plan, Error>,
{
    /// What `plan_of` makes of a look at this cluster.
    pub(super) fn new(cluster: &'a C, plan_of: P) -> Self {
        Self {
            cluster,
            plan_of,
            leads_then: Cell::new(None),
        }
    }
}

/// What is done, and the members before it.
pub(super) struct Made {
    plan: Plan,
    members: Vec<MemberRow>,
}

/// The member that was changed and all of them, as the last step told it.
type Told = Option<(String, Vec<Member>)>;

impl<C, P> Change for Changing<'_, C, P>
where
    C: OperatedCluster,
    P: Fn(&Look<'_>) -> Result<Plan, Error>,
{
    type Plan = Made;
    type Lock = C::Lock;
    type Done = Told;
    type View = MemberChange;

    async fn make(&self, _terminal: &impl Terminal) -> Result<Made, Error> {
        let look = Look::take(self.cluster).await?;
        let look = look.preferring(self.leads_then.get());
        let plan = (self.plan_of)(&look)?;
        self.leads_then.set(plan.leads_then());
        Ok(Made {
            plan,
            members: members::rows(&look.members, self.cluster.nodes()),
        })
    }

    fn nothing_to_do(
        &self,
        made: &Made,
        consent: &Consent,
        _terminal: &impl Terminal,
    ) -> Option<Ending<MemberChange>> {
        let nothing = made.plan.steps.is_empty();
        nothing.then(|| Ending::shown(self.preview(made, consent), Verdict::Healthy))
    }

    fn preview(&self, made: &Made, consent: &Consent) -> MemberChange {
        let mut view = made.plan.view(consent.dry_run);
        view.members = made.members.clone();
        view
    }

    fn dry_run_ends(&self, made: &Made) -> Result<Verdict, Error> {
        let Some(learner) = made.plan.barred_by else {
            return Ok(Verdict::Healthy);
        };
        let message = format!("etcd has a learner already ({learner}) and takes no other one");
        Err(Error::refused(message).hint(advice![
            "promote it, or remove it: ",
            Task::RemoveMember.of(learner)
        ]))
    }

    // What etcd or the votes forbid is refused while the plan is made, not in `refuse`: there is none to be shown.

    async fn why_refused(&self, refused: Error) -> Error {
        self.cluster.refused_because(refused).await
    }

    fn announce(&self, made: &Made, _consent: &Consent, terminal: &impl Terminal) {
        let plan = &made.plan;
        for planned in &plan.steps {
            terminal.say(&planned.step.words());
        }
        if plan.before != plan.after {
            terminal.say(&format!("before: {}", plan.before.words()));
            terminal.say(&format!("after:  {}", plan.after.words()));
        }
        for cost in &plan.costs {
            terminal.warn(cost);
        }
    }

    async fn lock(&self, made: &Made, _terminal: &impl Terminal) -> Result<C::Lock, Error> {
        self.cluster.lock(made.plan.action.command()).await
    }

    fn is_as_agreed(&self, now: &Made, agreed: &Made) -> bool {
        now.plan.does_the_same(&agreed.plan)
    }

    fn changed(&self) -> Error {
        Error::refused("the cluster has changed since the plan was shown: nothing was done")
            .hint(advice![Task::ShowStatus, ", then try again"])
    }

    async fn execute(
        &self,
        made: &Made,
        lock: &C::Lock,
        terminal: &impl Terminal,
    ) -> Result<Told, Error> {
        let steps = &made.plan.steps;
        let mut told = None;
        for (at, planned) in steps.iter().enumerate() {
            let stopped = |error: Error| match at {
                0 => error,
                _ => error.after(format_args!("after {at} of {} steps", steps.len())),
            };
            lock.check().map_err(stopped)?;
            if steps.len() > 1 {
                terminal.say(&format!("{} …", planned.step.words()));
            }
            let by_step = one(self.cluster, planned).await.map_err(stopped)?;
            told = by_step.or(told);
        }
        Ok(told)
    }

    async fn check(
        &self,
        made: Made,
        told: Told,
        terminal: &impl Terminal,
    ) -> Ending<MemberChange> {
        afterwards(self.cluster, &made.plan, told, terminal).await
    }
}

async fn one(cluster: &impl OperatedCluster, planned: &Planned) -> Result<Told, Error> {
    let on = &planned.on;
    let report = match &planned.step {
        Step::Add {
            name,
            peer_urls,
            learner,
        } => {
            let add = MemberAdd {
                name: Some(name.clone()),
                peer_urls: peer_urls.clone(),
                learner: *learner,
            };
            cluster.ask(on, &add).await?
        }
        Step::Remove { member, .. } => {
            let remove = MemberRemove { member: *member };
            cluster.ask(on, &remove).await?
        }
        Step::Promote { member, wait, .. } => {
            let promote = MemberPromote {
                member: *member,
                wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            };
            cluster.ask(on, &promote).await?
        }
        Step::MoveLeader { to, .. } => {
            cluster.ask(on, &MoveLeader { to: *to }).await?;
            return Ok(None);
        }
    };
    Ok(Some((report.member_id.to_string(), report.members)))
}

/// Looks at what came of it. A node whose member has just been removed is left out: its apiserver stops with its etcd.
async fn afterwards(
    cluster: &impl OperatedCluster,
    plan: &Plan,
    told: Told,
    terminal: &impl Terminal,
) -> Ending<MemberChange> {
    let mut view = plan.view(false);
    view.changed = true;
    let removed = plan.removes_from();
    let nodes: Vec<Node> = cluster
        .nodes()
        .iter()
        .filter(|node| removed != Some(node.name.as_str()))
        .cloned()
        .collect();
    let asked: Vec<&Node> = nodes.iter().collect();
    let outcomes = cluster.run(&asked, &Status).await;
    let status = assess(Asked {
        nodes: &nodes,
        outcomes: &outcomes,
        left_alone: cluster.left_alone(),
        scope: Scope::Named,
        schedules: &[],
        same: &Comparison::NothingToCompare,
        now: Timestamp::now(),
    });
    let (id, mut list) = match told {
        Some((id, list)) => (Some(id), list),
        None => (None, Vec::new()),
    };
    if let Some(id) = id {
        if let (Some(last), true) = (view.next.last_mut(), plan.adds_a_learner()) {
            *last = promote_once_started(&id);
        }
        view.member_id = Some(id);
    }
    let verdict = match &Look::of(status, &outcomes, &nodes) {
        Ok(seen) => {
            view.after = seen.votes();
            if list.is_empty() {
                list = seen.members.clone();
            }
            view.leader = seen.leader().map(|leader| leader.name());
            ending(view.after)
        }
        Err(error) => {
            terminal.warn(&format!(
                "it is done, but how the cluster is now could not be told: {}",
                error.chain()
            ));
            Verdict::Degraded
        }
    };
    view.members = members::rows(&list, cluster.nodes());
    Ending::shown(view, verdict)
}

fn ending(votes: Votes) -> Verdict {
    match (votes.holds, votes.healthy == votes.voters) {
        (true, true) => Verdict::Healthy,
        (true, false) => Verdict::Degraded,
        (false, _) => Verdict::QuorumLostOrDamaged,
    }
}
