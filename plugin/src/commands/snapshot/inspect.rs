//! `kubectl etcd snapshot inspect`

use std::path::PathBuf;

use clap::Args;
use etcd_datadir::inspect::inspect as inspect_file;
use etcd_datadir::source::FileSource;

use crate::cli::OutputArgs;
use crate::error::{Error, Verdict};
use crate::files;
use crate::ui::Ui;
use crate::views::inspection::Inspection;

const EXAMPLES: &str = "\
Examples:
  # What is in this snapshot?
  kubectl etcd snapshot inspect etcd.db

  # Which encryption keys does a restore of it need?
  kubectl etcd snapshot inspect etcd.db -o json | jq .kubernetes.encryption

Secrets are counted, never read out. Whether the file is undamaged is told by `kubectl etcd snapshot verify`.";

/// Show what is in a snapshot: members, revision, alarms, leases, and the objects of Kubernetes by resource
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// Snapshot, or copy of a database file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The apiserver's --etcd-prefix
    #[arg(long, value_name = "PREFIX", default_value = "/registry")]
    etcd_prefix: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Looks into one file.
///
/// # Errors
/// When it cannot be read or is damaged.
pub async fn inspect(ui: &Ui, args: InspectArgs) -> Result<Verdict, Error> {
    let name = args.file.display().to_string();
    let (file, prefix) = (args.file.clone(), args.etcd_prefix.clone());
    let found = files::work(ui, &name, "reading", move |on_progress| {
        inspect_file(&FileSource::open(&file)?, &prefix, on_progress)
    })
    .await?
    .map_err(files::error)?;
    ui.show(&Inspection::new(name, &found), args.output.output)?;
    Ok(Verdict::Healthy)
}
