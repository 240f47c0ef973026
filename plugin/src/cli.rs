//! The command line: what can be typed. What it means is decided by each command.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, ValueEnum};
use etcd_operations::manifest::Selection;

use crate::commands::Command;
use crate::views::Format;

const CONNECTION: &str = "Connection (as kubectl's own)";
const FLEET: &str = "Where and how it runs";

const AFTER_HELP: &str = "\
Examples:
  kubectl etcd status                     how is etcd?
  kubectl etcd doctor                     what is wrong, and what to run next?
  kubectl etcd health --wait 5m           wait for a healthy cluster
  kubectl etcd snapshot save              a checked snapshot in the current folder
  kubectl etcd defrag --dry-run           what would a defragmentation do?

Each command has examples of its own: kubectl etcd COMMAND -h.
All connection flags of kubectl work everywhere: --help lists them.

To look for a fault: -v=4 writes to standard error what this program does, -v=6 every request too.
KUBECTL_ETCD_LOG=kubectl_etcd=debug,kube=off chooses by module; -v goes before it.

Exit codes: 0 done and healthy, 1 failed, 2 usage, 3 degraded, 4 quorum lost or data damaged,
5 refused by a safety check, 6 nothing could be reached, 130 interrupted.";

/// Operate the etcd of a Kubernetes cluster, with nothing but a kubeconfig
///
/// Works through Jobs on the control-plane nodes, through etcdctl inside the etcd pods when etcd refuses writes, and on a
/// control-plane node itself when no apiserver answers.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-etcd",
    bin_name = "kubectl etcd",
    version,
    after_help = AFTER_HELP,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// kubectl's connection flags.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Log level, as kubectl's: from 1 what this program does, from 6 every request too; to standard error
    #[arg(
        short = 'v',
        long = "v",
        global = true,
        value_name = "LEVEL",
        hide_short_help = true
    )]
    pub verbosity: Option<u8>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How an answer is written, by a command whose answers have no names.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// How to write the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = formats(&["table", "wide", "json", "yaml"]))]
    pub output: Format,
}

/// How an answer is written, by a command whose answers have names.
#[derive(Debug, Clone, Copy, Args)]
pub struct NamedOutputArgs {
    /// How to write the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "table", value_parser = formats(&["table", "wide", "json", "yaml", "name"]))]
    pub output: Format,
}

fn formats(names: &'static [&'static str]) -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(names).try_map(|name| Format::from_str(&name, false))
}

/// Which way an operation is brought to a control-plane node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Via {
    /// A Kubernetes Job on the node
    Job,
    /// A bare Pod on the node, when no controller-manager turns Jobs into Pods
    Pod,
    /// etcdctl inside the running etcd pod: needs no write to the cluster
    Exec,
    /// This host, which must be a control-plane node
    Local,
    /// The host, over ssh: typed as `--ssh`
    #[value(skip)]
    Ssh,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Job => "job",
            Self::Pod => "pod",
            Self::Exec => "exec",
            Self::Local => "local",
            Self::Ssh => "ssh",
        })
    }
}

/// kubectl's own connection flags, which mean here what they mean there.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = CONNECTION)]
pub struct ConnectionArgs {
    /// Path of the kubeconfig file
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,
    /// The kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,
    /// Address and port of the apiserver
    #[arg(
        short = 's',
        long,
        global = true,
        value_name = "URL",
        hide_short_help = true
    )]
    pub server: Option<String>,
    /// Bearer token for the apiserver
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true)]
    pub token: Option<String>,
    /// User to impersonate
    #[arg(
        long = "as",
        global = true,
        value_name = "USER",
        hide_short_help = true
    )]
    pub impersonate: Option<String>,
    /// Group to impersonate; may be given several times
    #[arg(
        long = "as-group",
        global = true,
        value_name = "GROUP",
        hide_short_help = true
    )]
    pub impersonate_groups: Vec<String>,
    /// Do not check the apiserver's certificate
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,
    /// Certificate of the authority that signed the apiserver's
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate for the apiserver
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_certificate: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_key: Option<PathBuf>,
    /// Name the apiserver's certificate is checked for, instead of the address's
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,
    /// How long one request to the apiserver may take, such as 5s; 0 for no limit
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub request_timeout: Option<Duration>,
    /// Pod whose etcd is meant, by its manifest's name, where several run one on a host [default: the one that the apiserver
    /// uses]
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        hide_short_help = true,
        help_heading = FLEET
    )]
    pub etcd: Option<String>,
    /// Namespace the Jobs run in [default: kubectl-etcd, made when missing; kube-system where you may not make it]
    #[arg(short = 'n', long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
}

