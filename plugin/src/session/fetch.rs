//! Bringing a snapshot to this host: taken on the node, fetched while it is being saved, kept only when it is whole.

mod bundle;
mod receive;
mod sink;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_operations::kept::description::Description;
use etcd_operations::kept::name::SnapshotName;
use etcd_operations::operation::Operation;
use etcd_operations::pack::Wanted;
use etcd_operations::report::{Report, SavedSnapshot, SnapshotReport};
use etcd_operations::shell::CommandLine;
use etcd_operations::transfer::Whole;
use etcd_operations::wire::Progress;
use tokio::time::{Instant, timeout};

use super::round::Round;
use super::{Cluster, Ground, Node, Notice, Session};
use crate::cli::Via;
use crate::error::Error;
use crate::outcome::{RunError, RunErrorKind, run_error};
use crate::runners::podspec::{HOST, SCRATCH};
use crate::runners::{self, exec};
use receive::{Held, receive};
use sink::Sink;

/// The file's name on the node.
const NAME: &str = "snapshot.db";
/// How long the pod stays after its report, for a fetch that has to begin again.
const HOLD: Duration = Duration::from_secs(600);
/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

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
    /// Saves a snapshot of this node's member. A bundle that is brought here has the files of all nodes of this session in
    /// it; one that stays on the node has that node's.
    ///
    /// # Errors
    /// Whatever keeps it from being whole. Nothing that looks like a snapshot is left then.
    pub async fn save_snapshot(
        &self,
        node: &Node,
        to: &Destination,
        wanted: Wanted,
    ) -> Result<SavedSnapshot, Error> {
        let cluster = match (&self.ground, to) {
            (Ground::Cluster(cluster), Destination::File(_) | Destination::Stdout { .. }) => {
                cluster
            }
            (_, Destination::Node { folder, name }) => {
                return self.save_on_node(node, folder, name, wanted, true).await;
            }
            (Ground::Host, Destination::File(path)) => {
                let (folder, name) = parts(path)?;
                return self.save_on_node(node, folder, name, wanted, false).await;
            }
            (Ground::Host, Destination::Stdout { name }) => {
                return self.save_to_stdout_here(node, name, wanted).await;
            }
            (Ground::Hosts { .. }, Destination::File(_) | Destination::Stdout { .. }) => {
                return Err(Error::failed("no snapshot is brought here over ssh")
                    .hint("on a control-plane node: kubectl etcd snapshot save FILE --via local"));
            }
        };
        let (sink, name, path) = match to {
            Destination::File(path) => (Sink::file(path)?, parts(path)?.1, path.clone()),
            Destination::Stdout { name } | Destination::Node { name, .. } => {
                (Sink::stdout(), name.as_str(), PathBuf::from("-"))
            }
        };
        let operation = Operation::SnapshotSave {
            folder: scratch(),
            name: NAME.into(),
            packing: wanted.on_node(name, Path::new(HOST), false),
            numbered: false,
            hold_seconds: HOLD.as_secs(),
        };
        if let Wanted::Bundle { .. } = wanted {
            return self
                .bring_bundle(cluster, node, &operation, sink.hashed(), &path)
                .await;
        }
        let mut sink = sink;
        let Report::Snapshot(saved) = self.bring(cluster, node, &operation, &mut sink).await?
        else {
            return Err(super::unexpected(&node.name, &operation));
        };
        sink.complete(&Description::new(&saved.snapshot, &path))
            .await?;
        Ok(at(saved, path))
    }

    /// Brings a snapshot that is kept on this node to a file here, which must not be there yet. What a run that was ended
    /// has left of it is gone on with.
    ///
    /// # Errors
    /// Whatever keeps it from being whole. Nothing that looks like a snapshot is left then.
    pub async fn get_snapshot(
        &self,
        node: &Node,
        folder: &Path,
        name: &SnapshotName,
        path: &Path,
    ) -> Result<SnapshotReport, Error> {
        let there = name.path_in(folder).display().to_string();
        let Ground::Cluster(cluster) = &self.ground else {
            return Err(
                Error::refused(format!("{there} is on this host: no need to fetch it")).hint(
                    CommandLine::new("cp -p")
                        .operand(&there)
                        .operand(format_args!("{there}.json"))
                        .operand(path.display()),
                ),
            );
        };
        let operation = Operation::SnapshotSend {
            folder: folder.to_owned(),
            name: name.clone(),
            hold_seconds: HOLD.as_secs(),
        };
        let mut sink = Sink::resumable_file(path)?;
        let report = self.bring(cluster, node, &operation, &mut sink).await?;
        let Report::SnapshotSend(kept) = report else {
            return Err(super::unexpected(&node.name, &operation));
        };
        let Some(snapshot) = kept.snapshot else {
            return Err(super::unexpected(&node.name, &operation));
        };
        sink.complete(&Description::new(&snapshot, path)).await?;
        Ok(SnapshotReport {
            path: path.to_owned(),
            ..snapshot
        })
    }

    /// Runs an operation that holds a file there, and brings it here.
    async fn bring(
        &self,
        cluster: &Cluster,
        node: &Node,
        operation: &Operation,
        sink: &mut Sink,
    ) -> Result<Report, Error> {
        let via = self.via_for(operation);
        if via == Via::Exec {
            return Err(run_error(&node.name, &exec::not_supported(operation)));
        }
        let mut result = self.fetch(cluster, via, node, operation, sink).await;
        if let Err(Trouble::Run(error)) = &result
            && self.forced.is_none()
            && runners::successor(via, error, operation) == Some(Via::Pod)
        {
            self.choose(Via::Pod, &error.message);
            result = self.fetch(cluster, Via::Pod, node, operation, sink).await;
        }
        result.map_err(|trouble| match trouble {
            Trouble::Run(error) => run_error(&node.name, &error),
            Trouble::Here(error) => sink.refused(error),
            Trouble::Stream(message) => {
                Error::failed(format!("{}: fetching the snapshot: {message}", node.name))
                    .hint("keep it on the node instead: --on-node")
            }
        })
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
        let root = match &self.ground {
            Ground::Cluster(_) => HOST,
            Ground::Host | Ground::Hosts { .. } => "/",
        };
        let operation = Operation::SnapshotSave {
            folder: folder.to_owned(),
            name: name.to_owned(),
            packing: wanted.on_node(name, Path::new(root), true),
            numbered,
            hold_seconds: 0,
        };
        match self.ask(node, &operation).await? {
            Report::Snapshot(saved) => Ok(saved),
            _ => Err(super::unexpected(&node.name, &operation)),
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
        let folder = crate::input::spool_folder();
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

    async fn fetch(
        &self,
        cluster: &Cluster,
        via: Via,
        node: &Node,
        operation: &Operation,
        sink: &mut Sink,
    ) -> Result<Report, Trouble> {
        let limit = runners::limit(operation, self.limit);
        let round = Round::begin(cluster, via, &[node], operation, limit).await?;
        let (assignment, seen) = round.prepare(node)?;
        let launcher = round.launcher();
        let started = launcher.start(&assignment, seen).await?;
        let file = operation.held_file().unwrap_or_default();
        let held = Held {
            pod: &started.pod,
            file: &file,
        };
        let total = AtomicU64::new(0);
        let mut saving = |progress: Progress| {
            total.store(progress.total_bytes.unwrap_or(0), Ordering::Relaxed);
            // While bytes arrive, their number tells more than how far the node is.
            if progress.step != "saving" {
                self.tell(node, progress);
            }
        };
        let work = async {
            let report = async {
                launcher
                    .report(&started, &mut saving)
                    .await
                    .map_err(Trouble::Run)
            };
            let mut told = Instant::now();
            let mut fetching = |done: u64| {
                if told.elapsed() >= TELL {
                    told = Instant::now();
                    let total = total.load(Ordering::Relaxed).max(done);
                    self.tell(
                        node,
                        Progress {
                            step: "fetching".into(),
                            done_bytes: done,
                            total_bytes: (total > done).then_some(total),
                        },
                    );
                }
            };
            let bytes = receive(cluster, held, sink, &mut fetching);
            futures::try_join!(report, bytes)
        };
        let result = match timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(Trouble::Run(
                RunError::new(
                    RunErrorKind::TimedOut,
                    format!("not done within {} s", limit.as_secs()),
                )
                .hint("give it longer with --timeout"),
            )),
        };
        cluster.created.remove_soon(started.object.clone());
        let (report, whole) = result?;
        compare(&report, &whole)?;
        Ok(report)
    }

    fn tell(&self, node: &Node, progress: Progress) {
        (self.notices)(Notice::Progress {
            node: node.name.clone(),
            progress,
        });
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

/// Whether what came is what the job says it made and checked.
fn compare(report: &Report, whole: &Whole) -> Result<(), RunError> {
    let (size_bytes, sha256) = match report {
        Report::Snapshot(saved) => (saved.snapshot.size_bytes, &saved.snapshot.sha256),
        Report::NodeFiles(files) => (files.size_bytes, &files.sha256),
        Report::SnapshotSend(kept) => match &kept.snapshot {
            Some(snapshot) => (snapshot.size_bytes, &snapshot.sha256),
            None => return Err(another()),
        },
        _ => return Err(another()),
    };
    if *sha256 == whole.sha256 && size_bytes == whole.size_bytes {
        return Ok(());
    }
    Err(RunError::new(
        RunErrorKind::Lost,
        format!(
            "what was fetched ({} bytes, sha256 {}) is not what was checked on the node ({size_bytes} bytes, sha256 {sha256})",
            whole.size_bytes, whole.sha256
        ),
    ))
}

fn another() -> RunError {
    RunError::new(
        RunErrorKind::Lost,
        "the job reported something else than a snapshot",
    )
}

/// Why there is no snapshot.
enum Trouble {
    Run(RunError),
    /// It cannot be stored here.
    Here(std::io::Error),
    /// The stream cannot be used, whatever is tried.
    Stream(String),
}

impl From<RunError> for Trouble {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;
