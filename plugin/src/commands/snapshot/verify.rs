//! `kubectl etcd snapshot verify`

use crate::advice::{hints, worded};
use std::path::{Path, PathBuf};

use clap::Args;
use etcd_datadir::verify::{Verification as Found, VerifyOptions, verify as verify_file};
use etcd_operations::failure::Failure;
use etcd_operations::operation::SnapshotVerify;
use etcd_operations::pack::unpack::{Opened, UnpackError};
use etcd_operations::stored::description::Description;

use super::stored::{FolderArgs, KeptRef, node, open};
use crate::args::{NamedOutputArgs, WayArgs};
use crate::commands::Context;
use crate::input::{self, Input, is_stdin};
use crate::ui::Ui;
use crate::views::verification::{Verification, VerifiedFile};
use kubectl_etcd_core::assess::files::{FileVerdict, verdict};
use kubectl_etcd_core::error::{Error, ErrorKind, Verdict};
use kubectl_etcd_core::session::Session;

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

What kubectl etcd stores beside snapshots (.json) is skipped and compared with them.
Exit codes: 0 all may be relied on, 3 nothing wrong is seen but not all can be checked, or no object \
of Kubernetes is in one, 4 one is damaged, 1 one cannot be read or none is a snapshot.";

/// Check whether files are whole, undamaged snapshots: sha256, every page, every record
///
/// Says what `etcdutl snapshot status` says, which does not compare the sha256, and what it does not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// Snapshots to check: files, plain or compressed, alone in tar or zip archives, bundles, - for standard input, or NODE/NAME for one that
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
    let mut missing = false;
    for (path, input) in args.files.iter().zip(inputs) {
        if let Some(skipped) = Skipped::of(path) {
            missing |= skipped.is_missing();
            context.ui.say(&skipped.say(path, &args.files));
            continue;
        }
        let verified = match (kept_ref(path), &session) {
            (Some(one), Some(session)) => on_node(session, &folder, &one).await?,
            _ => one(context.ui, input).await?,
        };
        view.files.push(verified);
    }
    if view.files.is_empty() {
        return Err(Error::failed("there is no snapshot among the files")
            .hint("name the snapshots themselves: those without .json and .part"));
    }
    context.ui.show(&view, args.output.output)?;
    let verdicts: Vec<FileVerdict> = view.files.iter().map(|file| file.verdict).collect();
    verdict(&verdicts, missing)
}

/// What this project stores beside snapshots: a glob names it too.
#[derive(Debug, PartialEq, Eq)]
enum Skipped {
    /// What the snapshot at this path is.
    Description(PathBuf),
    /// A snapshot that is not complete.
    Part,
}

impl Skipped {
    /// What of that is at this path.
    fn of(path: &Path) -> Option<Self> {
        if !path.is_file() {
            return None;
        }
        let name = path.file_name()?.to_str()?;
        if name.ends_with(".part") {
            return Some(Self::Part);
        }
        let snapshot = path.with_file_name(name.strip_suffix(".json")?);
        let described = Description::beside(&snapshot).ok()?;
        described.map(|_| Self::Description(snapshot))
    }

    fn is_missing(&self) -> bool {
        matches!(self, Self::Description(snapshot) if !snapshot.exists())
    }

    fn say(&self, path: &Path, files: &[PathBuf]) -> String {
        let path = path.display();
        match self {
            Self::Part => {
                format!("{path}: skipped, a snapshot that is being written or was never completed")
            }
            Self::Description(snapshot) => {
                let shown = snapshot.display();
                let what = if self.is_missing() {
                    "which does not exist"
                } else if files.contains(snapshot) {
                    "which is compared with it"
                } else {
                    "which is not among the files"
                };
                format!("{path}: skipped, it describes {shown}, {what}")
            }
        }
    }
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
    let verify = SnapshotVerify {
        folder: folder.to_owned(),
        name: snapshot.name.clone(),
    };
    match session.ask(node(session, &snapshot.node)?, &verify).await {
        Ok(kept) => Ok(VerifiedFile::kept(name, &kept)),
        Err(error) if error.kind == ErrorKind::Interrupted => Err(error),
        Err(error) => Ok(VerifiedFile::unreadable(name, error.chain())),
    }
}

async fn one(ui: &Ui, input: Input) -> Result<VerifiedFile, Error> {
    let name = input.name();
    let shown = name.clone();
    let path = match &input {
        Input::File(path) => Some(path.clone()),
        Input::Stdin => None,
    };
    let verified = input::try_work(ui, input, "verifying", move |opened, on_progress| {
        let options = VerifyOptions::default();
        let found = verify_file(&opened.source, &options, None, on_progress)?;
        let checked = VerifiedFile::opened(shown, opened, &found);
        Ok::<_, etcd_datadir::Error>(match described(path.as_deref(), opened, &found) {
            Some(false) if checked.verdict != FileVerdict::Damaged => checked.not_as_described(),
            _ => checked,
        })
    })
    .await?;
    let error = match verified {
        Ok(Ok(verified)) => return Ok(verified),
        Ok(Err(cause)) => Error::from(cause),
        Err(UnpackError::NotASnapshot { what, hint, .. }) => {
            let hint = hint
                .map(|hint| format!("; {}", worded(&hint)))
                .unwrap_or_default();
            return Ok(VerifiedFile::not_a_snapshot(name, &(what + &hint)));
        }
        Err(error) => Failure::from(error).into(),
    };
    match error.kind {
        ErrorKind::Interrupted => Err(error),
        ErrorKind::QuorumLostOrDamaged => Ok(VerifiedFile::damaged(name, error.chain())),
        _ => {
            // The table has one line for it.
            let hints = hints(&error).into_iter().map(|hint| format!("; {hint}"));
            let why = error.chain() + &hints.collect::<String>();
            Ok(VerifiedFile::unreadable(name, why))
        }
    }
}

/// Whether a file is the one that is described beside it; none: nothing is.
fn described(path: Option<&Path>, opened: &Opened, found: &Found) -> Option<bool> {
    let described = Description::beside(path?).ok()??.snapshot;
    let same_content = found
        .status
        .as_ref()
        .is_some_and(|status| described.is_of(status));
    Some(same_content && opened.is_described_by(&described))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_beside_snapshots_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let part = at("a.db.part", "");
        assert_eq!(Skipped::of(&part), Some(Skipped::Part));
        // Others write JSON too.
        let other = at("b.db.json", "{\"kind\": \"Pod\", \"apiVersion\": \"v1\"}");
        assert_eq!(Skipped::of(&other), None);
        assert_eq!(Skipped::of(&at("c.db", "")), None);
        assert_eq!(Skipped::of(&folder.path().join("d.db.part")), None);
    }
}
