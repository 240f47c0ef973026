//! `kubectl etcd snapshot save`

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use etcd_operations::kept::{FOLDER, description::Description, name};
use jiff::Timestamp;

use crate::assess::LAG_ENTRIES;
use crate::assess::model::{Role, Row, Status};
use crate::assess::order::snapshot_sources;
use crate::cli::{FleetArgs, NamedOutputArgs};
use crate::commands::snapshot::kept::full_path;
use crate::commands::{Context, answered_survey, node_named};
use crate::discovery::Node;
use crate::error::{Error, ErrorKind, Verdict};
use crate::session::Session;
use crate::views::snapshot::Snapshot;

const EXAMPLES: &str = "\
Examples:
  # Into the current folder, as etcd-CONTEXT-TIME.db
  kubectl etcd snapshot save

  # Into a file, from a certain node's member
  kubectl etcd snapshot save /backup/etcd.db --node cp-2

  # Kept on the node: nothing passes through the apiserver
  kubectl etcd snapshot save --on-node
  kubectl etcd snapshot save --on-node=/var/backups/etcd

A snapshot holds every Secret of the cluster: the file gets mode 0600. Beside it, FILE.json says what it is.
Exit codes: 0 saved and checked, 3 the same but without a quorum to confirm it,
5 the file is there already.";

/// Save a snapshot of the database, checked while it comes: sha256, size, every page
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SaveArgs {
    /// File or folder to save to
    #[arg(value_name = "FILE", conflicts_with = "on_node")]
    file: Option<PathBuf>,
    /// Keep it on the node, in this folder or in /var/lib/etcd-snapshots
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = FOLDER)]
    on_node: Option<PathBuf>,
    #[command(flatten)]
    output: NamedOutputArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// What was typed, decided.
enum Destination {
    Here(PathBuf),
    Node { folder: PathBuf, name: String },
}

/// Saves a snapshot from the best member.
///
/// # Errors
/// When the file is there already, no member can give one, or any check fails. Nothing that looks like a snapshot is
/// left behind then.
pub async fn save(context: &Context<'_>, args: SaveArgs) -> Result<Verdict, Error> {
    // Before anything is asked of the cluster.
    let destination = destination(&args, &default_name(context))?;
    let session = context.open(&args.fleet).await?;
    let status = answered_survey(&session, &args.fleet).await?;
    let (row, node) = source(&session, &status)?;
    if row.role == Role::NoLeader {
        context.ui.warn(&format!(
            "the quorum is lost: {} is saved as it is, and may lack what the others had confirmed",
            node.name
        ));
    }
    let begun = Instant::now();
    let (report, local) = match destination {
        Destination::Here(file) => (session.save_snapshot(node, &file).await?, Some(file)),
        Destination::Node { folder, name } => {
            (session.keep_snapshot(node, folder, name).await?, None)
        }
    };
    let view = Snapshot::new(&report, &node.name, local.as_deref(), begun.elapsed());
    context.ui.show(&view, args.output.output)?;
    Ok(if row.role == Role::NoLeader {
        Verdict::Degraded
    } else {
        Verdict::Healthy
    })
}

fn source<'a>(session: &'a Session, status: &'a Status) -> Result<(&'a Row, &'a Node), Error> {
    snapshot_sources(status, LAG_ENTRIES)
        .into_iter()
        .find_map(|row| Some((row, node_named(session, row.node.as_deref()?)?)))
        .ok_or_else(|| {
            let mut error = Error::new(
                ErrorKind::NothingReached,
                format!("no member can give a snapshot: {}", status.summary),
            );
            for row in &status.rows {
                if let (Some(node), Some(problem)) = (&row.node, &row.problem) {
                    error
                        .message
                        .push_str(&format!("; {node}: {}", problem.detail));
                }
            }
            error.hint("kubectl etcd status shows why")
        })
}

fn destination(args: &SaveArgs, default_name: &str) -> Result<Destination, Error> {
    if let Some(folder) = &args.on_node {
        return Ok(Destination::Node {
            folder: full_path(folder, "--on-node")?,
            name: default_name.to_owned(),
        });
    }
    free_file(args.file.as_deref(), default_name).map(Destination::Here)
}

/// The file that is meant by a file, a folder or nothing: a full path at which there is nothing yet.
///
/// # Errors
/// When something is there already, or the folder cannot be used.
pub(super) fn free_file(wanted: Option<&Path>, default_name: &str) -> Result<PathBuf, Error> {
    let wanted = wanted.unwrap_or(Path::new("."));
    let file = if wanted.is_dir() {
        wanted.join(default_name)
    } else {
        wanted.to_owned()
    };
    for taken in [&file, &Description::path_of(&file)] {
        if taken.symlink_metadata().is_ok() {
            return Err(Error::refused(format!(
                "{} is there already, and nothing is ever overwritten",
                taken.display()
            ))
            .hint("name another file, or move that one aside"));
        }
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|cause| {
        Error::failed(format!("the folder {} cannot be used", folder.display())).caused_by(cause)
    })?;
    let name = file
        .file_name()
        .ok_or_else(|| Error::usage(format!("{} is no file name", file.display())))?;
    Ok(folder.join(name))
}

/// `etcd-CONTEXT-TIME.db`.
fn default_name(context: &Context<'_>) -> String {
    let cluster = crate::names::of_cluster(context.connection).unwrap_or_default();
    format!(
        "{}.db",
        name::of_time(&name::prefix(&cluster), Timestamp::now())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(file: Option<&Path>) -> SaveArgs {
        SaveArgs {
            file: file.map(Path::to_owned),
            on_node: None,
            output: NamedOutputArgs {
                output: crate::views::Format::Table,
            },
            fleet: FleetArgs::default(),
        }
    }

    #[test]
    fn a_file_that_is_there_is_refused_and_a_folder_gets_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.db");
        assert!(matches!(
            destination(&args(Some(&file)), "n.db"),
            Ok(Destination::Here(_))
        ));
        let Ok(Destination::Here(inside)) = destination(&args(Some(folder.path())), "n.db") else {
            panic!("a file")
        };
        assert_eq!(inside.file_name().unwrap(), "n.db");
        std::fs::write(&file, b"precious").unwrap();
        let error = destination(&args(Some(&file)), "n.db").err().unwrap();
        assert_eq!(error.kind, ErrorKind::Refused);
        // What describes another snapshot is not overwritten either.
        std::fs::write(folder.path().join("y.db.json"), b"{}").unwrap();
        let error = destination(&args(Some(&folder.path().join("y.db"))), "n.db")
            .err()
            .unwrap();
        assert_eq!(error.kind, ErrorKind::Refused);
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let error = destination(&args(Some(&folder.path().join("no/x.db"))), "n.db")
            .err()
            .unwrap();
        assert!(
            error.chain().contains("cannot be used"),
            "{}",
            error.chain()
        );
    }
}
