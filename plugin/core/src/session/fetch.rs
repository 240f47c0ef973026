//! Bringing a snapshot to this host: taken on the node, fetched while it is being saved, kept only when it is whole.

mod bundle;
mod check;
mod fetched;
mod receive;
mod saved;
mod second;
mod sink;
mod verdict;

use etcd_operations::advice;
use etcd_operations::advice::{Choice, Task};
use std::io::Write;
use std::path::{Path, PathBuf};

use etcd_operations::operation::{SnapshotSave, SnapshotSend};
use etcd_operations::pack::{Packing, Wanted};
use etcd_operations::report::{SavedSnapshot, SnapshotReport};
use etcd_operations::shell::CommandLine;
use etcd_operations::snapshot_name::SnapshotName;
use etcd_operations::stored::description::Description;

use super::{Node, Session};
use crate::error::Error;
use crate::limits;
use crate::outcome::run_error;
use crate::runners::mounts::HOST;
use crate::runners::podspec::SCRATCH;
use crate::via::Via;
use fetched::Bring;
pub use saved::{Checked, Saved};
use second::judge;
pub use second::{Compared, MemberOn};
use sink::Sink;
use verdict::{as_found, is_as_told, is_of, not_a_snapshot};

/// The file's name on the node.
const NAME: &str = "snapshot.db";
/// What is put behind the name of a snapshot that has other data than another member.
const MISMATCH: &str = ".mismatch";

/// Where a snapshot is to lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file here, which must not be there yet. Beside it, `FILE.json` says what it is.
    File(PathBuf),
    /// Standard output. The name is what the file would be called.
    Stdout {
        /// The name.
        name: String,
    },
    /// A file on the node, with its description beside it.
    Node {
        /// The folder.
        folder: PathBuf,
        /// The name, which gets a number where it is taken.
        name: String,
    },
}

