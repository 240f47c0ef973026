//! `kubectl etcd defrag`

use etcd_operations::advice;
use etcd_operations::advice::Task;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use etcd_operations::operation;

use super::Context;
use super::life::{Change, Consent, Ending, Terminal, carry_out};
use super::operated::{ClusterLock, InSession, OperatedCluster};
use super::planned::PlanArgs;
use crate::args::FleetArgs;
use crate::views::defrag::{Defrag, DefragRow, State};
use kubectl_etcd_core::assess::LAG_ENTRIES;
use kubectl_etcd_core::assess::model::{Role, Status, VerdictWord};
use kubectl_etcd_core::assess::order::{Step, defragmentation, stalls};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::format::{bytes, counted};

const EXAMPLES: &str = "\
Examples:
  # What would be done, in which order, and how long would each member not answer?
  kubectl etcd defrag --dry-run

  # Give free space back on all members, one after another, the leader last
  kubectl etcd defrag

  # One member only, without being asked
  kubectl etcd defrag --node cp-2 --yes

Exit codes: 0 done, 1 stopped at the first trouble, 3 done but not on every member, \
5 refused or not confirmed.";

/// How long a member may take to be healthy again and to catch up.
const GATE_LIMIT: Duration = Duration::from_secs(60);
/// How long to pause between two looks.
const GATE_PAUSE: Duration = Duration::from_secs(1);

/// Defragment the members one after another, which gives the database's free space back to the disk and to the quota
///
/// A member does not answer while it is defragmented. Between two members the cluster must be healthy again; at the first
/// trouble it stops.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DefragArgs {
    #[command(flatten)]
    how: PlanArgs,
    /// Go on although the cluster takes no writes while a member is busy, because no further failure is tolerated
    #[arg(long)]
    allow_stall: bool,
    /// Defragment members with nothing to gain as well
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Plans, asks, and defragments one member after another.
///
/// # Errors
/// When a safety check refuses, or at the first trouble; what was done until then is shown before.
pub async fn defrag(context: &Context<'_>, args: DefragArgs) -> Result<Verdict, Error> {
    let cluster = InSession::open(context, args.fleet).await?;
    let defragmenting = Defragmenting {
        cluster: &cluster,
        allow_stall: args.allow_stall,
        all: args.all,
    };
    carry_out(&defragmenting, context.ui, args.how.consent()).await
}

/// A defragmentation of the members of a cluster: in an order of its own, and stopped at the first trouble.
struct Defragmenting<'a, C> {
    cluster: &'a C,
    allow_stall: bool,
    /// Whether members with nothing to gain are defragmented too.
    all: bool,
}

/// The members in their order, and the cluster before.
struct Plan {
    status: Status,
    steps: Vec<Step>,
    /// The members with nothing to gain.
    skipped: Vec<Step>,
}

impl Plan {
    /// Of all members, or of some.
    fn ending(&self) -> Verdict {
        Verdict::of(self.steps.len() + self.skipped.len() == self.status.rows.len())
    }

    fn view(&self, dry_run: bool) -> Defrag {
        Defrag::planned(dry_run, &self.steps, &self.skipped)
    }
}

impl<C: OperatedCluster> Change for Defragmenting<'_, C> {
    type Plan = Plan;
    type Lock = C::Lock;
    /// What was done until the first trouble is shown.
    type Done = (Defrag, Result<(), Error>);
    type View = Defrag;

    async fn make(&self, _terminal: &impl Terminal) -> Result<Plan, Error> {
        let (_, status) = self.cluster.answered_survey().await?;
        let steps = defragmentation(&status).into_iter();
        let (steps, skipped) = steps.partition(|step| self.all || step.gains());
        Ok(Plan {
            status,
            steps,
            skipped,
        })
    }

    fn nothing_to_do(
        &self,
        plan: &Plan,
        consent: &Consent,
        _terminal: &impl Terminal,
    ) -> Option<Ending<Defrag>> {
        if plan.steps.is_empty() && !plan.skipped.is_empty() {
            return Some(Ending::shown(plan.view(consent.dry_run), plan.ending()));
        }
        let message = format!("no member to defragment: {}", plan.status.summary);
        plan.steps.is_empty().then(|| Ending {
            view: None,
            ends: Err(Error::new(ErrorKind::NothingReached, message)),
        })
    }

    fn preview(&self, plan: &Plan, consent: &Consent) -> Defrag {
        plan.view(consent.dry_run)
    }

    fn dry_run_ends(&self, plan: &Plan) -> Result<Verdict, Error> {
        Ok(plan.ending())
    }

    fn refuse(&self, plan: &Plan, _consent: &Consent) -> Result<(), Error> {
        refuse_stall(&plan.status, self.allow_stall)
    }

    async fn why_refused(&self, refused: Error) -> Error {
        self.cluster.refused_because(refused).await
    }

    fn announce(&self, plan: &Plan, consent: &Consent, terminal: &impl Terminal) {
        if consent.yes {
            return;
        }
        for step in &plan.steps {
            terminal.say(&format!(
                "{} ({}): {} in the file, {}about {} without an answer",
                step.node,
                step.role.word(),
                bytes(step.db_size_bytes),
                step.free_bytes()
                    .map(|free| format!("{} of them free, ", bytes(free)))
                    .unwrap_or_default(),
                counted(step.estimated_seconds(), "second")
            ));
        }
        for step in &plan.skipped {
            let node = &step.node;
            terminal.say(&format!("{node}: nothing to gain, skipped without --all"));
        }
        if plan.status.quorum.voters == 1 {
            terminal.say(
                "this is the cluster's only member: the apiserver does not answer meanwhile either",
            );
        }
    }

    fn question(&self, plan: &Plan) -> String {
        let members = counted(plan.steps.len(), "member");
        match plan.steps.len() {
            1 => format!("Defragment {members}?"),
            _ => format!("Defragment {members}, one after another?"),
        }
    }

    async fn lock(&self, _plan: &Plan, _terminal: &impl Terminal) -> Result<C::Lock, Error> {
        self.cluster.lock("defrag").await
    }

    fn is_as_agreed(&self, now: &Plan, agreed: &Plan) -> bool {
        of_the_same_members(&now.steps, &agreed.steps)
    }

    fn changed(&self) -> Error {
        Error::refused("the cluster has changed since the plan was shown: nothing was done")
            .hint(advice![Task::ShowStatus, ", then defrag again"])
    }

    async fn execute(
        &self,
        plan: &Plan,
        lock: &C::Lock,
        terminal: &impl Terminal,
    ) -> Result<Self::Done, Error> {
        let mut view = plan.view(false);
        let done = run(self.cluster, &plan.status, &mut view, lock, terminal).await;
        Ok((view, done.map_err(stopped)))
    }

    async fn check(
        &self,
        plan: Plan,
        (view, done): Self::Done,
        _terminal: &impl Terminal,
    ) -> Ending<Defrag> {
        Ending {
            view: Some(view),
            ends: done.map(|()| plan.ending()),
        }
    }
}

