//! `kubectl etcd datadir`

mod place;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use etcd_datadir::datadir::{DataDir, InspectOptions, inspect as inspect_dir, rank};

use crate::args::{OfflineArgs, OutputArgs};
use crate::files;
use crate::ui::Ui;
use crate::views::datadirs::{DataDirs, Fitness};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};

const EXAMPLES: &str = "\
Examples:
  # Would etcd start from this directory, and what would be lost?
  kubectl etcd datadir inspect /var/lib/etcd

  # Copies of several members' directories: which one to recover from?
  kubectl etcd datadir inspect --compare ./cp-1 ./cp-2 ./cp-3

Exit codes: 0 it starts as it is, 3 it starts with a loss, or an etcd runs on it, 4 it can only be \
restored from, or not even that. With --compare: 0 there is one to recover from, 4 there is none, 1 \
one cannot be read (the others are ranked).";

/// Look into etcd's data directories while no etcd runs on them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DatadirArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    _offline: OfflineArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    Inspect(InspectArgs),
}

/// Show whose directory it is, how far it goes, and whether etcd would start from it
///
/// Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct InspectArgs {
    /// Data directories, those with `member` in them
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Where the WAL is, if not in the data directory
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    wal_dir: Option<PathBuf>,
    /// Rank the directories: best to recover from first
    #[arg(long)]
    compare: bool,
    /// Leave out the walk through the database: fast, but damage in it is not seen
    #[arg(long)]
    skip_database_check: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Looks at directories.
///
/// # Errors
/// When one cannot be read; with `--compare`, after the others were ranked.
pub async fn datadir(ui: &Ui, args: DatadirArgs) -> Result<Verdict, Error> {
    let Action::Inspect(args) = args.action;
    if args.wal_dir.is_some() && args.dirs.len() > 1 {
        return Err(Error::usage("--wal-dir goes with one directory"));
    }
    if args.compare {
        return compare(ui, &args).await;
    }
    let mut found = Vec::new();
    for dir in &args.dirs {
        found.push(one(ui, dir, &args).await?);
    }
    let view = DataDirs::inspected(&found);
    ui.show(&view, args.output.output)?;
    Ok(verdict(&view))
}

/// Ranks what can be read, whatever becomes of one.
async fn compare(ui: &Ui, args: &InspectArgs) -> Result<Verdict, Error> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for dir in &args.dirs {
        match one(ui, dir, args).await {
            Ok(dir) => found.push(dir),
            Err(error) if error.kind == ErrorKind::Interrupted => return Err(error),
            Err(error) => unreadable.push((dir.display().to_string(), error.chain())),
        }
    }
    let mut view = DataDirs::compared(&found, &rank(&found));
    let all_read = unreadable.is_empty();
    for (path, why) in unreadable {
        view = view.and_unreadable(path, &why);
    }
    ui.show(&view, args.output.output)?;
    if all_read {
        Ok(verdict(&view))
    } else {
        Err(Error::failed("not every directory could be read"))
    }
}

async fn one(ui: &Ui, dir: &Path, args: &InspectArgs) -> Result<DataDir, Error> {
    let options = InspectOptions {
        wal_dir: args.wal_dir.clone(),
        skip_database_check: args.skip_database_check,
    };
    let (typed, dir) = (dir, place::data_dir(dir)?);
    let name = dir.display().to_string();
    if dir != typed {
        ui.say(&format!(
            "{} is in the data directory {name}: that is looked at",
            typed.display()
        ));
    }
    files::work(ui, &name, "reading", move |on_progress| {
        inspect_dir(&dir, &options, on_progress)
    })
    .await?
    .map_err(Error::from)
}

fn verdict(view: &DataDirs) -> Verdict {
    if let Some(comparison) = &view.comparison {
        return if comparison.best.is_some() {
            Verdict::Healthy
        } else {
            Verdict::QuorumLostOrDamaged
        };
    }
    let worst = |fitness: Fitness| match fitness {
        Fitness::Starts => Verdict::Healthy,
        Fitness::Running | Fitness::StartsWithLoss | Fitness::Empty => Verdict::Degraded,
        Fitness::RestoreFrom | Fitness::BeyondUse | Fitness::Unreadable => {
            Verdict::QuorumLostOrDamaged
        }
    };
    view.directories
        .iter()
        .map(|dir| worst(dir.verdict))
        .max()
        .unwrap_or(Verdict::Healthy)
}
