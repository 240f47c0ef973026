//! Taking a file in from a node, over as many connections as it takes.

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use std::path::Path;

use etcd_operations::failure::FailureKind;
use etcd_operations::transfer::{ACKNOWLEDGEMENT, Receiver, TransferError, Whole};
use tokio::time::{Instant, sleep, timeout};

use super::sink::{Sink, SinkError};
use crate::connection::{Connection, Refusals};
use crate::limits;
use crate::outcome::{RunError, RunErrorKind};
use crate::patience::Patience;
use crate::runners;
use crate::runners::exec::stream::{Ending, ExecStream, Frame};
use crate::runners::podspec::CONTAINER;
use crate::session::Cluster;

/// A file on a node, and the pod that stays so that it can be fetched.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) pod: &'a str,
    pub(super) file: &'a Path,
}

/// Takes the file in, over as many connections as it takes.
pub(super) async fn receive(
    cluster: &Cluster,
    held: Held<'_>,
    sink: &mut Sink,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<Whole, RunError> {
    let mut receiver = sink.begin().await?;
    let mut resumed = receiver.verified() > 0;
    let mut refusals = Refusals::default();
    let mut patience = Patience::new(limits::FETCH);
    loop {
        let before = receiver.verified();
        let connection = connect(cluster, held, &mut receiver, sink, &mut refusals, told);
        let error = match connection.await {
            Ok(()) => match receiver.finish() {
                Ok(whole) => return Ok(whole),
                Err(error) if !resumed => return Err(not_fetched(&error.to_string())),
                Err(_) => {
                    (receiver, resumed) = (sink.begin().await?, false);
                    continue;
                }
            },
            // What an earlier run left is not the beginning of this file, or of any that is whole.
            Err(End::Unfit(_) | End::Sink(SinkError::Damaged(_))) if resumed => {
                (receiver, resumed) = (sink.begin().await?, false);
                continue;
            }
            Err(End::Sink(error)) => return Err(sink.fault(error)),
            Err(End::Hopeless(message) | End::Unfit(message)) => {
                return Err(not_fetched(&message));
            }
            Err(End::Again(message)) => message,
        };
        if receiver.verified() > before {
            patience = Patience::new(limits::FETCH);
        }
        let Some(pause) = patience.next(Instant::now()) else {
            let seconds = limits::FETCH.patience.as_secs();
            let message = format!("{error}; nothing new came for {seconds} s");
            return Err(not_fetched(&message));
        };
        let verified = receiver.verified();
        tracing::debug!(error, verified, "fetching continues over a new connection");
        sleep(pause).await;
        receiver.reconnected();
    }
}

/// The stream cannot be used, whatever is tried.
fn not_fetched(message: &str) -> RunError {
    let message = format!("fetching the snapshot: {message}");
    RunError::new(RunErrorKind::Lost, message)
        .hint(advice!["keep it on the node instead: ", Choice::OnNode])
}

/// How a connection ended before the file was whole.
enum End {
    /// What came is not taken.
    Sink(SinkError),
    /// The same would happen again.
    Hopeless(String),
    /// The file there is not one that goes on after what is here.
    Unfit(String),
    /// Another connection may go on.
    Again(String),
}

/// One connection, from the last verified byte on.
async fn connect(
    cluster: &Cluster,
    held: Held<'_>,
    receiver: &mut Receiver,
    sink: &mut Sink,
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
    let program = cluster.program().await;
    let program = program.map_err(|error| End::Unfit(error.message))?;
    let command = program.exec_command(arguments);
    let mut stream = open(connection, held.pod, &command, refusals).await?;
    let mut complaints = Vec::new();
    loop {
        match stream.next().await {
            Ok(Frame::Stdout(bytes)) => {
                let ended = receiver
                    .push(&bytes, |part| sink.write(part))
                    .map_err(judge)?;
                sink.settle().await.map_err(End::Sink)?;
                told(receiver.verified());
                if ended {
                    farewell(&mut stream).await;
                    return Ok(());
                }
            }
            Ok(Frame::Stderr(bytes)) => complaints.extend_from_slice(&bytes),
            Ok(Frame::End(ending)) => {
                return Err(End::Again(how_it_ended(ending, &complaints)));
            }
            Err(error) => return Err(End::Again(error.to_string())),
        }
    }
}

/// Starts the reader in the pod.
async fn open(
    connection: &Connection,
    pod: &str,
    command: &[String],
    refusals: &mut Refusals,
) -> Result<ExecStream, End> {
    let (client, namespace) = (&connection.stream, &connection.namespace);
    let open = ExecStream::open(client, namespace, pod, CONTAINER, command, true);
    match timeout(limits::READER_STARTS, open).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if refusals.believed(client, &error).await => {
            let error = runners::trouble::api_error("fetching through exec", error);
            Err(End::Hopeless(error.message))
        }
        Ok(Err(error)) => Err(End::Again(crate::connection::chain(&error))),
        Err(_) => Err(End::Again(format!(
            "the reader did not start within {} s",
            limits::READER_STARTS.as_secs()
        ))),
    }
}

fn how_it_ended(ending: Ending, complaints: &[u8]) -> String {
    let how = match ending {
        Ending::Success => "the reader ended before the file did".to_owned(),
        Ending::ExitCode(code) => format!("the reader ended with exit code {code}"),
        Ending::Failure(message) => message,
    };
    match String::from_utf8_lossy(complaints).trim() {
        "" => how,
        complaints => format!("{how}: {complaints}"),
    }
}

fn judge(error: TransferError) -> End {
    match error {
        TransferError::Sink(error) => End::Sink(SinkError::Here(error)),
        TransferError::Sender(failure) if failure.kind == FailureKind::Refused => {
            End::Unfit(failure.message)
        }
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
    if timeout(limits::READER_ENDS, goodbye).await.is_err() {
        tracing::debug!("the reader did not say goodbye");
    }
}