impl ConnectionArgs {
    /// Whether somebody has said which apiserver is meant, besides by a whole kubeconfig.
    pub(crate) fn names_cluster(&self) -> bool {
        self.server.is_some() || self.context.is_some() || self.cluster.is_some()
    }

    /// Which manifests are meant on a host.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            etcd: self.etcd.clone(),
            ..Selection::default()
        }
    }
}

/// On which nodes a command works, and by which runner.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = FLEET)]
pub struct FleetArgs {
    /// Only on this control-plane node; may be given several times
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub node: Vec<String>,
    /// By which runner.
    #[command(flatten)]
    pub way: WayArgs,
}

/// By which runner a command works.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = FLEET)]
pub struct WayArgs {
    /// Force the way to the nodes instead of choosing the one that works
    #[arg(long, value_name = "RUNNER", value_enum)]
    pub via: Option<Via>,
    /// Job image to use instead of the program the plugin carries
    #[arg(
        long,
        value_name = "REF",
        env = "KUBECTL_ETCD_IMAGE",
        hide_short_help = true
    )]
    pub image: Option<String>,
    /// Secret with which the job image is pulled, in the Jobs' namespace; may be given several times
    #[arg(
        long,
        value_name = "SECRET",
        hide_short_help = true,
        requires = "image"
    )]
    pub image_pull_secret: Vec<String>,
    /// How long the work on one node may take before it is given up
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub timeout: Option<Duration>,
}

/// The environment variable that chooses by module which log messages are written.
pub const LOG_VARIABLE: &str = "KUBECTL_ETCD_LOG";

/// Which log messages are written, as a filter of `tracing-subscriber`. `chosen` is the value of [`LOG_VARIABLE`].
///
/// kube reports failed connections as errors on its own, which this program reports in its own messages.
pub fn log_filter(verbosity: Option<u8>, chosen: Option<&str>) -> &str {
    match (verbosity, chosen) {
        (Some(6..), _) => "debug",
        (Some(1..), _) => "error,kube_client=off,kube=off,kubectl_etcd=debug",
        (None, Some(chosen)) if !chosen.is_empty() => chosen,
        _ => "error,kube_client=off,kube=off",
    }
}

/// Reads a duration as kubectl does: `5s`, `1m30s`, `500ms`, or a bare number of seconds.
///
/// # Errors
/// When it is none of these, or negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let not_one = || format!("`{text}` is not a duration such as 5s, 1m30s or 500ms");
    let signed: jiff::SignedDuration = text.parse().map_err(|_| not_one())?;
    Duration::try_from(signed).map_err(|_| not_one())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_level_goes_before_the_environment() {
        let usual = log_filter(None, None);
        assert!(usual.starts_with("error,"));
        assert_eq!(log_filter(None, Some("")), usual);
        assert_eq!(log_filter(Some(0), Some("trace")), usual);
        assert_eq!(log_filter(None, Some("trace")), "trace");
        assert!(log_filter(Some(4), Some("trace")).ends_with("kubectl_etcd=debug"));
        assert_eq!(log_filter(Some(6), None), "debug");
        assert_eq!(log_filter(Some(9), None), "debug");
    }

    #[test]
    fn durations_are_those_of_kubectl() {
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "-5s", "5 parsecs", "s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
