//! `kubectl etcd snapshot inspect`

use std::path::PathBuf;

use clap::Args;
use etcd_datadir::inspect::inspect as inspect_file;

use crate::args::{OfflineArgs, OutputArgs};
use crate::input::{self, Input};
use crate::ui::Ui;
use crate::views::inspection::Inspection;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # What is in this snapshot?
  kubectl etcd snapshot inspect etcd.db

  # Which encryption keys does a restore of it need?
  kubectl etcd snapshot inspect etcd.db -o json | jq .kubernetes.encryption

  # One on another host, without a copy of it here
  ssh backup cat /backup/etcd.tar.zst | kubectl etcd snapshot inspect -

Secrets are counted, never read out. Whether the file is undamaged is told by `kubectl etcd \
snapshot verify`.";

/// Show what is in a snapshot: members, revision, alarms, leases, and the objects of Kubernetes by resource
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// Snapshot: a file, plain or compressed, alone in a tar or zip archive, a bundle, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The apiserver's --etcd-prefix
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    etcd_prefix: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    _offline: OfflineArgs,
}

/// Looks into one file.
///
/// # Errors
/// When it cannot be read or is damaged.
pub async fn inspect(ui: &Ui, args: InspectArgs) -> Result<Verdict, Error> {
    let input = Input::parse(&args.file)?;
    let name = input.name();
    let prefix = args.etcd_prefix.clone();
    let found = input::work(ui, input, "reading", move |opened, on_progress| {
        inspect_file(&opened.source, &prefix, on_progress)
    })
    .await?
    .map_err(Error::from)?;
    ui.show(&Inspection::new(name, &found), args.output.output)?;
    Ok(Verdict::Healthy)
}
