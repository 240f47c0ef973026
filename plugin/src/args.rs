//! The flags that several commands have in common, and what is meant by them.

pub mod ssh;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{EnumValueParser, PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use etcd_operations::advice::{self, Choice};

use crate::views::Format;
use kubectl_etcd_core::connection::ConnectionOptions;
use kubectl_etcd_core::session::FleetOptions;
use kubectl_etcd_core::via::Forced;

const CONNECTION: &str = "Connection (as kubectl's own)";
const FLEET: &str = "Where and how it runs";

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

/// What `--via` takes. `ssh` is typed as `--ssh`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Runner {
    /// A Kubernetes Job on the node
    Job,
    /// A bare Pod on the node, when no controller-manager turns Jobs into Pods
    Pod,
    /// etcdctl inside the running etcd pod: needs no write to the cluster
    Exec,
    /// This host, which must be a control-plane node
    Local,
}

impl From<Runner> for Forced {
    fn from(runner: Runner) -> Self {
        match runner {
            Runner::Job => Self::Job,
            Runner::Pod => Self::Pod,
            Runner::Exec => Self::Exec,
            Runner::Local => Self::Local,
        }
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
    /// The flags that choose the cluster again, for a command to be typed next.
    pub(crate) fn words(&self) -> advice::Command {
        let path = |path: &PathBuf| path.display().to_string();
        let chosen = [
            (Choice::Kubeconfig, self.kubeconfig.as_ref().map(path)),
            (Choice::Context, self.context.clone()),
            (Choice::User, self.user.clone()),
            (Choice::Server, self.server.clone()),
        ];
        let given = chosen
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value?)));
        given.fold(advice::Command::default(), |words, (flag, value)| {
            words.with(flag, value)
        })
    }

    /// What is meant by them.
    pub fn options(self) -> ConnectionOptions {
        ConnectionOptions {
            kubeconfig: self.kubeconfig,
            context: self.context,
            cluster: self.cluster,
            user: self.user,
            server: self.server,
            token: self.token,
            impersonate: self.impersonate,
            impersonate_groups: self.impersonate_groups,
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            certificate_authority: self.certificate_authority,
            client_certificate: self.client_certificate,
            client_key: self.client_key,
            tls_server_name: self.tls_server_name,
            request_timeout: self.request_timeout,
            etcd: self.etcd,
            namespace: self.namespace,
        }
    }
}

/// On which nodes a command works, and by which runner.
#[derive(Debug, Clone, Default, Args)]
pub struct FleetArgs {
    /// Only on this control-plane node; may be given several times
    #[arg(long, help_heading = FLEET, value_name = "NODE", value_delimiter = ',')]
    pub node: Vec<String>,
    /// By which runner.
    #[command(flatten)]
    pub way: WayArgs,
}

impl FleetArgs {
    /// All nodes, by a runner.
    pub(crate) fn everywhere(way: WayArgs) -> Self {
        Self {
            node: Vec::new(),
            way,
        }
    }

    /// What is meant by them.
    pub(crate) fn options(&self) -> FleetOptions {
        FleetOptions {
            nodes: self.node.clone(),
            via: self.way.via,
            image: self.way.image.clone(),
            image_pull_secrets: self.way.image_pull_secret.clone(),
            timeout: self.way.timeout,
        }
    }
}

/// By which runner a command works.
#[derive(Debug, Clone, Default, Args)]
pub struct WayArgs {
    /// Force the way to the nodes instead of choosing the one that works
    #[arg(long, help_heading = FLEET, value_name = "RUNNER", value_parser = EnumValueParser::<Runner>::new().map(Forced::from))]
    pub via: Option<Forced>,
    /// Job image to use instead of the program the plugin carries
    #[arg(long, help_heading = FLEET,
        value_name = "REF",
        env = "KUBECTL_ETCD_IMAGE"
    )]
    pub image: Option<String>,
    /// Secret with which the job image is pulled, in the Jobs' namespace; may be given several times
    #[arg(long, help_heading = FLEET,
        value_name = "SECRET",
        hide_short_help = true,
        requires = "image"
    )]
    pub image_pull_secret: Vec<String>,
    /// How long the work on one node may take before it is given up
    #[arg(long, help_heading = FLEET, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub timeout: Option<Duration>,
}

/// The connection flags of a command that uses none: they are taken, as everywhere, and not shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfflineArgs;

impl Args for OfflineArgs {
    fn augment_args(command: Command) -> Command {
        let all = ConnectionArgs::augment_args(Command::new("connection"));
        let hidden = all.get_arguments().map(|arg| arg.clone().hide(true));
        command.args(hidden.collect::<Vec<_>>())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for OfflineArgs {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Ok(())
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
