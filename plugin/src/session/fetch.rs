//! Bringing a snapshot to this host: taken on the node, fetched while it is being saved, kept only when it is whole.

mod bundle;
mod check;
mod receive;
mod second;
mod sink;
mod verdict;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_operations::kept::description::Description;
use etcd_operations::kept::name::SnapshotName;
use etcd_operations::operation::Operation;
use etcd_operations::pack::Wanted;
use etcd_operations::pack::unpack::Arrived;
use etcd_operations::report::{Report, SavedSnapshot, SnapshotReport};
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
pub use second::{Compared, Peer};
use sink::Sink;
use verdict::{Trouble, compare, damaged, is_as_told};

/// The file's name on the node.
const NAME: &str = "snapshot.db";
/// How long the pod stays after its report, for a fetch that has to begin again.
const HOLD: Duration = Duration::from_secs(600);
/// What is put behind the name of a snapshot that has other data than another member.
const MISMATCH: &str = ".mismatch";
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

/// A snapshot that was saved, and what was found out about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// What it is.
    pub saved: SavedSnapshot,
    /// Where it was checked.
    pub checked: Checked,
    /// Whether it has what another member has.
    pub compared: Compared,
}

/// Where a snapshot was checked: its sha256, its size and every page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// On this host, after it had come.
    Here,
    /// On this host, but for its pages, which only the node has looked at.
    HereButPages {
        /// Why, as a fragment.
        why: String,
    },
    /// Where it was taken, and it stays there.
    WhereTaken,
}

impl Checked {
    fn of(arrived: &Arrived) -> Self {
        match &arrived.pages {
            Ok(_) => Self::Here,
            Err(failure) => Self::HereButPages {
                why: failure.to_string(),
            },
        }
    }
}

impl From<SavedSnapshot> for Saved {
    /// It stays where it was taken.
    fn from(saved: SavedSnapshot) -> Self {
        Self {
            saved,
            checked: Checked::WhereTaken,
            compared: Compared::NotAsked,
        }
    }
}

impl Session {
    /// Saves a snapshot of this node's member. A bundle that is brought here has the files of all nodes of this session in
    /// it; one that stays on the node has that node's. What is brought here is checked here, and held against what the first
    /// of these other members has.
    ///
    /// # Errors
    /// Whatever keeps it from being whole. Nothing that looks like a snapshot is left then; one that has other data than
    /// another member is kept under a name that says so.
    pub async fn save_snapshot(
        &self,
        node: &Node,
        to: &Destination,
        wanted: Wanted,
        peers: &[Peer<'_>],
    ) -> Result<Saved, Error> {
        let cluster = match (&self.ground, to) {
            (Ground::Cluster(cluster), Destination::File(_) | Destination::Stdout { .. }) => {
                cluster
            }
            (_, Destination::Node { folder, name }) => {
                let saved = self.save_on_node(node, folder, name, wanted, true);
                return Ok(saved.await?.into());
            }
            (Ground::Host, Destination::File(path)) => {
                let (folder, name) = parts(path)?;
                let saved = self.save_on_node(node, folder, name, wanted, false);
                return Ok(saved.await?.into());
            }
            (Ground::Host, Destination::Stdout { name }) => {
                return Ok(self.save_to_stdout_here(node, name, wanted).await?.into());
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
        let bring = Bring {
            cluster,
            node,
            operation: &operation,
            peers,
        };
        if let Wanted::Bundle { .. } = wanted {
            return self.bring_bundle(&bring, sink.hashed(), path).await;
        }
        let mut sink = sink;
        let Report::Snapshot(saved) = self.bring(&bring, &mut sink).await? else {
            return Err(super::unexpected(&node.name, &operation));
        };
        self.finish(&bring, sink, saved, path).await
    }

    /// Checks what has come, holds it against another member, and gives it its name.
    async fn finish(
        &self,
        bring: &Bring<'_>,
        mut sink: Sink,
        saved: SavedSnapshot,
        path: PathBuf,
    ) -> Result<Saved, Error> {
        let revision = saved.snapshot.revision;
        let asked = async {
            match bring.peers.first() {
                Some(peer) => Some(self.hash_of(peer, revision).await),
                None => None,
            }
        };
        let (arrived, said) = futures::join!(sink.checked(), asked);
        let arrived = arrived.map_err(|error| bring.error(error.into(), &mut sink))?;
        is_as_told(&saved.snapshot, &arrived)
            .map_err(|error| run_error(&bring.node.name, &error))?;
        let checked = Checked::of(&arrived);
        let compared = match (arrived.pages, said) {
            (Ok(pages), Some(said)) => self.judge(pages, bring.peers, said).await,
            (Err(_), Some(_)) => Ok(Compared::Not {
                why: "its pages could not be looked at here".to_owned(),
            }),
            (_, None) => Ok(Compared::NotAsked),
        };
        let compared = match compared {
            Ok(compared) => compared,
            Err(mismatch) => {
                let kept = sink.set_aside(MISMATCH)?;
                return Err(mismatch.into_error(&bring.node.name, kept.as_deref()));
            }
        };
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
    ) -> Result<Saved, Error> {
        let there = name.path_in(folder).display().to_string();
        let Ground::Cluster(cluster) = &self.ground else {
            return Err(
                Error::refused(format!("{there} is on this host: no need to fetch it"))
                    .hint(format!("cp -p {there} {there}.json {}", path.display())),
            );
        };
        let operation = Operation::SnapshotSend {
            folder: folder.to_owned(),
            name: name.clone(),
            hold_seconds: HOLD.as_secs(),
        };
        let sink = Sink::resumable_file(path)?;
        let bring = Bring {
            cluster,
            node,
            operation: &operation,
            peers: &[],
        };
        let mut sink = sink;
        let Report::SnapshotSend(kept) = self.bring(&bring, &mut sink).await? else {
            return Err(super::unexpected(&node.name, &operation));
        };
        let Some(snapshot) = kept.snapshot else {
            return Err(super::unexpected(&node.name, &operation));
        };
        let saved = SavedSnapshot {
            snapshot,
            contents: None,
        };
        self.finish(&bring, sink, saved, path.to_owned()).await
    }

    /// Runs an operation that holds a file there, and brings it here.
    async fn bring(&self, bring: &Bring<'_>, sink: &mut Sink) -> Result<Report, Error> {
        let Bring {
            cluster,
            node,
            operation,
            ..
        } = *bring;
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
        result.map_err(|trouble| bring.error(trouble, sink))
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

/// What is to be brought from where.
#[derive(Clone, Copy)]
struct Bring<'b> {
    cluster: &'b Cluster,
    node: &'b Node,
    operation: &'b Operation,
    /// Whom it is held against.
    peers: &'b [Peer<'b>],
}

impl Bring<'_> {
    fn error(&self, trouble: Trouble, sink: &mut Sink) -> Error {
        let node = &self.node.name;
        match trouble {
            Trouble::Run(error) => run_error(node, &error),
            Trouble::Here(error) => sink.refused(error),
            Trouble::Damaged(failure) => {
                sink.discard();
                run_error(node, &damaged(&failure))
            }
            Trouble::Stream(message) => {
                Error::failed(format!("{node}: fetching the snapshot: {message}"))
                    .hint("keep it on the node instead: --on-node")
            }
        }
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
