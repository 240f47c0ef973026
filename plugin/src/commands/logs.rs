//! `kubectl etcd logs`

use std::time::Duration;

use clap::{Args, ValueEnum};
use etcd_operations::control_plane::ControlPlane;
use etcd_operations::logs::LogQuery;
use futures::future::join_all;
use jiff::Timestamp;

use super::{Context, or_over_ssh};
use crate::args::ssh::SshArgs;
use crate::args::{FleetArgs, OutputArgs, WayArgs, parse_duration};
use crate::views::logs::{Logs, Unread};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::inventory::reach::reach;
use kubectl_etcd_core::logs::NodeLog;
use kubectl_etcd_core::runners::host::Host;
use kubectl_etcd_core::runners::local;
use kubectl_etcd_core::via::Forced;

const EXAMPLES: &str = "\
Examples:
  # What went wrong lately, on all control-plane nodes?
  kubectl etcd logs

  # etcd on one node, all lines of the container before the one that runs
  kubectl etcd logs m3 --component etcd --previous --all --tail 200

  # Without an API server: over ssh, or as root on a control-plane node
  kubectl etcd logs --ssh
  kubectl etcd logs --via local

Exit codes: 0 all logs were read, 2 usage, 3 some were not read, 6 none was read.";

/// Show the last lines of etcd and the API server that matter, of all control-plane nodes
///
/// Warnings and errors, starts and ends, slow requests, elections and changes of the members; --all shows every line. They
/// come through the API server and the kubelets; over ssh and on a control-plane node from the files of the container
/// runtime. A line is folded to the terminal; it is whole with -o wide and -o json.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LogsArgs {
    /// Only of these control-plane nodes
    #[arg(value_name = "NODE")]
    node: Vec<String>,
    /// Only of this component; may be given several times
    #[arg(long, value_enum)]
    component: Vec<Component>,
    /// How many lines of each component on each node, the last ones
    #[arg(long, value_name = "N", default_value_t = 10)]
    tail: usize,
    /// Only lines that are younger than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Of the container before the one that runs
    #[arg(short = 'p', long)]
    previous: bool,
    /// All lines, not only those that matter
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    ssh: SshArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// A component whose log is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Component {
    /// etcd
    Etcd,
    /// The API server
    KubeApiserver,
}

impl LogsArgs {
    fn query(&self) -> LogQuery {
        let wanted = |component| self.component.is_empty() || self.component.contains(&component);
        let all = [
            (Component::Etcd, ControlPlane::Etcd),
            (Component::KubeApiserver, ControlPlane::Apiserver),
        ];
        let components = all.into_iter().filter(|(typed, _)| wanted(*typed));
        let since = |age: Duration| Timestamp::now().checked_sub(age).ok();
        LogQuery {
            components: components.map(|(_, component)| component).collect(),
            previous: self.previous,
            all: self.all,
            tail: self.tail,
            since: self.since.and_then(since),
        }
    }

    fn names(&self, node: &str) -> bool {
        self.node.is_empty() || self.node.iter().any(|named| named == node)
    }
}

/// Reads the logs and shows them.
///
/// # Errors
/// When none is read.
pub async fn logs(context: &Context<'_>, args: LogsArgs) -> Result<Verdict, Error> {
    let view = match args.ssh.wanted() {
        true => over_ssh(context, &args).await?,
        false => here_or_through_the_api(context, &args).await?,
    };
    context.ui.end_progress();
    if view.lines.is_empty()
        && let Some(first) = view.unread.first()
    {
        let message = format!("no log was read: {}: {}", first.node, first.why);
        return Err(Error::new(ErrorKind::NothingReached, message));
    }
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::of(view.unread.is_empty()))
}

async fn here_or_through_the_api(context: &Context<'_>, args: &LogsArgs) -> Result<Logs, Error> {
    match args.way.via {
        Some(Forced::Local) => {
            local::as_root()?;
            return here(context, args).await;
        }
        Some(_) => {
            let message = "logs come through the kubelets, from this host or over ssh";
            return Err(Error::usage(message).hint("leave out --via, or use --via local or --ssh"));
        }
        None => {}
    }
    let fleet = FleetArgs {
        node: args.node.clone(),
        way: args.way.clone(),
    };
    let session = context.find(&fleet).await;
    let session = session.map_err(|error| or_over_ssh(error, "logs"))?;
    if session.cluster().is_err() {
        return here(context, args).await;
    }
    let nodes: Vec<_> = session.nodes().iter().collect();
    let logs = session.logs(&nodes, &args.query()).await?;
    Ok(Logs::new(&logs, Vec::new()))
}

async fn here(context: &Context<'_>, args: &LogsArgs) -> Result<Logs, Error> {
    let host = context.this_host()?;
    Ok(Logs::new(
        &of_host(&host, host.node(), args).await?,
        Vec::new(),
    ))
}

async fn of_host(host: &Host, node: &str, args: &LogsArgs) -> Result<Vec<NodeLog>, Error> {
    let logs = host.logs(args.query()).await?;
    let of_node = |log| NodeLog {
        node: node.to_owned(),
        log,
    };
    Ok(logs.into_iter().map(of_node).collect())
}

async fn over_ssh(context: &Context<'_>, args: &LogsArgs) -> Result<Logs, Error> {
    let reached = reach(
        &context.ui.notices(),
        &args.ssh.targets(),
        context.connection,
    )
    .await?;
    let asked = reached.hosts.iter().filter(|one| args.names(one.node()));
    let asked = asked.map(async |one| (one.node(), of_host(&one.host, one.node(), args).await));
    let (mut logs, mut unread) = (Vec::new(), Vec::new());
    let not_read = |node: &str, why: String| Unread {
        node: node.to_owned(),
        component: None,
        why,
    };
    for (node, found) in join_all(asked).await {
        match found {
            Ok(found) => logs.extend(found),
            Err(error) => unread.push(not_read(node, error.chain())),
        }
    }
    let others = reached.unreached.iter().filter(|one| args.names(&one.name));
    unread.extend(others.map(|one| not_read(&one.name, one.why.clone())));
    Ok(Logs::new(&logs, unread))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: LogsArgs,
    }

    #[test]
    fn both_components_are_meant_unless_one_is_named() {
        let query = |words: &[&str]| {
            let words = [&["logs"], words].concat();
            Typed::try_parse_from(words)
                .unwrap()
                .args
                .query()
                .components
        };
        assert_eq!(query(&[]), [ControlPlane::Etcd, ControlPlane::Apiserver]);
        assert_eq!(
            query(&["m3", "--component", "kube-apiserver"]),
            [ControlPlane::Apiserver]
        );
    }
}
