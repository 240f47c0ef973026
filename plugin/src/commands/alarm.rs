//! `kubectl etcd alarm`

use clap::{Args, Subcommand, ValueEnum};
use etcd_operations::operation;
use etcd_operations::report::{Alarm, AlarmKind, AlarmReport};

use super::{Context, answered_survey, none_answered, survey, through};
use crate::args::{FleetArgs, OutputArgs};
use crate::views::alarms::{AlarmRow, Alarms, AlarmsKind};
use kubectl_etcd_core::assess::model::{Row, Status};
use kubectl_etcd_core::discovery::Node;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::format::{bytes, percent};

const EXAMPLES: &str = "\
Examples:
  # Which alarms are raised?
  kubectl etcd alarm list

  # After space was freed: take writes again
  kubectl etcd alarm disarm";

const LIST_EXAMPLES: &str = "\
Examples:
  # Which alarms are raised?
  kubectl etcd alarm list

  # For a script: the exit code tells
  kubectl etcd alarm list -o json

Exit codes: 0 no alarm, 3 an alarm is raised, 4 a CORRUPT alarm is raised or no quorum.";

const DISARM_EXAMPLES: &str = "\
Examples:
  # Take the NOSPACE alarm back, once compaction and `kubectl etcd defrag` have freed space
  kubectl etcd alarm disarm

  # Take a CORRUPT alarm back
  kubectl etcd alarm disarm corrupt

Exit codes: 0 done, 4 no quorum, 5 not confirmed.";

/// From which share of the quota on NOSPACE is certain to be raised again, in per cent.
const FULL_PERCENT: u64 = 95;

/// List or disarm alarms
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AlarmArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the alarms that are raised
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// Take an alarm back: NOSPACE, unless CORRUPT is named
    Disarm(DisarmArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Args)]
#[command(after_help = DISARM_EXAMPLES)]
struct DisarmArgs {
    /// Which alarm
    #[arg(value_enum, default_value_t = Which::Nospace, ignore_case = true)]
    alarm: Which,
    /// Do not ask for confirmation
    #[arg(short = 'y', long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The database reached its quota and writes are refused
    Nospace,
    /// A member's data differs from the others': disarming repairs nothing
    Corrupt,
}

/// Lists or disarms alarms.
///
/// # Errors
/// When there is no quorum to ask, or the answer to the question is no.
pub async fn alarm(context: &Context<'_>, args: AlarmArgs) -> Result<Verdict, Error> {
    match args.action {
        Action::List(args) => list(context, args).await,
        Action::Disarm(args) => disarm(context, args).await,
    }
}

async fn list(context: &Context<'_>, args: ListArgs) -> Result<Verdict, Error> {
    let session = context.open(&args.fleet).await?;
    let nodes: Vec<&Node> = session.nodes().iter().collect();
    let outcomes = session.run(&nodes, &operation::AlarmList).await;
    let mut answers = outcomes.iter();
    let Some(report) = answers.find_map(|outcome| outcome.result.as_ref().ok()) else {
        return Err(none_answered(&session, &outcomes).await);
    };
    // Alarms carry ids alone; the names come from the members, which a list without alarms need not ask for.
    let rows = if report.alarms.is_empty() {
        Vec::new()
    } else {
        survey(&session, &args.fleet).await.1.rows
    };
    let view = view(AlarmsKind::Raised, report, &report.alarms, &rows);
    context.ui.show(&view, args.output.output)?;
    Ok(verdict(&report.alarms))
}

async fn disarm(context: &Context<'_>, args: DisarmArgs) -> Result<Verdict, Error> {
    let session = context.open(&args.fleet).await?;
    let (_, status) = answered_survey(&session, &args.fleet).await?;
    let kind = match args.alarm {
        Which::Nospace => AlarmKind::NoSpace,
        Which::Corrupt => AlarmKind::Corrupt,
    };
    match args.alarm {
        Which::Nospace => warn_of_return(context, &status),
        Which::Corrupt => {
            context.ui.say(
                "CORRUPT says that a member's data differs from the others'. Disarming it repairs nothing: the cluster continues with members that disagree. Do it after the damaged member was replaced.",
            );
            context
                .ui
                .confirm("Disarm the CORRUPT alarm?", args.yes)
                .await?;
        }
    }
    let _lock = session.lock("alarm disarm").await?;
    let request = operation::AlarmDisarm {
        alarm: kind,
        member: None,
    };
    let (node, _) = through(&session, &status)?;
    let report = session.ask(node, &request).await?;
    let view = view(AlarmsKind::Disarmed, &report, &report.alarms, &status.rows);
    context.ui.show(&view, args.output.output)?;
    Ok(verdict(&report.still_raised))
}

/// Space that was not freed raises the alarm again with the next write.
fn warn_of_return(context: &Context<'_>, status: &Status) {
    for row in &status.rows {
        if let (Some(size), Some(quota)) = (row.db_size_bytes, row.quota_bytes)
            && u128::from(size) * 100 >= u128::from(quota) * u128::from(FULL_PERCENT)
        {
            let name = row
                .node
                .as_deref()
                .or(row.member.as_deref())
                .unwrap_or("a member");
            context.ui.warn(&format!(
                "{name}: the database still has {} of its quota of {}, the alarm will return; first: kubectl etcd defrag",
                percent(size, quota),
                bytes(quota)
            ));
        }
    }
}

fn view(kind: AlarmsKind, report: &AlarmReport, alarms: &[Alarm], rows: &[Row]) -> Alarms {
    let row = |alarm: &Alarm| -> AlarmRow {
        let id = alarm.member_id.to_string();
        let of = rows.iter().find(|row| row.member_id.as_ref() == Some(&id));
        AlarmRow {
            alarm: kubectl_etcd_core::assess::alarm_word(alarm.alarm).to_owned(),
            node: of.and_then(|row| row.node.clone()),
            member: of.and_then(|row| row.member.clone()),
            member_id: id,
        }
    };
    let cluster = report.cluster_id.to_string();
    Alarms {
        still_raised: report.still_raised.iter().map(row).collect(),
        ..Alarms::new(kind, cluster, alarms.iter().map(row).collect())
    }
}

fn verdict(alarms: &[Alarm]) -> Verdict {
    if alarms.iter().any(|alarm| alarm.alarm == AlarmKind::Corrupt) {
        Verdict::QuorumLostOrDamaged
    } else {
        Verdict::of(alarms.is_empty())
    }
}
