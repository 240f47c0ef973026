//! kubectl-etcd: what kubectl starts as `kubectl etcd`, and, under the name `kubectl_complete-etcd`, asks for completions.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use kubectl_etcd::advice;
use kubectl_etcd::cli::{self, Cli, Command, LOG_VARIABLE, log_filter};
use kubectl_etcd::commands::completion::PROGRAM;
use kubectl_etcd::commands::{self, Context};
use kubectl_etcd::completion;
use kubectl_etcd::ui::{LogWriter, Ui};
use kubectl_etcd_core::created::Created;
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

/// How long removing what a run made in the cluster may take at its end.
const REMOVAL_LIMIT: Duration = Duration::from_secs(10);
/// The same when there was nobody to be reached: whoever waits then has more to do.
const REMOVAL_LIMIT_WHEN_LOST: Duration = Duration::from_secs(3);
/// How long work on files may take to notice that it is to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    // Before anything may look for it: kube and etcd-client share one provider of cryptography. That it is set already
    // cannot be, and would be no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut words = std::env::args_os();
    let own_name = words.next().unwrap_or_default();
    if Path::new(&own_name).file_name() == Some(PROGRAM.as_ref()) {
        completion::answer(words.collect::<Vec<OsString>>());
        return ExitCode::SUCCESS;
    }
    let ui = Ui::new();
    let typed = Cli::command().get_matches();
    let format = cli::format(&typed);
    let cli = Cli::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
    advice::carry(cli::given(&typed, &cli));
    let watching = matches!(&cli.command, Command::Status(args) if args.watches());
    let ended = match cli {
        // Asked by scripts and prompts: no runtime, no client.
        Cli {
            command: Command::Version(args),
            ..
        } if args.client_only() => commands::version::client(&ui, &args),
        cli => prepared(&ui, cli),
    };
    match ended {
        Ok(verdict) => ExitCode::from(verdict.exit_code().code()),
        Err(error) => {
            if !(watching && error.kind == ErrorKind::Interrupted) {
                ui.error(&error, format);
            }
            ExitCode::from(error.kind.exit_code().code())
        }
    }
}

fn prepared(ui: &Ui, cli: Cli) -> Result<Verdict, Error> {
    trace(cli.verbosity);
    let runtime = Runtime::new()
        .map_err(|cause| Error::failed("this program cannot start").caused_by(cause))?;
    let ended = runtime.block_on(to_the_end(ui, cli));
    // Work on files that was told to stop leaves nothing half done, if it gets the time.
    runtime.shutdown_timeout(STOP_LIMIT);
    ended
}

/// Does the work, unless a signal comes first; removes what was made in the cluster at every ending.
async fn to_the_end(ui: &Ui, cli: Cli) -> Result<Verdict, Error> {
    let Cli {
        connection,
        command,
        verbosity: _,
    } = cli;
    let connection = connection.options();
    let created = Created::default();
    let context = Context {
        ui,
        connection: &connection,
        created: &created,
    };
    let ended = tokio::select! {
        ended = cli::run(&context, command) => ended,
        signal = signalled() => Err(Error::new(ErrorKind::Interrupted, format!("interrupted by {signal}"))),
    };
    if !created.is_idle() {
        ui.end_progress();
        let lost = matches!(&ended, Err(error) if error.kind == ErrorKind::NothingReached);
        let limit = if lost {
            REMOVAL_LIMIT_WHEN_LOST
        } else {
            REMOVAL_LIMIT
        };
        tokio::select! {
            () = created.remove_all(limit) => {}
            // A second Ctrl-C: now.
            _ = signalled() => {}
        }
        if !created.leaves_nothing() {
            ui.warn("not everything this run made in the cluster could be removed; later: kubectl etcd cleanup");
        }
    }
    ended
}

/// Waits for a signal that asks to end; says which.
async fn signalled() -> &'static str {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{Signal, SignalKind, signal};
        async fn next(signal: std::io::Result<Signal>) {
            match signal {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                // Without a handler the signal does what it does by itself.
                Err(_) => std::future::pending().await,
            }
        }
        tokio::select! {
            () = next(signal(SignalKind::interrupt())) => "Ctrl-C",
            () = next(signal(SignalKind::terminate())) => "SIGTERM",
            () = next(signal(SignalKind::hangup())) => "SIGHUP",
        }
    }
    #[cfg(not(unix))]
    {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}

/// Writes log messages to standard error: those that `-v` or the environment asks for.
fn trace(verbosity: Option<u8>) {
    let chosen = std::env::var(LOG_VARIABLE).ok();
    let filter = EnvFilter::try_new(log_filter(verbosity, chosen.as_deref()))
        .unwrap_or_else(|_| EnvFilter::new(log_filter(None, None)));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LogWriter)
        .init();
}
