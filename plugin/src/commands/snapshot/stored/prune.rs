//! `kubectl etcd snapshot prune`

use std::time::Duration;

use clap::{ArgGroup, Args};
use etcd_operations::operation::SnapshotPrune;
use etcd_operations::report::{Fate, PruneReport, PrunedSnapshot};
use etcd_operations::stored::retention::Rules;
use jiff::Timestamp;

use super::FolderArgs;
use crate::args::{FleetArgs, NamedOutputArgs, parse_duration};
use crate::commands::{Context, node_named, none_answered};
use crate::views::prune::Prune;
use kubectl_etcd_core::discovery::Node;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::format::{bytes, counted};

const EXAMPLES: &str = "\
Examples:
  # What would go, and which rule keeps what stays?
  kubectl etcd snapshot prune --keep-last 7 --keep-daily 14 --keep-weekly 8 --dry-run

  # In a script
  kubectl etcd snapshot prune --keep-within 48h --keep-daily 14 --yes

Each node's folder is looked at by itself. A snapshot stays when any rule keeps it, and the newest \
verified one always. Only snapshots that are described and verified are counted and removed; all \
else is left alone. Days and weeks are those of UTC; ages count from the newest snapshot.
Exit codes: 0 done, 3 a node could not be asked, 5 not confirmed.";

/// Remove stored snapshots that no rule keeps
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("rules").required(true).multiple(true)
    .args(["keep_last", "keep_daily", "keep_weekly", "keep_within"])))]
pub struct PruneArgs {
    #[command(flatten)]
    rules: RuleArgs,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    kept: FolderArgs,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// What to keep.
#[derive(Debug, Clone, Copy, Args)]
pub struct RuleArgs {
    /// Keep the newest N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: Option<u32>,
    /// Keep the newest of each day, for N days that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_daily: Option<u32>,
    /// Keep the newest of each week, for N weeks that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_weekly: Option<u32>,
    /// Keep all that are no older than so long, counted from the newest
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    keep_within: Option<Duration>,
}

impl RuleArgs {
    /// What they mean.
    pub(crate) fn rules(self) -> Rules {
        Rules {
            last: self.keep_last.unwrap_or_default(),
            daily: self.keep_daily.unwrap_or_default(),
            weekly: self.keep_weekly.unwrap_or_default(),
            within_seconds: self.keep_within.unwrap_or_default().as_secs(),
        }
    }
}

/// Plans on each node, asks, and removes what was shown.
///
/// # Errors
/// When no node can be asked or the answer is no.
pub async fn prune(context: &Context<'_>, args: PruneArgs) -> Result<Verdict, Error> {
    let (folder, rules) = (args.kept.folder()?, args.rules.rules());
    let session = context.open(&args.fleet).await?;
    let mut request = SnapshotPrune {
        folder,
        rules,
        remove: Vec::new(),
    };
    let mut view = Prune::new(args.dry_run, Timestamp::now());
    let nodes: Vec<&Node> = session.nodes().iter().collect();
    let outcomes = session.run(&nodes, &request).await;
    if outcomes.iter().all(|outcome| outcome.result.is_err()) {
        return Err(none_answered(&session, &outcomes).await);
    }
    let mut planned: Vec<(&Node, PruneReport)> = Vec::new();
    for outcome in outcomes {
        match outcome.result {
            Ok(report) => planned.extend(node_named(&session, &outcome.node).zip(Some(report))),
            Err(error) => view.unknown(&outcome.node, error.message),
        }
    }
    let whole = |view: &Prune| Verdict::of(view.unreached.is_empty());
    if args.dry_run
        || planned
            .iter()
            .all(|(_, report)| going(report).next().is_none())
    {
        for (node, report) in &planned {
            view.add(&node.name, report);
        }
        context.ui.show(&view, args.output.output)?;
        return Ok(whole(&view));
    }
    ask(context, &planned, args.yes).await?;
    for (node, report) in &planned {
        let names: Vec<_> = going(report).map(|one| one.name.clone()).collect();
        if names.is_empty() {
            view.add(&node.name, report);
            continue;
        }
        request.remove = names;
        match session.ask(node, &request).await {
            Ok(done) => view.add(&node.name, &done),
            Err(trouble) => {
                context.ui.show(&view, args.output.output)?;
                return Err(trouble);
            }
        }
    }
    context.ui.show(&view, args.output.output)?;
    Ok(whole(&view))
}

fn going(report: &PruneReport) -> impl Iterator<Item = &PrunedSnapshot> {
    report.snapshots.iter().filter(|one| one.fate == Fate::Goes)
}

async fn ask(
    context: &Context<'_>,
    planned: &[(&Node, PruneReport)],
    yes: bool,
) -> Result<(), Error> {
    let going = planned
        .iter()
        .flat_map(|(node, report)| going(report).map(move |one| (node, one)));
    let going: Vec<_> = going.collect();
    if !yes {
        for (node, one) in &going {
            context.ui.say(&format!(
                "{}/{} ({})",
                node.name,
                one.name,
                bytes(one.size_bytes)
            ));
        }
    }
    let sizes = going.iter().map(|(_, one)| one.size_bytes).sum();
    let number = counted(going.len(), "snapshot");
    let question = format!("Remove {number} ({}) for good?", bytes(sizes));
    context.ui.confirm(&question, yes).await
}
