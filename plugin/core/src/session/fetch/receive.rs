//! Taking a file in from a node, over as many connections as it takes.

use std::path::Path;
use std::time::Duration;

use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::transfer::{ACKNOWLEDGEMENT, Receiver, TransferError, Whole};
use tokio::time::{Instant, sleep, timeout};

use super::sink::{Sink, SinkError};
use super::verdict::Trouble;
use crate::connection::Refusals;
use crate::runners;
use crate::runners::exec::stream::{Ending, ExecStream, Frame};
use crate::runners::podspec::CONTAINER;
use crate::session::Cluster;

/// For so long nothing new may come, over however many connections: an apiserver that was killed is back after a minute.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pause before the next connection, times how many have failed in a row; and the longest.
const PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// How long the apiserver may take to start the reader.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// How long the reader may take to end after its acknowledgement. Everything has been checked by then.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);

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
) -> Result<Whole, Trouble> {
    let mut receiver = sink.receiver().await.map_err(Trouble::Here)?;
    let mut resumed = receiver.verified() > 0;
    let mut refusals = Refusals::default();
    let mut in_vain = 0;
    let mut last_new = Instant::now();
    loop {
        let before = receiver.verified();
        let connection = connect(cluster, held, &mut receiver, sink, &mut refusals, told);
        let error = match connection.await {
            Ok(()) => match receiver.finish() {
                Ok(whole) => return Ok(whole),
                Err(_) if resumed => {
                    (receiver, resumed) = (sink.receiver().await.map_err(Trouble::Here)?, false);
                    continue;
                }
                Err(error) => return Err(Trouble::Stream(error.to_string())),
            },
            // What an earlier run left is not the beginning of this file, or of any that is whole.
            Err(End::Unfit(_) | End::Damaged(_)) if resumed => {
                (receiver, resumed) = (sink.receiver().await.map_err(Trouble::Here)?, false);
                continue;
            }
            Err(End::Here(error)) => return Err(Trouble::Here(error)),
            Err(End::Damaged(failure)) => return Err(Trouble::Damaged(failure)),
            Err(End::Hopeless(message) | End::Unfit(message)) => {
                return Err(Trouble::Stream(message));
            }
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
    /// What comes is no whole snapshot.
    Damaged(Failure),
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
                    .push(&bytes, |part| sink.write(part))
                    .map_err(judge)?;
                sink.settle().await?;
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

impl From<SinkError> for End {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Here(error) => Self::Here(error),
            SinkError::Damaged(failure) => Self::Damaged(failure),
        }
    }
}

fn judge(error: TransferError) -> End {
    match error {
        TransferError::Sink(error) => End::Here(error),
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
    if timeout(FAREWELL_LIMIT, goodbye).await.is_err() {
        tracing::debug!("the reader did not say goodbye");
    }
}
