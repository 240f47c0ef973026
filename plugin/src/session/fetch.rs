//! Bringing a snapshot to this host: taken on the node, fetched while it is being saved, kept only when it is whole.

mod file;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_operations::kept::name::SnapshotName;
use etcd_operations::operation::Operation;
use etcd_operations::pack::Packing;
use etcd_operations::report::{Report, SnapshotReport};
use etcd_operations::transfer::{ACKNOWLEDGEMENT, Receiver, TransferError, Whole};
use etcd_operations::wire::Progress;
use tokio::time::{Instant, sleep, timeout};

use super::round::Round;
use super::{Cluster, Ground, Node, Notice, Session};
use crate::cli::Via;
use crate::connection::Refusals;
use crate::error::Error;
use crate::outcome::{RunError, RunErrorKind, run_error};
use crate::runners::exec::stream::{Ending, ExecStream, Frame};
use crate::runners::podspec::{CONTAINER, SCRATCH};
use crate::runners::{self, exec};
use file::Destination;

/// The file's name on the node.
const NAME: &str = "snapshot.db";
/// How long the pod stays after its report, for a fetch that has to begin again.
const HOLD: Duration = Duration::from_secs(600);
/// For so long nothing new may come, over however many connections: an apiserver that was killed is back after a minute.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pause before the next connection, times how many have failed in a row; and the longest.
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long the apiserver may take to start the reader.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// How long the reader may take to end after its acknowledgement. Everything has been checked by then.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);
/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

impl Session {
    /// Saves a snapshot of this node's member to a file here, which must not be there yet. Beside it, `FILE.json` says what
    /// it is.
    ///
    /// # Errors
    /// Whatever keeps it from being whole. Nothing that looks like a snapshot is left then.
    pub async fn save_snapshot(&self, node: &Node, path: &Path) -> Result<SnapshotReport, Error> {
        let cluster = match &self.ground {
            Ground::Cluster(cluster) => cluster,
            Ground::Host => return self.save_here(node, path).await,
        };
        let operation = Operation::SnapshotSave {
            folder: PathBuf::from(SCRATCH).join("snapshot"),
            name: NAME.into(),
            packing: Packing::Plain,
            numbered: false,
            hold_seconds: HOLD.as_secs(),
        };
        self.bring(cluster, node, &operation, path).await
    }

