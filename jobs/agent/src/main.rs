//! The program in the job image: a thin shell around [`etcd_operations`].
//!
//! Standard output belongs to whoever started it: JSON lines of [`Line`](etcd_operations::wire::Line) for `run`, `host`,
//! `scheduled` and `receive`, the transfer's frames for `read`, one JSON object for `version`. Nothing else is ever
//! written there.

mod host;
mod read;
mod run;
mod scheduled;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// kubectl-etcd's program on a control-plane node.
#[derive(Debug, Parser)]
#[command(name = "etcd-job", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Does what an assignment says and prints progress and report as JSON lines.
    Run {
        /// The assignment, as JSON.
        assignment: String,
    },
    /// Does what a schedule says on this node, and prints progress and report as JSON lines.
    Scheduled {
        /// The routine, as JSON.
        routine: String,
    },
    /// Sends a file of the node to standard output in checked frames, and waits for the acknowledgement on standard input.
    Read {
        /// The file; while it is not complete, it is looked for as PATH.part and followed.
        #[arg(long)]
        path: PathBuf,
        /// The byte to begin at.
        #[arg(long, default_value_t = 0)]
        offset: u64,
        /// How many seconds to wait for the file to appear.
        #[arg(long, default_value_t = 30)]
        wait_seconds: u64,
    },
    /// Does what the request on standard input says, and prints progress and answer as JSON lines.
    Host,
    /// Does what was asked of `host` and must not stop with it. Started by that alone.
    #[command(hide = true)]
    HostWork {
        /// The folder of its record.
        #[arg(long)]
        folder: PathBuf,
        /// Which attempt.
        #[arg(long)]
        attempt: u32,
    },
    /// Takes in a file that comes on standard input in checked frames.
    Receive {
        /// Where it is put.
        #[arg(long)]
        path: PathBuf,
        /// How many bytes it will have.
        #[arg(long)]
        size_bytes: u64,
    },
    /// Prints versions as JSON.
    Version,
}

fn main() -> ExitCode {
    // Two providers in one build would be a panic at the first connection; this one is meant. It is the first of its
    // kind in this process, so it cannot be there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Arguments::parse().command {
        Command::Run { assignment } => run::run(&assignment),
        Command::Scheduled { routine } => scheduled::scheduled(&routine),
        Command::Read {
            path,
            offset,
            wait_seconds,
        } => read::read(path, offset, wait_seconds),
        Command::Host => run::host(),
        Command::HostWork { folder, attempt } => host::host_work(folder, attempt),
        Command::Receive { path, size_bytes } => host::receive(&path, size_bytes),
        Command::Version => version::version(),
    }
}
