//! `kubectl etcd snapshot verify`

use std::path::{Path, PathBuf};

use clap::Args;
use etcd_datadir::source::FileSource;
use etcd_datadir::verify::{VerifyOptions, verify as verify_file};

use crate::cli::NamedOutputArgs;
use crate::error::{Error, ErrorKind, Verdict};
use crate::files;
use crate::ui::Ui;
use crate::views::verification::{FileVerdict, Verification, VerifiedFile};

const EXAMPLES: &str = "\
Examples:
  # May these be relied on?
  kubectl etcd snapshot verify /backup/*.db

  # Keep the newest good one
  kubectl etcd snapshot verify -o name /backup/*.db | tail -1

Exit codes: 0 all may be relied on, 3 nothing wrong is seen but not all can be checked, 4 one is damaged,
1 one cannot be read.";

/// Check whether files are whole, undamaged snapshots: sha256, every page, every record
///
/// Says what `etcdutl snapshot status` says, which does not compare the sha256, and what it does not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Snapshots to check
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: NamedOutputArgs,
}

/// Checks each file; shows all, whatever becomes of one.
///
/// # Errors
/// When it is interrupted.
pub async fn verify(ui: &Ui, args: VerifyArgs) -> Result<Verdict, Error> {
    let mut view = Verification::new();
    for path in &args.files {
        view.files.push(one(ui, path).await?);
    }
    ui.show(&view, args.output.output)?;
    let any = |verdict| view.files.iter().any(|file| file.verdict == verdict);
    if any(FileVerdict::Unreadable) {
        return Err(Error::failed("not every file could be read"));
    }
    Ok(if any(FileVerdict::Damaged) {
        Verdict::QuorumLostOrDamaged
    } else if any(FileVerdict::NotFullyChecked) {
        Verdict::Degraded
    } else {
        Verdict::Healthy
    })
}

async fn one(ui: &Ui, path: &Path) -> Result<VerifiedFile, Error> {
    let name = path.display().to_string();
    let path = path.to_owned();
    let verified = files::work(ui, &name, "verifying", move |on_progress| {
        let source = FileSource::open(&path)?;
        verify_file(&source, &VerifyOptions::default(), None, on_progress)
    })
    .await?;
    match verified {
        Ok(found) => Ok(VerifiedFile::checked(name, &found)),
        Err(cause) => {
            let error = files::error(cause);
            if error.kind == ErrorKind::Interrupted {
                Err(error)
            } else {
                Ok(VerifiedFile::unreadable(name, error.chain()))
            }
        }
    }
}