    /// Brings a snapshot that is kept on this node to a file here, which must not be there yet.
    ///
    /// # Errors
    /// As [`Session::save_snapshot`].
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
                Error::refused(format!("{there} is on this host: no need to fetch it"))
                    .hint(format!("cp -p {there} {there}.json {}", path.display())),
            );
        };
        let operation = Operation::SnapshotSend {
            folder: folder.to_owned(),
            name: name.clone(),
            hold_seconds: HOLD.as_secs(),
        };
        self.bring(cluster, node, &operation, path).await
    }

    /// Runs an operation that holds a snapshot there, and brings it here.
    async fn bring(
        &self,
        cluster: &Cluster,
        node: &Node,
        operation: &Operation,
        path: &Path,
    ) -> Result<SnapshotReport, Error> {
        let mut destination = Destination::create(path)?;
        let via = self.via_for(operation);
        if via == Via::Exec {
            return Err(run_error(&node.name, &exec::not_supported(operation)));
        }
        let mut result = self
            .fetch(cluster, via, node, operation, &mut destination)
            .await;
        if let Err(Trouble::Run(error)) = &result
            && self.forced.is_none()
            && runners::successor(via, error, operation) == Some(Via::Pod)
        {
            self.choose(Via::Pod, &error.message);
            result = self
                .fetch(cluster, Via::Pod, node, operation, &mut destination)
                .await;
        }
        let report = result.map_err(|trouble| trouble.into_error(node, path))?;
        destination.complete(&report)?;
        Ok(SnapshotReport {
            path: path.to_owned(),
            ..report
        })
    }

    /// On this host the operation itself makes the file and what describes it.
    async fn save_here(&self, node: &Node, path: &Path) -> Result<SnapshotReport, Error> {
        let (folder, name) = match (
            path.parent(),
            path.file_name().and_then(|name| name.to_str()),
        ) {
            (Some(folder), Some(name)) => (folder.to_owned(), name.to_owned()),
            _ => return Err(Error::usage(format!("{} is no file name", path.display()))),
        };
        self.keep_snapshot(node, folder, name).await
    }

    /// Takes a snapshot of this node's member that stays on the node, with `NAME.json` beside it.
    ///
    /// # Errors
    /// Whatever keeps it from being whole. Nothing that looks like a snapshot is left then.
    pub async fn keep_snapshot(
        &self,
        node: &Node,
        folder: PathBuf,
        name: String,
    ) -> Result<SnapshotReport, Error> {
        let operation = Operation::SnapshotSave {
            folder,
            name,
            packing: Packing::Plain,
            numbered: true,
            hold_seconds: 0,
        };
        match self.ask(node, &operation).await? {
            Report::Snapshot(report) => Ok(report.snapshot),
            _ => Err(super::unexpected(&node.name, &operation)),
        }
    }

    async fn fetch(
        &self,
        cluster: &Cluster,
        via: Via,
        node: &Node,
        operation: &Operation,
        destination: &mut Destination,
    ) -> Result<SnapshotReport, Trouble> {
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
            let bytes = receive(cluster, held, destination, &mut fetching);
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
        let described = match report {
            Report::Snapshot(saved) => Some(saved.snapshot),
            Report::SnapshotSend(kept) => kept.snapshot,
            _ => None,
        };
        let Some(report) = described else {
            return Err(Trouble::Run(RunError::new(
                RunErrorKind::Lost,
                "the job reported something else than a snapshot",
            )));
        };
        if report.sha256 == whole.sha256 && report.size_bytes == whole.size_bytes {
            return Ok(report);
        }
        Err(Trouble::Run(RunError::new(
            RunErrorKind::Lost,
            format!(
                "what was fetched ({} bytes, sha256 {}) is not what was checked on the node ({} bytes, sha256 {})",
                whole.size_bytes, whole.sha256, report.size_bytes, report.sha256
            ),
        )))
    }

    fn tell(&self, node: &Node, progress: Progress) {
        (self.notices)(Notice::Progress {
            node: node.name.clone(),
            progress,
        });
    }
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

impl Trouble {
    fn into_error(self, node: &Node, path: &Path) -> Error {
        match self {
            Self::Run(error) => run_error(&node.name, &error),
            Self::Here(error) => file::not_stored(path, error),
            Self::Stream(message) => {
                Error::failed(format!("{}: fetching the snapshot: {message}", node.name))
                    .hint("keep it on the node instead: --on-node")
            }
        }
    }
}

/// A file on a node, and the pod that stays so that it can be fetched.
#[derive(Clone, Copy)]
struct Held<'a> {
    pod: &'a str,
    file: &'a Path,
}

