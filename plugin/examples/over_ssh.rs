//! Asks the control-plane nodes something over ssh, as the commands do; prints a JSON line a node. Used by the tests on
//! real clusters.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for tests"
)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use etcd_operations::wire::Ask;
use kubectl_etcd::args::ConnectionArgs;
use kubectl_etcd::args::ssh::SshArgs;
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::inventory::find;
use kubectl_etcd_core::outcome::{Notice, NoticeSink};
use kubectl_etcd_core::ssh::{Candidate, SshError, SshHost};
use serde_json::{Value, json};

/// Asks the control-plane nodes something over ssh.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    ssh: SshArgs,
    /// Put this file there, at PATH
    #[arg(long, value_name = "FILE", requires = "path")]
    put: Option<PathBuf>,
    /// Take PATH from there, to this file
    #[arg(long, value_name = "FILE", requires = "path")]
    get: Option<PathBuf>,
    /// Where there
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// The request, as JSON
    #[arg(long, value_name = "JSON")]
    ask: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let targets = arguments.ssh.targets();
    let found = match find(&targets, &arguments.connection.clone().options()).await {
        Ok(found) => found,
        Err(error) => {
            eprintln!("{}", error.chain());
            return ExitCode::FAILURE;
        }
    };
    eprintln!("{}", kubectl_etcd::advice::worded(&found.told));
    let hosts = found.candidates.iter().map(async |candidate| {
        let line = match Box::pin(done(&arguments, candidate)).await {
            Ok(told) => json!({"host": candidate.name(), "told": told}),
            Err(error) => {
                let kind = format!("{:?}", error.kind);
                let error = Error::from(error);
                json!({
                    "host": candidate.name(), "kind": kind, "error": error.message,
                    "hint": error.hints.first().map(kubectl_etcd::advice::worded), "exitCode": error.kind.exit_code().code(),
                })
            }
        };
        println!("{line}");
    });
    futures::future::join_all(hosts).await;
    ExitCode::SUCCESS
}

async fn done(arguments: &Arguments, candidate: &Candidate) -> Result<Value, SshError> {
    let notices: NoticeSink = Arc::new(|notice| {
        if let Notice::Told(text) = notice {
            eprintln!("{}", kubectl_etcd::advice::worded(&text));
        }
    });
    let host = SshHost::connect(candidate, &arguments.ssh.targets().options, notices).await?;
    let mut told = Value::Null;
    let path = arguments.path.clone().unwrap_or_default();
    if let Some(file) = &arguments.put {
        let mut gone = |bytes| eprintln!("{bytes} bytes have gone");
        told = json!(host.put(file, &path, &mut gone).await?);
    }
    if let Some(file) = &arguments.get {
        let mut file = std::fs::File::create(file).map_err(|error| trouble(candidate, &error))?;
        let mut sink = |bytes: &[u8]| file.write_all(bytes);
        told = json!(host.get(&path, &mut sink).await?);
    }
    if let Some(text) = &arguments.ask {
        let ask: Ask =
            serde_json::from_str(text).map_err(|error| trouble(candidate, &error.into()))?;
        let mut progress = |event| eprintln!("progress {}", json!(event));
        told = json!(host.ask(&ask, &mut progress).await?);
    }
    Ok(told)
}

fn trouble(candidate: &Candidate, error: &std::io::Error) -> SshError {
    SshError::new(
        kubectl_etcd_core::ssh::SshErrorKind::Program,
        format!("{}: {error}", candidate.name()),
    )
}
