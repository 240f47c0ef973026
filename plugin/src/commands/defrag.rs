//! `kubectl etcd defrag`

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;

use super::{Context, answered_survey, node_named, survey};
use crate::assess::LAG_ENTRIES;
use crate::assess::model::{Role, Status, VerdictWord};
use crate::assess::order::{Step, defragmentation, stalls};
use crate::cli::{FleetArgs, OutputArgs};
use crate::error::{Error, ErrorKind, Verdict};
use crate::format::{bytes, counted};
use crate::lease::LeaseGuard;
use crate::session::{Session, unexpected};
use crate::views::defrag::{Defrag, DefragRow, State};

const EXAMPLES: &str = "\
Examples:
  # What would be done, in which order, and how long would each member not answer?
  kubectl etcd defrag --dry-run

  # Give free space back on all members, one after another, the leader last
  kubectl etcd defrag

  # One member only, without being asked
  kubectl etcd defrag --node cp-2 --yes

Exit codes: 0 done, 1 stopped at the first trouble, 3 done but not on every member,
5 refused or not confirmed.";

/// How long a member may take to be healthy again and to catch up.
const GATE_LIMIT: Duration = Duration::from_secs(60);
/// How long to pause between two looks.
const GATE_PAUSE: Duration = Duration::from_secs(1);

/// Defragment the members one after another, which gives the database's free space back to the disk and to the quota
///
/// A member answers nobody while it is defragmented. Between two members the cluster must be healthy again; at the first
/// trouble it stops.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DefragArgs {
    /// Show what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    /// Go on although the cluster takes no writes while a member is busy, because no further failure is tolerated
    #[arg(long)]
    allow_stall: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Plans, asks, and defragments one member after another.
///
/// # Errors
/// When a safety check refuses, or at the first trouble; what was done until then is shown before.
pub async fn defrag(context: &Context<'_>, args: DefragArgs) -> Result<Verdict, Error> {
    let session = context.open(&args.fleet).await?;
    let status = answered_survey(&session, &args.fleet).await?;
    let steps = defragmentation(&status);
    if steps.is_empty() {
        return Err(Error::new(
            ErrorKind::NothingReached,
            format!("no member to defragment: {}", status.summary),
        ));
    }
    let complete = steps.len() == status.rows.len();
    let mut view = Defrag::planned(args.dry_run, &steps);
    if args.dry_run {
        context.ui.show(&view, args.output.output)?;
        return Ok(ending(complete));
    }
    if let Err(refused) = refuse_stall(&status, args.allow_stall) {
        return Err(session.refused_because(refused).await);
    }
    ask(context, &status, &steps, args.yes).await?;
    let lock = session.lock("defrag").await?;
    // The question may have stood for minutes, and somebody else may have been at work until now.
    let status = answered_survey(&session, &args.fleet).await?;
    let steps = the_same(&steps, defragmentation(&status))?;
    refuse_stall(&status, args.allow_stall)?;
    view = Defrag::planned(false, &steps);
    let trouble = run(context, &session, &args.fleet, &status, &mut view, &lock)
        .await
        .err();
    context.ui.show(&view, args.output.output)?;
    match trouble {
        Some(error) => Err(error),
        None => Ok(ending(complete)),
    }
}

fn ending(complete: bool) -> Verdict {
    if complete {
        Verdict::Healthy
    } else {
        Verdict::Degraded
    }
}

/// The steps as they are now: in which order may have changed, on which members not.
fn the_same(asked: &[Step], now: Vec<Step>) -> Result<Vec<Step>, Error> {
    let nodes = |steps: &[Step]| -> BTreeSet<String> {
        steps.iter().map(|step| step.node.clone()).collect()
    };
    if nodes(asked) == nodes(&now) {
        return Ok(now);
    }
    Err(
        Error::refused("the cluster has changed since the plan was shown: nothing was done")
            .hint("kubectl etcd status, then defrag again"),
    )
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
    .hint("bring the other members back first: kubectl etcd status")
    .hint("--allow-stall does it all the same"))
}