/// Takes the file in, over as many connections as it takes.
async fn receive(
    cluster: &Cluster,
    held: Held<'_>,
    destination: &mut Destination,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<Whole, Trouble> {
    let mut receiver = Receiver::new();
    destination.begin().map_err(Trouble::Here)?;
    let mut refusals = Refusals::default();
    let mut in_vain = 0;
    let mut last_new = Instant::now();
    loop {
        let before = receiver.verified();
        let connection = connect(
            cluster,
            held,
            &mut receiver,
            destination,
            &mut refusals,
            told,
        );
        let error = match connection.await {
            Ok(()) => {
                return receiver
                    .finish()
                    .map_err(|error| Trouble::Stream(error.to_string()));
            }
            Err(End::Here(error)) => return Err(Trouble::Here(error)),
            Err(End::Hopeless(message)) => return Err(Trouble::Stream(message)),
            Err(End::Again(message)) => message,
        };
        if receiver.verified() > before {
            (in_vain, last_new) = (0, Instant::now());
        } else {
            in_vain += 1;
        }
        if last_new.elapsed() >= PATIENCE {
            return Err(Trouble::Stream(format!(
                "{error}; nothing new came for {} s",
                PATIENCE.as_secs()
            )));
        }
        tracing::debug!(
            error,
            verified = receiver.verified(),
            "fetching goes on with a new connection"
        );
        sleep((PAUSE * in_vain).min(LONGEST_PAUSE)).await;
        receiver.reconnected();
    }
}

/// How a connection ended before the file was whole.
enum End {
    /// The disk here.
    Here(std::io::Error),
    /// The same would happen again.
    Hopeless(String),
    /// Another connection may go on.
    Again(String),
}

/// One connection, from the last verified byte on.
async fn connect(
    cluster: &Cluster,
    held: Held<'_>,
    receiver: &mut Receiver,
    destination: &mut Destination,
    refusals: &mut Refusals,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<(), End> {
    let arguments = [
        "read".to_owned(),
        "--path".to_owned(),
        held.file.display().to_string(),
        "--offset".to_owned(),
        receiver.verified().to_string(),
    ];
    let connection = &cluster.connection;
    let command = cluster.program().exec_command(arguments);
    let open = ExecStream::open(
        &connection.stream,
        &connection.namespace,
        held.pod,
        CONTAINER,
        &command,
        true,
    );
    let mut stream = match timeout(OPEN_LIMIT, open).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if refusals.believed(&connection.stream, &error).await => {
            let error = runners::trouble::api_error("fetching through exec", &error);
            return Err(End::Hopeless(error.message));
        }
        Ok(Err(error)) => return Err(End::Again(crate::connection::chain(&error))),
        Err(_) => {
            return Err(End::Again(format!(
                "the reader did not start within {} s",
                OPEN_LIMIT.as_secs()
            )));
        }
    };
    let mut complaints = Vec::new();
    loop {
        match stream.next().await {
            Ok(Frame::Stdout(bytes)) => {
                let ended = receiver
                    .push(&bytes, |part| destination.write(part))
                    .map_err(judge)?;
                told(receiver.verified());
                if ended {
                    farewell(&mut stream).await;
                    return Ok(());
                }
            }
            Ok(Frame::Stderr(bytes)) => complaints.extend_from_slice(&bytes),
            Ok(Frame::End(ending)) => {
                let complaints = String::from_utf8_lossy(&complaints).trim().to_owned();
                let how = match ending {
                    Ending::Success => "the reader ended before the file did".to_owned(),
                    Ending::ExitCode(code) => format!("the reader ended with exit code {code}"),
                    Ending::Failure(message) => message,
                };
                return Err(End::Again(if complaints.is_empty() {
                    how
                } else {
                    format!("{how}: {complaints}")
                }));
            }
            Err(error) => return Err(End::Again(error.to_string())),
        }
    }
}

fn judge(error: TransferError) -> End {
    match error {
        TransferError::Sink(error) => End::Here(error),
        TransferError::Sender(failure) => End::Again(failure.message),
        TransferError::Foreign => End::Hopeless(TransferError::Foreign.to_string()),
        other => End::Again(other.to_string()),
    }
}

/// Tells the reader that it may go. Its own end matters to nobody any more: all was checked.
async fn farewell(stream: &mut ExecStream) {
    let goodbye = async {
        stream
            .send(format!("{ACKNOWLEDGEMENT}\n").as_bytes())
            .await
            .ok()?;
        while let Ok(frame) = stream.next().await {
            if let Frame::End(_) = frame {
                return Some(());
            }
        }
        None
    };
    if timeout(FAREWELL_LIMIT, goodbye).await.is_err() {
        tracing::debug!("the reader did not say goodbye");
    }
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;
