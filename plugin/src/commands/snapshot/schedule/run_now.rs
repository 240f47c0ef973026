//! `kubectl etcd snapshot schedule run-now`

use std::time::Duration;

use clap::Args;
use etcd_operations::report::ScheduledReport;
use etcd_operations::request::answer_to;
use etcd_operations::routine::Routine;
use etcd_operations::shell::CommandLine;
use etcd_operations::wire::Progress;
use futures::future::join_all;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use super::{current, ground, name, trouble};
use crate::args::{FleetArgs, NamedOutputArgs, parse_duration};
use crate::commands::Context;
use crate::views::schedule::ScheduledRuns;
use kubectl_etcd_core::error::{Error, Verdict};
use kubectl_etcd_core::outcome::{Notice, NoticeSink, run_error};
use kubectl_etcd_core::runners::output;
use kubectl_etcd_core::runners::trouble::{Stage, stage};
use kubectl_etcd_core::schedule::{Deviations, is_unchecked, obstacle, start};

const EXAMPLES: &str = "\
Examples:
  # A snapshot by the schedule's own rules, now
  kubectl etcd snapshot schedule run-now

  # On one control-plane node of a schedule for all of them
  kubectl etcd snapshot schedule run-now etcd-snapshot-cp-1

It is waited for; Ctrl-C ends the waiting and not the run.
Exit codes: 0 saved and checked, 3 the same without some files of its bundle, 1 it failed, \
4 no member is healthy, 5 refused, 6 the control-plane node cannot be reached.";

/// The pause before the run's Pod is looked for again.
const PAUSE: Duration = Duration::from_millis(400);
/// How long kubelet may take to tell that a Pod has ended.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How long a Pod may take to start, unless it is said.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Run the schedule now, once, and wait for the snapshot
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunNowArgs {
    /// Which CronJob; all of the schedule's when not given
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How long its pod may take to start
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    output: NamedOutputArgs,
}

/// Starts a Job of each CronJob and waits for them.
///
/// # Errors
/// When there is no such schedule; the first run that failed, after those that did not were shown.
pub async fn run_now(context: &Context<'_>, args: RunNowArgs) -> Result<Verdict, Error> {
    let session = context.open(&FleetArgs::default()).await?;
    let (client, namespace) = ground(&session)?;
    let (all, deviations) = current(&session).await?;
    let wanted: Vec<&CronJob> = all
        .iter()
        .filter(|one| {
            args.name
                .as_deref()
                .is_none_or(|wanted| wanted == name(one))
        })
        .collect();
    if wanted.is_empty() {
        return Err(none(namespace, args.name.as_deref(), &all));
    }
    if let Some(error) = deviating(&wanted, &deviations) {
        return Err(error);
    }
    for unchecked in wanted.iter().filter(|one| is_unchecked(one)) {
        let name = name(unchecked);
        context.ui.warn(&format!(
            "{name}: its program is of another version: not checked"
        ));
    }
    let limit = args.wait.unwrap_or(START_LIMIT);
    let notices = session.notices();
    let runs = wanted.iter().map(|one| async move {
        let job = start(client, namespace, one).await;
        let job = job.map_err(|error| trouble("creating the Job", error))?;
        context.ui.say(&format!("job/{job} created"));
        follow(client, namespace, &job, limit, notices).await
    });
    let mut view = ScheduledRuns::new();
    let mut failed = None;
    for (one, run) in wanted.iter().zip(join_all(runs).await) {
        match run {
            Ok(report) => view.add(name(one), &report),
            // The last one is told at the end, as the error.
            Err(error) => {
                if let Some(before) = failed.replace(error) {
                    context.ui.error(&before, args.output.output);
                }
            }
        }
    }
    if !view.runs.is_empty() {
        context.ui.show(&view, args.output.output)?;
    }
    let mut verdict = Verdict::Healthy;
    for run in &view.runs {
        let left_out = run.left_out.iter();
        let lacks = left_out.map(|left| format!("not in the bundle: {left}"));
        let not_pruned = run.not_pruned.iter().map(|why| {
            let node = &run.node;
            format!("{node}: older snapshots were not removed: {why}")
        });
        for warning in lacks.chain(not_pruned) {
            context.ui.warn(&warning);
            verdict = Verdict::Degraded;
        }
    }
    failed.map_or(Ok(verdict), Err)
}