async fn ask(
    context: &Context<'_>,
    status: &Status,
    steps: &[Step],
    yes: bool,
) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    for step in steps {
        let seconds = usize::try_from(step.estimated_seconds()).unwrap_or(usize::MAX);
        context.ui.say(&format!(
            "{} ({}): {} in the file, about {} without an answer",
            step.node,
            step.role.word(),
            bytes(step.db_size_bytes),
            counted(seconds, "second")
        ));
    }
    if status.quorum.voters == 1 {
        context.ui.say(
            "this is the cluster's only member: the apiserver does not answer meanwhile either",
        );
    }
    let members = counted(steps.len(), "member");
    let question = if steps.len() == 1 {
        format!("Defragment {members}?")
    } else {
        format!("Defragment {members}, one after another?")
    };
    context.ui.confirm(&question, yes).await
}

async fn run(
    context: &Context<'_>,
    session: &Session,
    fleet: &FleetArgs,
    before: &Status,
    view: &mut Defrag,
    lock: &LeaseGuard,
) -> Result<(), Error> {
    let last = view.members.len() - 1;
    for at in 0..view.members.len() {
        if lock.is_lost() {
            return Err(stopped(Error::failed(
                "the lock was taken by somebody else, who may be at work on this etcd",
            )));
        }
        let row = &mut view.members[at];
        context.ui.say(&format!(
            "defragmenting {} ({})",
            row.node,
            bytes(row.before_bytes)
        ));
        if let Err(error) = one(session, row).await {
            row.state = State::Failed;
            row.problem = Some(error.message.clone());
            return Err(stopped(error));
        }
        let node = row.node.clone();
        if at < last || before.quorum.holds == Some(true) {
            gate(session, fleet, before, &node).await.map_err(stopped)?;
        }
    }
    Ok(())
}

fn stopped(mut error: Error) -> Error {
    error.message = format!("stopped at the first trouble: {}", error.message);
    error.hint("kubectl etcd status shows how the cluster is")
}

async fn one(session: &Session, row: &mut DefragRow) -> Result<(), Error> {
    let node = node_named(session, &row.node).ok_or_else(|| {
        Error::failed(format!("{} is no longer a node of this cluster", row.node))
    })?;
    match session.ask(node, &Operation::Defrag).await? {
        Report::Defrag(report) => {
            row.state = State::Done;
            row.member_id = Some(report.member_id.to_string());
            row.before_bytes = report.before_bytes;
            row.after_bytes = Some(report.after_bytes);
            row.took_ms = Some(report.took_ms);
            Ok(())
        }
        _ => Err(unexpected(&row.node, &Operation::Defrag)),
    }
}

/// Waits until the member is back, follows closely, and the cluster is no worse than before.
async fn gate(
    session: &Session,
    fleet: &FleetArgs,
    before: &Status,
    node: &str,
) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        let (_, now) = survey(session, fleet).await;
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
    (fewer || lost).then(|| now.summary.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::fixtures::Cluster;
    use crate::outcome::{RunError, RunErrorKind};

    #[test]
    fn the_gate_opens_when_the_cluster_is_as_before() {
        let before = Cluster::of(3).assess();
        assert_eq!(not_yet(&before, &before, "cp-2"), None);
        let mut behind = Cluster::of(3);
        behind.account(2).raft_applied_index -= 2_000;
        assert!(
            not_yet(&behind.assess(), &before, "cp-2")
                .unwrap()
                .contains("behind")
        );
        let mut gone = Cluster::of(3);
        gone.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
        assert_eq!(
            not_yet(&gone.assess(), &before, "cp-2").unwrap(),
            "it is down"
        );
        assert!(
            not_yet(&gone.assess(), &before, "cp-3")
                .unwrap()
                .contains("2 of 3")
        );
    }

    #[test]
    fn a_plan_holds_for_the_members_it_was_shown_for() {
        let cluster = Cluster::of(3);
        let asked = defragmentation(&cluster.assess());
        assert!(the_same(&asked, asked.clone()).is_ok());
        let mut changed = Cluster::of(3);
        changed.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
        let error = the_same(&asked, defragmentation(&changed.assess())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
    }

    #[test]
    fn a_cluster_that_bears_no_failure_is_not_stalled_unasked() {
        let mut cluster = Cluster::of(3);
        assert!(refuse_stall(&cluster.assess(), false).is_ok());
        cluster.lost(2, RunError::new(RunErrorKind::NodeDown, "off"));
        let error = refuse_stall(&cluster.assess(), false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(
            error
                .hints
                .iter()
                .any(|hint| hint.contains("--allow-stall"))
        );
        assert!(refuse_stall(&cluster.assess(), true).is_ok());
        assert!(refuse_stall(&Cluster::of(1).assess(), false).is_ok());
    }
}