/// In which order may have changed, on which members not.
fn of_the_same_members(now: &[Step], agreed: &[Step]) -> bool {
    let nodes = |steps: &[Step]| -> BTreeSet<String> {
        steps.iter().map(|step| step.node.clone()).collect()
    };
    nodes(now) == nodes(agreed)
}

/// One voter more or less busy must not cost the quorum. A cluster of one cannot avoid it; there the question says so.
fn refuse_stall(status: &Status, allowed: bool) -> Result<(), Error> {
    if allowed || status.quorum.voters == 1 || !stalls(status.quorum) {
        return Ok(());
    }
    let quorum = status.quorum;
    Err(Error::refused(format!(
        "{} of {} members are healthy and {} are needed: while one is defragmented the cluster would take no writes",
        quorum.healthy_voters, quorum.voters, quorum.needed
    ))
    .hint(advice!["bring the other members back first: ", Task::ShowStatus])
    .hint("--allow-stall does it all the same"))
}

async fn run<C: OperatedCluster>(
    cluster: &C,
    before: &Status,
    view: &mut Defrag,
    lock: &C::Lock,
    terminal: &impl Terminal,
) -> Result<(), Error> {
    let planned = |row: &DefragRow| row.state == State::Planned;
    let steps = view.members.iter().take_while(|row| planned(row)).count();
    for at in 0..steps {
        lock.check()?;
        let row = &mut view.members[at];
        terminal.say(&format!(
            "defragmenting {} ({})",
            row.node,
            bytes(row.before_bytes)
        ));
        if let Err(error) = one(cluster, row).await {
            row.state = State::Failed;
            row.problem = Some(error.message.clone());
            return Err(error);
        }
        let node = row.node.clone();
        if at + 1 < steps || before.quorum.holds == Some(true) {
            gate(cluster, before, &node).await?;
        }
    }
    Ok(())
}

fn stopped(error: Error) -> Error {
    error
        .ending("stopped at the first trouble")
        .hint(advice![Task::ShowStatus, " shows how the cluster is"])
}

async fn one(cluster: &impl OperatedCluster, row: &mut DefragRow) -> Result<(), Error> {
    let report = cluster.ask(&row.node, &operation::Defrag).await?;
    row.state = State::Done;
    row.member_id = Some(report.member_id.to_string());
    row.before_bytes = report.before_bytes;
    row.after_bytes = Some(report.after_bytes);
    row.took_ms = Some(report.took_ms);
    Ok(())
}

/// Waits until the member is back, follows closely, and the cluster is no worse than before.
async fn gate(cluster: &impl OperatedCluster, before: &Status, node: &str) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let (_, now) = cluster.survey().await;
        let Some(why) = not_yet(&now, before, node) else {
            return Ok(());
        };
        if begun.elapsed() >= GATE_LIMIT {
            return Err(Error::new(
                ErrorKind::Degraded,
                format!(
                    "{} s after {node} was defragmented, {why}",
                    GATE_LIMIT.as_secs()
                ),
            ));
        }
        tokio::time::sleep(GATE_PAUSE).await;
    }
}

fn not_yet(now: &Status, before: &Status, node: &str) -> Option<String> {
    let row = now
        .rows
        .iter()
        .find(|row| row.node.as_deref() == Some(node))?;
    let back = matches!(row.role, Role::Leader | Role::Follower | Role::Learner)
        || (row.role == Role::NoLeader && before.quorum.holds == Some(false));
    if !back {
        return Some(format!("it is {}", row.role.word()));
    }
    if let Some(lag) = row.lag.filter(|lag| *lag >= LAG_ENTRIES) {
        return Some(format!("it is {lag} entries behind the leader"));
    }
    let fewer = now.quorum.healthy_voters < before.quorum.healthy_voters;
    let lost = now.verdict == VerdictWord::QuorumLost && before.verdict != VerdictWord::QuorumLost;
    (fewer || lost).then(|| now.summary.to_string())
}

#[cfg(test)]
mod tests;
