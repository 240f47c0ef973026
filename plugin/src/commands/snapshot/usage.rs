//! `kubectl etcd snapshot usage`

use std::path::PathBuf;

use clap::Args;
use etcd_datadir::usage::{UsageOptions, usage as usage_of_file};

use crate::args::{OfflineArgs, OutputArgs};
use crate::commands::usage::ShownArgs;
use crate::input::{self, Input};
use crate::ui::Ui;
use crate::views::usage::Usage;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # What fills this snapshot, by resource?
  kubectl etcd snapshot usage etcd.db

  # The 20 objects that take most
  kubectl etcd snapshot usage etcd.db --by object --top 20

`kubectl etcd usage` says the same of a live cluster.";

/// Show what fills a snapshot: by resource, namespace or object; what is live and what is history
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UsageArgs {
    /// Snapshot: a file, plain or compressed, alone in a tar or zip archive, a bundle, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The apiserver's --etcd-prefix
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    etcd_prefix: String,
    #[command(flatten)]
    shown: ShownArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    _offline: OfflineArgs,
}

/// Adds up one file.
///
/// # Errors
/// When it cannot be read or is damaged.
pub async fn usage(ui: &Ui, args: UsageArgs) -> Result<Verdict, Error> {
    let input = Input::parse(&args.file)?;
    let name = input.name();
    let options = UsageOptions {
        prefix: args.etcd_prefix.clone(),
        top: args.shown.top,
    };
    let found = input::work(ui, input, "reading", move |opened, on_progress| {
        usage_of_file(&opened.source, &options, on_progress)
    })
    .await?
    .map_err(Error::from)?;
    ui.show(
        &Usage::of_file(name, &found, args.shown.by, args.shown.top),
        args.output.output,
    )?;
    Ok(Verdict::Healthy)
}
