//! `kubectl etcd status`

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::{Context, or_over_ssh, out_of_reach, survey_beside};
use crate::advice::Worded;
use crate::args::ssh::SshArgs;
use crate::args::{FleetArgs, NamedOutputArgs, parse_duration};
use crate::views::Format;
use kubectl_etcd_core::assess::Scheduled;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::schedule;
use kubectl_etcd_core::session::Session;

const EXAMPLES: &str = "\
Examples:
  # How is etcd?
  kubectl etcd status

  # With ids, endpoints and storage versions, again every 5 seconds
  kubectl etcd status -o wide --watch=5s

  # Which member leads?
  kubectl etcd status -o json | jq -r '.rows[] | select(.role == \"leader\").node'

  # No apiserver answers: every control-plane node, over ssh
  kubectl etcd status --ssh

Exit codes: 0 healthy, 3 degraded, 4 quorum lost or data damaged, 6 nothing reached.";

/// Show every member: version, size, quota, role, lag, alarms; and what it adds up to
///
/// Every control-plane node is asked for its own member and for what it sees of the others. The answer comes with the
/// quorum lost too, from what each member knows itself. Whether the members have the same data is compared where that writes
/// nothing and no database is larger than 256 MiB; not with --watch.
///
/// LAG is how many entries of the leader's log a member has not applied, as its own node saw both. Nodes are asked moments apart,
/// so a follower's APPLIED may be above the leader's. A role is `unknown` where nobody could ask, and `down` where a member was
/// asked and did not answer.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Ask again and again, every 2s unless said otherwise
    #[arg(short = 'w', long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true,
          default_missing_value = "2s", value_parser = parse_duration)]
    watch: Option<Duration>,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

impl StatusArgs {
    /// Whether it goes on until Ctrl-C, which then is no interruption.
    pub fn watches(&self) -> bool {
        self.watch.is_some()
    }
}

/// Shows how the cluster is, once or until interrupted.
///
/// # Errors
/// When no cluster can be found at all. That its members are down is an answer.
pub async fn status(context: &Context<'_>, args: StatusArgs) -> Result<Verdict, Error> {
    let format = args.output.output;
    let Some(interval) = args.watch else {
        let session = context.open_by(&args.ssh, &args.fleet, "status").await?;
        let (outcomes, status) =
            survey_beside(&session, &args.fleet, schedules(&session), true).await;
        if let Some(error) = out_of_reach(&session, &outcomes).await {
            return Err(or_over_ssh(error, "status"));
        }
        let verdict = status.verdict.verdict();
        context.ui.show(&Worded::new(status), format)?;
        return Ok(verdict);
    };
    watch(context, &args.ssh, &args.fleet, format, interval).await
}

/// How long the schedules may take to be listed: less than a node's answer, so that nobody waits for them.
const SCHEDULES_LIMIT: Duration = Duration::from_millis(800);

/// The schedules for snapshots; none when they cannot be listed, which is for `snapshot schedule show` to say.
async fn schedules(session: &Session) -> Vec<Scheduled> {
    let Ok(cluster) = session.cluster() else {
        return Vec::new();
    };
    let (client, namespace) = (&cluster.connection.stream, &cluster.connection.namespace);
    let listed = schedule::promised(client, namespace, Timestamp::now());
    match tokio::time::timeout(SCHEDULES_LIMIT, listed).await {
        Ok(Ok(promised)) => promised,
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Whether it may be over while somebody watches.
fn is_an_outage(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NothingReached | ErrorKind::QuorumLostOrDamaged
    )
}

async fn watch(
    context: &Context<'_>,
    ssh: &SshArgs,
    fleet: &FleetArgs,
    format: Format,
    interval: Duration,
) -> Result<Verdict, Error> {
    // A first failure is an answer to what was typed, unless it is an outage: that is what is watched.
    let opened = match context.open_by(ssh, fleet, "status").await {
        Err(error) if !is_an_outage(error.kind) => return Err(error),
        opened => opened,
    };
    context.ui.begin_redrawing(format)?;
    let mut session = opened
        .inspect_err(|error| context.ui.error(error, format))
        .ok();
    let mut last = Verdict::NothingReached;
    loop {
        if let Some(open) = &session {
            let (outcomes, status) = survey_beside(open, fleet, schedules(open), false).await;
            last = status.verdict.verdict();
            let head = format!("{:.0}   every {interval:?}, Ctrl-C ends", Timestamp::now());
            if let Some(error) = out_of_reach(open, &outcomes).await {
                context.ui.warn(&error.chain());
            } else if !context.ui.redraw(&Worded::new(status), format, &head)? {
                return Ok(last);
            }
        }
        tokio::time::sleep(interval).await;
        if session.is_none() || last == Verdict::NothingReached {
            // The apiserver may be gone, or back, or the nodes may have changed.
            session = match context.open_by(ssh, fleet, "status").await {
                Ok(open) => Some(open),
                Err(error) => {
                    context.ui.warn(&error.chain());
                    None
                }
            };
        }
    }
}
