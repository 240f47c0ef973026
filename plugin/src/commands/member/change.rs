//! A plan shown, confirmed, carried out and looked at afterwards: the same for every change of the members.

use clap::Args;
use etcd_operations::report::{Member, Report};
use jiff::Timestamp;

use super::look::Look;
use super::plan::{Plan, Planned};
use crate::assess::votes::Votes;
use crate::assess::{Asked, Scope, assess};
use crate::cli::{FleetArgs, OutputArgs, WayArgs};
use crate::commands::{Context, members, node_named};
use crate::discovery::Node;
use crate::error::{Error, Verdict};
use crate::lease::LeaseGuard;
use crate::session::{Session, unexpected};
use crate::views::member_change::MemberChange;
use etcd_operations::operation::Operation;

/// How every change is made.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Show what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Makes the plan of what is seen, shows it, asks, looks again, and does it if it is still the same.
///
/// # Errors
/// What the plan is refused for, or the first step that failed.
pub(super) async fn carry_out(
    context: &Context<'_>,
    args: ChangeArgs,
    plan_of: impl Fn(&Look<'_>) -> Result<Plan, Error>,
) -> Result<Verdict, Error> {
    let fleet = FleetArgs {
        node: Vec::new(),
        way: args.way.clone(),
    };
    let session = context.open(&fleet).await?;
    let look = Look::take(&session, &fleet).await?;
    let plan = match plan_of(&look) {
        Ok(plan) => plan,
        Err(refused) => return Err(session.refused_because(refused).await),
    };
    if args.dry_run || plan.steps.is_empty() {
        let mut view = plan.view(args.dry_run);
        view.members = members::rows(&look.members, session.nodes());
        context.ui.show(&view, args.output.output)?;
        return Ok(Verdict::Healthy);
    }
    ask(context, &plan, args.yes).await?;
    let lock = session.lock(plan.action.command()).await?;
    // The question may have stood for minutes, and somebody else may have been at work until now.
    let look = Look::take(&session, &fleet).await?;
    let now = plan_of(&look)?;
    if !now.does_the_same(&plan) {
        return Err(Error::refused(
            "the cluster has changed since the plan was shown: nothing was done",
        )
        .hint("kubectl etcd status, then try again"));
    }
    let told = steps(context, &session, &now, &lock).await?;
    let (view, verdict) = afterwards(context, &session, &now, told).await;
    context.ui.show(&view, args.output.output)?;
    Ok(verdict)
}

async fn ask(context: &Context<'_>, plan: &Plan, yes: bool) -> Result<(), Error> {
    for planned in &plan.steps {
        context.ui.say(&planned.step.words());
    }
    if plan.before != plan.after {
        context.ui.say(&format!("before: {}", plan.before.words()));
        context.ui.say(&format!("after:  {}", plan.after.words()));
    }
    for cost in &plan.costs {
        context.ui.warn(cost);
    }
    context.ui.confirm("Go on?", yes).await
}

/// Does all steps. Gives the members as the last one told them.
async fn steps(
    context: &Context<'_>,
    session: &Session,
    plan: &Plan,
    lock: &LeaseGuard,
) -> Result<Option<(String, Vec<Member>)>, Error> {
    let mut told = None;
    for (at, planned) in plan.steps.iter().enumerate() {
        let stopped = |mut error: Error| {
            if at > 0 {
                error.message = format!(
                    "{}, after {} of {} steps",
                    error.message,
                    at,
                    plan.steps.len()
                );
            }
            error
        };
        if lock.is_lost() {
            return Err(stopped(Error::failed(
                "the lock was taken by somebody else, who may be at work on this etcd",
            )));
        }
        if plan.steps.len() > 1 {
            context.ui.say(&format!("{} …", planned.step.words()));
        }
        told = one(session, planned).await.map_err(stopped)?.or(told);
    }
    Ok(told)
}

async fn one(session: &Session, planned: &Planned) -> Result<Option<(String, Vec<Member>)>, Error> {
    let node = node_named(session, &planned.on).ok_or_else(|| {
        Error::failed(format!(
            "{} is no longer a node of this cluster",
            planned.on
        ))
    })?;
    let operation = planned.step.operation();
    match session.ask(node, &operation).await? {
        Report::MemberAdd(report)
        | Report::MemberRemove(report)
        | Report::MemberPromote(report) => Ok(Some((report.member_id.to_string(), report.members))),
        Report::MoveLeader(_) => Ok(None),
        _ => Err(unexpected(&node.name, &operation)),
    }
}

/// Looks at what came of it. A node whose member has just been removed is left out: its apiserver stops with its etcd.
async fn afterwards(
    context: &Context<'_>,
    session: &Session,
    plan: &Plan,
    told: Option<(String, Vec<Member>)>,
) -> (MemberChange, Verdict) {
    let mut view = plan.view(false);
    view.changed = true;
    let removed = plan.removes_from();
    let nodes: Vec<Node> = session
        .nodes()
        .iter()
        .filter(|node| removed != Some(node.name.as_str()))
        .cloned()
        .collect();
    let asked: Vec<&Node> = nodes.iter().collect();
    let outcomes = session.run(&asked, &Operation::Status).await;
    let status = assess(Asked {
        nodes: &nodes,
        outcomes: &outcomes,
        left_alone: session.left_alone(),
        scope: Scope::Named,
        schedules: &[],
        now: Timestamp::now(),
    });
    let (id, mut list) = match told {
        Some((id, list)) => (Some(id), list),
        None => (None, Vec::new()),
    };
    if id.is_some() {
        view.member_id = id;
    }
    let seen = Look::of(status, &outcomes, &nodes);
    let verdict = match &seen {
        Ok(seen) => {
            view.after = seen.votes();
            if list.is_empty() {
                list = seen.members.clone();
            }
            view.leader = seen.leader().map(|leader| leader.name());
            ending(view.after)
        }
        Err(error) => {
            context.ui.warn(&format!(
                "it is done, but how the cluster is now could not be told: {}",
                error.chain()
            ));
            Verdict::Degraded
        }
    };
    view.members = members::rows(&list, session.nodes());
    (view, verdict)
}

fn ending(votes: Votes) -> Verdict {
    match (votes.holds, votes.healthy == votes.voters) {
        (true, true) => Verdict::Healthy,
        (true, false) => Verdict::Degraded,
        (false, _) => Verdict::QuorumLostOrDamaged,
    }
}