impl Session {
    /// Saves a snapshot of a member. A bundle that is brought here has the files of all nodes of this session in it; one that
    /// stays on the node has that node's. What is brought here is checked here, and held against what the first of these
    /// other members has that can be asked.
    ///
    /// # Errors
    /// Whatever keeps it from being whole. Nothing that looks like a snapshot is left then; one that has other data than
    /// another member is kept under a name that says so.
    pub async fn save_snapshot(
        &self,
        source: &MemberOn<'_>,
        to: &Destination,
        wanted: Wanted,
        others: &[MemberOn<'_>],
    ) -> Result<Saved, Error> {
        let node = source.node;
        let (sink, name, path) = match to {
            Destination::Node { folder, name } => {
                let saved = self.save_on_node(node, folder, name, wanted, true);
                return Ok(saved.await?.into());
            }
            _ if self.cluster.is_none() => {
                return Ok(self.save_on_this_host(node, to, wanted).await?.into());
            }
            Destination::File(path) => (Sink::file(path)?, parts(path)?.1, path.clone()),
            Destination::Stdout { name } => (Sink::stdout(), name.as_str(), PathBuf::from("-")),
        };
        let cluster = self.cluster()?;
        let save = SnapshotSave {
            folder: scratch(),
            name: NAME.into(),
            packing: wanted.on_node(name, Path::new(HOST), false),
            numbered: false,
            hold_seconds: limits::HOLD.as_secs(),
        };
        let bring = Bring { cluster, node };
        let (saved, sink) = if let Packing::Bundle { parts, .. } = &save.packing {
            self.bring_bundle(&bring, &save, parts, sink.hashed())
                .await?
        } else {
            let mut sink = sink;
            (self.bring(&bring, &save, &mut sink).await?, sink)
        };
        is_of(&saved.snapshot, source).map_err(|error| run_error(&node.name, &error))?;
        self.finish(&bring, sink, saved, path, others).await
    }

    /// Checks what has come, holds it against another member, and gives it its name.
    async fn finish(
        &self,
        bring: &Bring<'_>,
        mut sink: Sink,
        mut saved: SavedSnapshot,
        path: PathBuf,
        others: &[MemberOn<'_>],
    ) -> Result<Saved, Error> {
        let ask = async |other: &MemberOn<'_>| self.hash_of(other, &saved.snapshot).await;
        let asked = async {
            match others.first() {
                Some(first) => Some(ask(first).await),
                None => None,
            }
        };
        let (arrived, said) = futures::join!(sink.checked(), asked);
        let arrived = arrived.map_err(|error| {
            let error = sink.fault(error);
            sink.error(&bring.node.name, &error)
        })?;
        if let Err(error) = is_as_told(&saved.snapshot, &arrived) {
            sink.discard();
            return Err(run_error(&bring.node.name, &error));
        }
        let checked = Checked::of(&arrived);
        let snapshot = as_found(saved.snapshot.clone(), &arrived);
        let compared = match (arrived.pages, said) {
            (Ok(pages), Some(said)) => judge(pages, others, said, ask).await,
            (Err(_), Some(_)) => Ok(Compared::Not {
                why: "its pages could not be looked at here".to_owned(),
            }),
            (_, None) => Ok(Compared::NotAsked),
        };
        let compared = match compared {
            Ok(compared) => compared,
            Err(mismatch) => {
                // That it cannot be kept is the smaller trouble.
                let kept = sink.set_aside(MISMATCH);
                return Err(mismatch.into_error(&bring.node.name, &kept));
            }
        };
        saved.snapshot = snapshot;
        let description = Description::new(&saved.snapshot, &path);
        let description = description.with_contents(saved.contents.clone());
        sink.complete(&description).await?;
        Ok(Saved {
            saved: at(saved, path),
            checked,
            compared,
        })
    }

    /// Brings a snapshot that is kept on this node to a file here, which must not be there yet. What a run that was ended
    /// has left of it is resumed.
    ///
    /// # Errors
    /// Whatever keeps it from being whole. Nothing that looks like a snapshot is left then.
    pub async fn get_snapshot(
        &self,
        node: &Node,
        folder: &Path,
        name: &SnapshotName,
        path: &Path,
    ) -> Result<Saved, Error> {
        let there = name.path_in(folder).display().to_string();
        let Some(cluster) = &self.cluster else {
            return Err(
                Error::refused(format!("{there} is on this host: no need to fetch it")).hint(
                    CommandLine::new("cp -p")
                        .operand(&there)
                        .operand(format_args!("{there}.json"))
                        .operand(path.display()),
                ),
            );
        };
        let send = SnapshotSend {
            folder: folder.to_owned(),
            name: name.clone(),
            hold_seconds: limits::HOLD.as_secs(),
        };
        let mut sink = Sink::resumable_file(path)?;
        let bring = Bring { cluster, node };
        let kept = self.bring(&bring, &send, &mut sink).await?;
        let unknown = || run_error(&node.name, &not_a_snapshot());
        let saved = SavedSnapshot {
            snapshot: kept.snapshot.ok_or_else(unknown)?,
            contents: None,
        };
        let path = path.to_owned();
        self.finish(&bring, sink, saved, path, &[]).await
    }

    /// The operation itself makes the file and what describes it.
    async fn save_on_node(
        &self,
        node: &Node,
        folder: &Path,
        name: &str,
        wanted: Wanted,
        numbered: bool,
    ) -> Result<SavedSnapshot, Error> {
        let root = self.cluster.as_ref().map_or("/", |_| HOST);
        let save = SnapshotSave {
            folder: folder.to_owned(),
            name: name.to_owned(),
            packing: wanted.on_node(name, Path::new(root), true),
            numbered,
            hold_seconds: 0,
        };
        self.ask(node, &save).await
    }

    /// This host is the node.
    async fn save_on_this_host(
        &self,
        node: &Node,
        to: &Destination,
        wanted: Wanted,
    ) -> Result<SavedSnapshot, Error> {
        if self.via() != Via::Local {
            return Err(
                Error::failed("snapshots cannot be fetched over ssh").hint(advice![
                    "on a control-plane node: ",
                    Task::SaveSnapshot.of("FILE").with(Choice::Via, "local")
                ]),
            );
        }
        match to {
            Destination::File(path) => {
                let (folder, name) = parts(path)?;
                self.save_on_node(node, folder, name, wanted, false).await
            }
            Destination::Stdout { name } => self.save_to_stdout_here(node, name, wanted).await,
            Destination::Node { folder, name } => {
                self.save_on_node(node, folder, name, wanted, false).await
            }
        }
    }

    /// On this host it is saved and checked as a file first: nothing that is not whole is ever written to standard output.
    async fn save_to_stdout_here(
        &self,
        node: &Node,
        name: &str,
        wanted: Wanted,
    ) -> Result<SavedSnapshot, Error> {
        let failed = |cause| Error::failed("standard output takes no more").caused_by(cause);
        let folder = crate::spool::spool_folder();
        let folder = tempfile::tempdir_in(&folder).map_err(|cause| {
            Error::failed(format!("{} cannot be written to", folder.display())).caused_by(cause)
        })?;
        let saved = self
            .save_on_node(node, folder.path(), name, wanted, false)
            .await?;
        let path = saved.snapshot.path.clone();
        let copy = move || {
            let (mut file, mut out) = (std::fs::File::open(path)?, std::io::stdout().lock());
            std::io::copy(&mut file, &mut out)?;
            out.flush()
        };
        let copied = tokio::task::spawn_blocking(copy).await;
        copied
            .map_err(|error| failed(error.into()))?
            .map_err(failed)?;
        Ok(at(saved, "-".into()))
    }
}

/// Where a file that is to be fetched lies in its pod.
fn scratch() -> PathBuf {
    PathBuf::from(SCRATCH).join("snapshot")
}

/// A path's folder and name.
fn parts(path: &Path) -> Result<(&Path, &str), Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    path.parent()
        .zip(name)
        .ok_or_else(|| Error::usage(format!("{} is no file name", path.display())))
}

fn at(saved: SavedSnapshot, path: PathBuf) -> SavedSnapshot {
    SavedSnapshot {
        snapshot: SnapshotReport {
            path,
            ..saved.snapshot
        },
        ..saved
    }
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;