/// The refusal to run a program that is not the plugin's.
fn deviating(wanted: &[&CronJob], deviations: &Deviations) -> Option<Error> {
    let mut named = wanted.iter().map(|one| name(one));
    let (name, found) = named.find_map(|name| Some((name, deviations.get(name)?)))?;
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    Some(
        Error::refused(format!("{name} is not run: {}", words.join("; "))).hint(
            "kubectl etcd snapshot schedule set uploads the program and makes the schedule anew",
        ),
    )
}

fn none(namespace: &str, wanted: Option<&str>, all: &[CronJob]) -> Error {
    match wanted {
        Some(wanted) if !all.is_empty() => {
            let names: Vec<_> = all.iter().map(name).collect();
            Error::usage(format!("there is no schedule `{wanted}`"))
                .hint(format!("there are: {}", names.join(", ")))
        }
        _ => Error::failed(format!("there is no schedule in the namespace {namespace}"))
            .hint("kubectl etcd snapshot schedule set --cron '0 3 * * *'"),
    }
}

/// Waits for the Job's report.
async fn follow(
    client: &Client,
    namespace: &str,
    job: &str,
    limit: Duration,
    notices: &NoticeSink,
) -> Result<ScheduledReport, Error> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let (pod, node) = started(&pods, job, limit).await?;
    let mut progress = |progress: Progress| {
        notices(Notice::Progress {
            node: node.clone(),
            progress,
        });
    };
    let ended = output::report(&pods, &pod, &mut progress).await;
    match ended.map_err(|error| run_error(&node, &error))? {
        Ok(report) => {
            until_ended(&pods, &pod).await;
            let report = answer_to::<Routine>(report);
            report.map_err(|failure| Error::of_failure(&node, &failure))
        }
        Err(silent) => {
            let said = silent.last_output.unwrap_or_else(|| "nothing".to_owned());
            Err(Error::failed(format!(
                "{node}: the run ended without a report; the last it said: {said}"
            ))
            .hint(
                CommandLine::new("kubectl logs")
                    .option("-n", namespace)
                    .operand(&pod),
            ))
        }
    }
}

/// Waits until the API knows that the run has ended: the schedule that is shown next is to say so too.
async fn until_ended(pods: &Api<Pod>, pod: &str) {
    let begun = Instant::now();
    while begun.elapsed() < END_LIMIT {
        let phase = pods.get(pod).await.ok().and_then(|pod| pod.status?.phase);
        if phase.is_none_or(|phase| phase != "Running") {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// The Job's Pod once it has begun, and its node.
async fn started(pods: &Api<Pod>, job: &str, limit: Duration) -> Result<(String, String), Error> {
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let begun = Instant::now();
    let mut seen = "no pod was made of it: is a controller-manager at work?".to_owned();
    while begun.elapsed() < limit {
        let all = pods.list(&of_job).await;
        let all = all.map_err(|error| trouble("looking for the pod", error))?;
        if let Some(pod) = all.items.into_iter().next_back() {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
            let node = node.unwrap_or_else(|| job.to_owned());
            match stage(&pod) {
                Stage::Started => return Ok((pod.metadata.name.unwrap_or_default(), node)),
                Stage::Trouble(error) => return Err(run_error(&node, &error)),
                Stage::Unheard | Stage::Starting => {
                    let why = obstacle(&pod).unwrap_or_else(|| "its pod is starting".to_owned());
                    seen = format!("{node}: {why}");
                }
            }
        }
        sleep(PAUSE).await;
    }
    let error = Error::failed(format!("job/{job} has not begun within {limit:?}: {seen}"));
    Err(error.hint("it stays and may still begin; wait longer with --wait"))
}
