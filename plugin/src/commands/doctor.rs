//! `kubectl etcd doctor`

use std::path::Path;

use clap::Args;
use etcd_operations::doctor::{Unseen, diagnose};
use etcd_operations::look::{Look, LookOptions, look};
use futures::future::join_all;
use jiff::Timestamp;

use super::{Context, or_over_ssh, out_of_reach, survey_beside};
use crate::advice::Worded;
use crate::args::ssh::SshArgs;
use crate::args::{FleetArgs, OutputArgs};
use kubectl_etcd_core::assess::doctor::Doctor;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::host_name::HostName;
use kubectl_etcd_core::inventory::reach::{Unreached, reach};
use kubectl_etcd_core::runners::local;
use kubectl_etcd_core::via::Forced;

const EXAMPLES: &str = "\
Examples:
  # As root on a control-plane node: what is wrong here, and what to run next
  kubectl etcd doctor

  # From anywhere: all control-plane nodes, over ssh
  kubectl etcd doctor --ssh

  # What was seen to be in order, too
  kubectl etcd doctor -o wide

  # Without reading the whole database of an etcd that does not run (seconds for each GB)
  kubectl etcd doctor --skip-database-check

Exit codes: 0 nothing is wrong, 3 degraded, or not all could be looked at, 4 quorum lost or data \
damaged, 6 nothing reached.";

/// Tell what is wrong, what was seen of it, and the one command to run next
///
/// As root on a control-plane node it looks at this host, with or without an apiserver: static pods, kubelet, the
/// container runtime, etcd and its data directory, the other members, certificates and disks. With --ssh it looks at the
/// other control-plane nodes too. Elsewhere it tells what etcd and the API tell. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Leave out the walk through the database of an etcd that does not run: damage in it is not seen
    #[arg(long)]
    skip_database_check: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Looks, and judges what was seen.
///
/// # Errors
/// When there is neither a control-plane node here nor an apiserver that answers.
pub async fn doctor(context: &Context<'_>, args: DoctorArgs) -> Result<Verdict, Error> {
    let options = LookOptions {
        check_database: !args.skip_database_check,
        ..LookOptions::default()
    };
    let view = if args.ssh.wanted() {
        everywhere(context, &args.ssh, options).await?
    } else {
        match here(context, &args.fleet, &options).await? {
            Some(view) => view,
            None => through_the_api(context, &args.fleet).await?,
        }
    };
    let verdict = view.verdict.verdict();
    context.ui.show(&Worded::new(view), args.output.output)?;
    Ok(verdict)
}

/// What is seen on this host; none when it is not this host that is asked for.
async fn here(
    context: &Context<'_>,
    fleet: &FleetArgs,
    options: &LookOptions,
) -> Result<Option<Doctor>, Error> {
    let selection = context.connection.selection();
    let forced = fleet.way.via == Some(Forced::Local);
    if forced {
        local::as_root()?;
    } else if fleet.way.via.is_some() || !fleet.node.is_empty() || !local::may_be_looked_at() {
        return Ok(None);
    }
    let mut meter = context.ui.meter("this host".to_owned());
    let mut events = |progress: etcd_operations::wire::Progress| {
        let total = progress.total_bytes.unwrap_or(0);
        meter(&progress.step, progress.done_bytes, total);
    };
    let found = Box::pin(look(Path::new("/"), &selection, options, &mut events)).await;
    context.ui.end_progress();
    if found.is_control_plane() {
        return Ok(Some(judged(&[found], Vec::new())));
    }
    if forced {
        return Err(Error::usage(
            "this host is not a control-plane node: no manifest of a control plane is here",
        )
        .hint("run it on a control-plane node"));
    }
    Ok(None)
}

/// What is seen on all hosts that can be reached over ssh, this one among them where it is a control-plane node.
async fn everywhere(
    context: &Context<'_>,
    ssh: &SshArgs,
    options: LookOptions,
) -> Result<Doctor, Error> {
    let reached = reach(&context.ui.notices(), &ssh.targets(), context.connection).await?;
    let asked = reached.hosts.iter();
    let asked = asked.map(async |one| (one.node(), one.host.look(options.clone()).await));
    let (mut looks, mut unseen) = (Vec::new(), Vec::new());
    for (node, look) in join_all(asked).await {
        match look {
            Ok(look) => looks.push(look),
            Err(error) => unseen.push(not_seen(node, error.chain())),
        }
    }
    context.ui.end_progress();
    let others = reached.unreached.iter();
    unseen.extend(others.map(|one| not_seen(&member_at(one, &looks), one.why.clone())));
    if looks.is_empty() {
        let message = "no control-plane node could be looked at";
        let error = Error::new(ErrorKind::NothingReached, message);
        return Err(unseen.iter().fold(error, |error, one| {
            error.hint(format!("{}: {}", one.node, one.why))
        }));
    }
    Ok(judged(&looks, unseen))
}

/// The name of a host that was not reached: where it was looked for by its address alone, the member's that is there.
fn member_at(one: &Unreached, looks: &[Look]) -> String {
    let there = |urls: &[String]| {
        let mut hosts = urls.iter().filter_map(|url| HostName::of_url(url).ok());
        hosts.any(|host| one.addresses.iter().any(|address| host.is_same(address)))
    };
    let mut known = looks.iter().flat_map(Look::known_members);
    let found = known.find(|(name, urls)| !name.is_empty() && there(urls));
    found.map_or_else(|| one.name.clone(), |(name, _)| name)
}

fn not_seen(node: &str, why: String) -> Unseen {
    Unseen {
        node: node.to_owned(),
        what: "the host".to_owned(),
        why,
    }
}

fn judged(looks: &[Look], unseen: Vec<Unseen>) -> Doctor {
    let mut diagnosis = diagnose(looks, Timestamp::now());
    diagnosis.unseen.extend(unseen);
    let looked_at: Vec<String> = looks.iter().map(|look| look.name().to_owned()).collect();
    let mut others: Vec<String> = looks.iter().flat_map(Look::other_members).collect();
    others.sort();
    others.dedup();
    others.retain(|name| !looked_at.contains(name));
    Doctor::of_hosts(looked_at, others, &diagnosis)
}

async fn through_the_api(context: &Context<'_>, fleet: &FleetArgs) -> Result<Doctor, Error> {
    let session = context
        .find(fleet)
        .await
        .map_err(|error| or_over_ssh(error, "doctor"))?;
    let nothing = std::future::ready(Vec::new());
    let (outcomes, status) = survey_beside(&session, fleet, nothing, true).await;
    match out_of_reach(&session, &outcomes).await {
        Some(error) => Err(error),
        None => Ok(Doctor::of_status(&status)),
    }
}
