//! `kubectl etcd version`

use clap::Args;

use super::{Context, survey};
use crate::args::{FleetArgs, OutputArgs};
use crate::ui::Ui;
use crate::views::version::{NodeVersion, Version};
use kubectl_etcd_core::carried::carried;
use kubectl_etcd_core::error::{Error, Verdict};

const EXAMPLES: &str = "\
Examples:
  # The plugin, the job's program it carries, and etcd on every node
  kubectl etcd version

  # Without asking a cluster
  kubectl etcd version --client";

/// Show the versions of the plugin, of the job's program, of the report format, and of etcd
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VersionArgs {
    /// Ask no cluster
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

impl VersionArgs {
    /// Whether no cluster is asked: then it is done without any preparation for one.
    pub fn client_only(&self) -> bool {
        self.client
    }
}

/// Shows what needs no cluster.
///
/// # Errors
/// When it cannot be written.
pub fn client(ui: &Ui, args: &VersionArgs) -> Result<Verdict, Error> {
    ui.show(&Version::new(&carried()), args.output.output)?;
    Ok(Verdict::Healthy)
}

/// Shows it with the cluster's etcd.
///
/// # Errors
/// When no cluster can be found at all.
pub async fn version(context: &Context<'_>, args: VersionArgs) -> Result<Verdict, Error> {
    if args.client {
        return client(context.ui, &args);
    }
    let session = context.open(&args.fleet).await?;
    let (_, status) = survey(&session, &args.fleet).await;
    let mut view = Version::new(&carried());
    let rows = status.rows.iter().filter(|row| row.node.is_some());
    view.etcd = rows
        .map(|row| NodeVersion {
            node: row.node.clone().unwrap_or_default(),
            version: row.version.clone(),
            storage_version: row.storage_version.clone(),
        })
        .collect();
    context.ui.show(&view, args.output.output)?;
    Ok(Verdict::Healthy)
}
