//! `kubectl etcd snapshot verify`

use std::path::{Path, PathBuf};

use clap::Args;
use etcd_datadir::verify::{VerifyOptions, verify as verify_file};
use etcd_operations::operation::Operation;
use etcd_operations::report::Report;

use super::kept::{FolderArgs, KeptRef, node, open};
use crate::cli::{NamedOutputArgs, WayArgs};
use crate::commands::Context;
use crate::error::{Error, ErrorKind, Verdict};
use crate::files;
use crate::input::{self, Input, is_stdin};
use crate::session::{Session, unexpected};
use crate::ui::Ui;
use crate::views::verification::{FileVerdict, Verification, VerifiedFile};

const EXAMPLES: &str = "\
Examples:
  # May these be relied on?
  kubectl etcd snapshot verify /backup/*.db

  # A bundle: each file in it is as described, and the database is whole
  kubectl etcd snapshot verify etcd.tar.zst

  # One on another host, without a copy of it here
  ssh backup cat /backup/etcd.tar.zst | kubectl etcd snapshot verify -

  # One that is kept on a control-plane node, where it lies
  kubectl etcd snapshot verify cp-1/etcd-prod-2026-11-21T150000Z.db

  # Keep the newest good one
  kubectl etcd snapshot verify -o name /backup/*.db | tail -1

Exit codes: 0 all may be relied on, 3 nothing wrong is seen but not all can be checked, or no object
of Kubernetes is in one, 4 one is damaged, 1 one cannot be read.";

/// Check whether files are whole, undamaged snapshots: sha256, every page, every record
///
/// Says what `etcdutl snapshot status` says, which does not compare the sha256, and what it does not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Snapshots to check: plain files, files compressed by zstd, bundles, - for standard input, or NODE/NAME for one that
    /// is kept on a node (when there is no such file)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    kept: FolderArgs,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    way: WayArgs,
}

/// Checks each file; shows all, whatever becomes of one.
///
/// # Errors
/// When it is interrupted.
pub async fn verify(context: &Context<'_>, args: VerifyArgs) -> Result<Verdict, Error> {
    let folder = args.kept.folder()?;
    let inputs = inputs(&args.files)?;
    let kept: Vec<KeptRef> = args
        .files
        .iter()
        .filter_map(|path| kept_ref(path))
        .collect();
    let session = if kept.is_empty() {
        None
    } else {
        Some(open(context, &args.way, &kept).await?)
    };
    let mut view = Verification::new();
    for (path, input) in args.files.iter().zip(inputs) {
        let verified = match (kept_ref(path), &session) {
            (Some(one), Some(session)) => on_node(session, &folder, &one).await?,
            _ => one(context.ui, input).await?,
        };
        view.files.push(verified);
    }
    context.ui.show(&view, args.output.output)?;
    let any = |verdict| view.files.iter().any(|file| file.verdict == verdict);
    if any(FileVerdict::Unreadable) {
        return Err(Error::failed("not every file could be read"));
    }
    Ok(if any(FileVerdict::Damaged) {
        Verdict::QuorumLostOrDamaged
    } else if any(FileVerdict::NotFullyChecked) || any(FileVerdict::Empty) {
        Verdict::Degraded
    } else {
        Verdict::Healthy
    })
}

/// What to read. Standard input can be read only once.
fn inputs(typed: &[PathBuf]) -> Result<Vec<Input>, Error> {
    if typed.iter().filter(|path| is_stdin(path)).count() > 1 {
        return Err(Error::usage(
            "`-` is given twice, and standard input can be read only once",
        ));
    }
    typed.iter().map(|path| Input::parse(path)).collect()
}

/// What a path means that is no file's here: a snapshot on a node.
fn kept_ref(path: &Path) -> Option<KeptRef> {
    if is_stdin(path) || path.symlink_metadata().is_ok() {
        return None;
    }
    path.to_str()?.parse().ok()
}

/// Checks one where it is kept, and notes there what was found.
async fn on_node(
    session: &Session,
    folder: &Path,
    snapshot: &KeptRef,
) -> Result<VerifiedFile, Error> {
    let name = snapshot.to_string();
    let operation = Operation::SnapshotVerify {
        folder: folder.to_owned(),
        name: snapshot.name.clone(),
    };
    match session
        .ask(node(session, &snapshot.node)?, &operation)
        .await
    {
        Ok(Report::SnapshotVerify(kept)) => Ok(VerifiedFile::kept(name, &kept)),
        Ok(_) => Err(unexpected(&snapshot.node, &operation)),
        Err(error) if error.kind == ErrorKind::Interrupted => Err(error),
        Err(error) => Ok(VerifiedFile::unreadable(name, error.chain())),
    }
}

async fn one(ui: &Ui, input: Input) -> Result<VerifiedFile, Error> {
    let name = input.name();
    let shown = name.clone();
    let verified = input::work(ui, input, "verifying", move |opened, on_progress| {
        let options = VerifyOptions::default();
        let found = verify_file(&opened.source, &options, None, on_progress)?;
        Ok(VerifiedFile::opened(shown, opened, &found))
    })
    .await;
    let error = match verified {
        Ok(Ok(verified)) => return Ok(verified),
        Ok(Err(cause)) => files::error(cause),
        Err(error) => error,
    };
    match error.kind {
        ErrorKind::Interrupted => Err(error),
        ErrorKind::QuorumLostOrDamaged => Ok(VerifiedFile::damaged(name, error.chain())),
        _ => {
            // The table has one line for it.
            let hints = error.hints.iter().map(|hint| format!("; {hint}"));
            let why = error.chain() + &hints.collect::<String>();
            Ok(VerifiedFile::unreadable(name, why))
        }
    }
}
