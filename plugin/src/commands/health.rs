//! `kubectl etcd health`

use etcd_operations::advice;
use etcd_operations::advice::Task;
use std::time::{Duration, Instant};

use clap::Args;
use etcd_operations::operation;

use super::{Context, out_of_reach, scope};
use crate::advice::Worded;
use crate::args::ssh::SshArgs;
use crate::args::{FleetArgs, OutputArgs, parse_duration};
use kubectl_etcd_core::assess::health::{Health, judge};
use kubectl_etcd_core::assess::same::Comparison;
use kubectl_etcd_core::discovery::Node;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};

const EXAMPLES: &str = "\
Examples:
  # Does every member answer a linearizable read?
  kubectl etcd health

  # Guard the next step of an upgrade: wait up to 5 minutes for a healthy cluster
  kubectl etcd health --wait 5m && kubeadm upgrade node

  # No apiserver answers: every control-plane node, over ssh
  kubectl etcd health --ssh

Exit codes: 0 every member is healthy, 3 some are not, 4 none answers a linearizable read, \
or data is damaged or differs, 6 nothing reached.";

/// How long to pause between two tries while waiting.
const PAUSE: Duration = Duration::from_secs(1);

/// How long one read may take, unless it is said.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Check that every member serves a consistent read and has the same data, and look for alarms
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HealthArgs {
    /// Wait so long for every member to be healthy
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// How long one read may take
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    read_timeout: Duration,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Asks every member for a linearizable read, until all are healthy or the time is over.
///
/// # Errors
/// When no cluster can be found at all.
pub async fn health(context: &Context<'_>, args: HealthArgs) -> Result<Verdict, Error> {
    let health = waited(
        context,
        &args.ssh,
        &args.fleet,
        args.wait,
        args.read_timeout,
    )
    .await?;
    let verdict = health.verdict();
    context.ui.show(&Worded::new(health), args.output.output)?;
    Ok(verdict)
}

/// Waits until every member is healthy.
///
/// # Errors
/// When they are not after so long, with what is wrong.
pub(crate) async fn wait_for_health(
    context: &Context<'_>,
    fleet: &FleetArgs,
    wait: Duration,
) -> Result<(), Error> {
    let health = waited(
        context,
        &SshArgs::default(),
        fleet,
        Some(wait),
        READ_TIMEOUT,
    )
    .await?;
    let kind = match health.verdict() {
        Verdict::Healthy => return Ok(()),
        // Not as a snapshot that was saved of a degraded cluster: nothing was done.
        Verdict::Degraded => ErrorKind::Refused,
        Verdict::QuorumLostOrDamaged => ErrorKind::QuorumLostOrDamaged,
        Verdict::NothingReached => ErrorKind::NothingReached,
    };
    let seconds = wait.as_secs();
    let message = format!("not healthy after {seconds} s: {}", health.summary);
    Err(Error::new(kind, message).hint(advice![Task::ShowStatus, " shows why"]))
}

async fn waited(
    context: &Context<'_>,
    ssh: &SshArgs,
    fleet: &FleetArgs,
    wait: Option<Duration>,
    read_timeout: Duration,
) -> Result<Health, Error> {
    let end = wait.map(|wait| Instant::now() + wait);
    let mut told = String::new();
    loop {
        let answer = once(context, ssh, fleet, read_timeout).await;
        let over = end.is_none_or(|end| Instant::now() + PAUSE >= end);
        match answer {
            Ok(health) if over || health.verdict() == Verdict::Healthy => return Ok(health),
            Err(error) if over || !may_pass(error.kind) => return Err(error),
            Ok(health) => tell(context, &mut told, health.summary.to_string()),
            Err(error) => tell(context, &mut told, error.chain()),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether it may be better later: waiting grants no rights.
fn may_pass(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::Usage | ErrorKind::Refused | ErrorKind::NotAllowed
    )
}

/// While waiting, only what is new is said.
fn tell(context: &Context<'_>, told: &mut String, now: String) {
    if *told != now {
        context.ui.say(&format!("waiting: {now}"));
        *told = now;
    }
}

async fn once(
    context: &Context<'_>,
    ssh: &SshArgs,
    fleet: &FleetArgs,
    read_timeout: Duration,
) -> Result<Health, Error> {
    let session = context.open_by(ssh, fleet, "health").await?;
    let nodes: Vec<&Node> = session.nodes().iter().collect();
    let timeout_ms = u64::try_from(read_timeout.as_millis()).unwrap_or(u64::MAX);
    let outcomes = session.run(&nodes, &operation::Health { timeout_ms }).await;
    if let Some(error) = out_of_reach(&session, &outcomes).await {
        return Err(error);
    }
    let scope = scope(&session, fleet);
    let told = judge(session.nodes(), &outcomes, scope, Comparison::default());
    // What is ill already needs no further word.
    if told.verdict() != Verdict::Healthy {
        return Ok(told);
    }
    let same = session.compare_data_on(&nodes).await;
    Ok(judge(session.nodes(), &outcomes, scope, same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubectl_etcd_core::outcome::{RunError, RunErrorKind, run_error};

    #[test]
    fn only_what_time_can_heal_is_waited_for() {
        let kind = |kind| run_error("cp-1", &RunError::new(kind, "")).kind;
        assert!(may_pass(kind(RunErrorKind::NodeDown)));
        assert!(may_pass(kind(RunErrorKind::ApiserverLost)));
        assert!(!may_pass(kind(RunErrorKind::NoRights)));
        assert!(!may_pass(kind(RunErrorKind::AdmissionRefused)));
        assert_eq!(kind(RunErrorKind::NoRights).exit_code(), 1);
    }
}
