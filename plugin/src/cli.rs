//! The command line: what can be typed. What it means is decided by each command.

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::advice::Given;
use crate::args::ConnectionArgs;
use crate::args::ssh::SshArgs;
use crate::commands::{
    Context, alarm, cleanup, compact, completion, datadir, defrag, doctor, health, images, logs,
    manifest, member, members, plan, recover, restore, snapshot, status, usage, version, viewers,
};
use crate::views::Format;
use kubectl_etcd_core::error::{Error, Verdict};

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

Exit codes: 0 done and healthy, 1 failed, 2 usage, 3 degraded, 4 quorum lost or data damaged, \
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

/// What can be done.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "a text here would take the place of the help that stands on each command's arguments"
)]
pub enum Command {
    Status(status::StatusArgs),
    Members(members::MembersArgs),
    Member(member::MemberArgs),
    Health(health::HealthArgs),
    Doctor(doctor::DoctorArgs),
    Logs(logs::LogsArgs),
    Alarm(alarm::AlarmArgs),
    Compact(compact::CompactArgs),
    Defrag(defrag::DefragArgs),
    Snapshot(snapshot::SnapshotArgs),
    Usage(usage::UsageArgs),
    Datadir(datadir::DatadirArgs),
    Manifest(manifest::ManifestArgs),
    Images(images::ImagesArgs),
    Restore(restore::RestoreArgs),
    Recover(recover::RecoverArgs),
    Plan(plan::PlansArgs),
    Viewers(viewers::ViewersArgs),
    Cleanup(cleanup::CleanupArgs),
    Version(version::VersionArgs),
    Completion(completion::CompletionArgs),
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

/// How the command that was typed writes its answer, and its error.
pub fn format(typed: &ArgMatches) -> Format {
    match typed.subcommand() {
        Some((_, command)) => format(command),
        None => typed
            .try_get_one("output")
            .ok()
            .flatten()
            .copied()
            .unwrap_or(Format::Table),
    }
}

/// What was typed of how the cluster and its hosts are reached.
pub fn given(typed: &ArgMatches, cli: &Cli) -> Given {
    Given {
        connection: cli.connection.words(),
        ssh: ssh(typed).unwrap_or_default().words(),
    }
}

/// The flags for ssh of the command that was typed, where it has such.
fn ssh(typed: &ArgMatches) -> Option<SshArgs> {
    match typed.subcommand() {
        Some((_, command)) => ssh(command),
        None => {
            typed.try_contains_id("ssh_config").ok()?;
            SshArgs::from_arg_matches(typed).ok()
        }
    }
}

/// Does what was typed.
///
/// # Errors
/// As the command does.
pub async fn run(context: &Context<'_>, command: Command) -> Result<Verdict, Error> {
    match command {
        Command::Status(args) => status::status(context, args).await,
        Command::Members(args) => members::members(context, args).await,
        Command::Member(args) => Box::pin(member::member(context, args)).await,
        Command::Health(args) => health::health(context, args).await,
        Command::Doctor(args) => doctor::doctor(context, args).await,
        Command::Logs(args) => logs::logs(context, args).await,
        Command::Alarm(args) => alarm::alarm(context, args).await,
        Command::Compact(args) => compact::compact(context, args).await,
        Command::Defrag(args) => defrag::defrag(context, args).await,
        Command::Snapshot(args) => snapshot::snapshot(context, args).await,
        Command::Usage(args) => usage::usage(context, args).await,
        Command::Datadir(args) => datadir::datadir(context.ui, args).await,
        Command::Manifest(args) => manifest::manifest(context, args).await,
        Command::Images(args) => images::images(context.ui, args).await,
        Command::Restore(args) => Box::pin(restore::restore(context, args)).await,
        Command::Recover(args) => Box::pin(recover::recover(context, args)).await,
        Command::Plan(args) => Box::pin(plan::plan(context, args)).await,
        Command::Viewers(args) => viewers::viewers(context, args).await,
        Command::Cleanup(args) => cleanup::cleanup(context, args).await,
        Command::Version(args) => version::version(context, args).await,
        Command::Completion(args) => completion::completion(context.ui, args, &mut Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_of_before_is_still_understood() {
        let typed = |flag| {
            let words = [
                "kubectl-etcd",
                "snapshot",
                "schedule",
                "set",
                "--cron=0 3 * * *",
                flag,
                "all",
            ];
            Cli::try_parse_from(words).map(|cli| format!("{:?}", cli.command))
        };
        assert_eq!(typed("--masters").unwrap(), typed("--on").unwrap());
    }

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
    fn the_flags_that_reach_the_hosts_are_known_whatever_the_command() {
        let given = |words: &[&str]| {
            let typed = Cli::command().try_get_matches_from(words).unwrap();
            let cli = Cli::from_arg_matches(&typed).unwrap();
            let Given { connection, ssh } = super::given(&typed, &cli);
            let words = |command| crate::advice::typed(&command).to_string();
            (words(connection), words(ssh))
        };
        let (connection, ssh) =
            given(&["x", "doctor", "--ssh", "--ssh-config", "/c", "--context=p"]);
        assert_eq!(
            (connection.as_str(), ssh.as_str()),
            ("--context p", "--ssh --ssh-config /c")
        );
        let (_, ssh) = given(&["x", "plan", "show", "--ssh"]);
        assert_eq!(ssh, "--ssh");
        assert_eq!(given(&["x", "usage"]), (String::new(), String::new()));
    }
}
