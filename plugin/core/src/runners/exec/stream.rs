//! One exec as a stream of frames. kube's own `AttachedProcess` reads a cut connection as success or waits for ever, so
//! the channels are told apart here: an exec has succeeded only when the Status frame says so.

use std::pin::Pin;
use std::time::Duration;

use etcd_operations::wire::MAX_LINE_BYTES;
use futures::{Sink, SinkExt, Stream, StreamExt};
use kube::Client;
use kube::api::AttachParams;
use kube::core::{Request, Status};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::limits;

/// The channels of the protocol: the first byte of each message.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// Why an exec has no proper end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// It ended without saying how.
    #[error("the connection was cut before the end")]
    Cut,
    /// Nothing came for too long.
    #[error("nothing came for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The WebSocket failed.
    #[error("the connection failed: {0}")]
    Broken(#[source] Box<WsError>),
    /// More output than can be meant.
    #[error("the output is longer than {} MiB", MAX_LINE_BYTES >> 20)]
    TooLong,
}

/// How the program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With exit code 0.
    Success,
    /// With another exit code.
    ExitCode(i32),
    /// It was not run, or what ran it failed.
    Failure(String),
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    End(Ending),
}

/// All that a program printed.
pub(crate) struct Output {
    pub stdout: String,
    pub stderr: String,
    pub ending: Ending,
}

type Incoming = Pin<Box<dyn Stream<Item = Result<Message, WsError>> + Send>>;
type Outgoing = Pin<Box<dyn Sink<Message, Error = WsError> + Send>>;

/// A program running in a container.
pub(crate) struct ExecStream {
    incoming: Incoming,
    outgoing: Outgoing,
    idle_limit: Duration,
}

impl ExecStream {
    /// Starts a program. The time the apiserver takes for that is the caller's to limit.
    ///
    /// # Errors
    /// What the apiserver or the kubelet says instead of switching protocols.
    pub(crate) async fn open(
        client: &Client,
        namespace: &str,
        pod: &str,
        container: &str,
        command: &[String],
        stdin: bool,
    ) -> kube::Result<Self> {
        let params = AttachParams::default().container(container).stdin(stdin);
        let request = Request::new(format!("/api/v1/namespaces/{namespace}/pods"))
            .exec(pod, command.iter().map(String::as_str), &params)
            .map_err(kube::Error::BuildRequest)?;
        let socket = client.connect(request).await?.into_stream();
        let (outgoing, incoming) = socket.split();
        Ok(Self {
            incoming: Box::pin(incoming),
            outgoing: Box::pin(outgoing),
            idle_limit: limits::EXEC_IDLE,
        })
    }

    /// The next frame that carries something.
    ///
    /// # Errors
    /// When the stream ends without a Status, breaks or stalls.
    pub(crate) async fn next(&mut self) -> Result<Frame, StreamError> {
        loop {
            let message = tokio::time::timeout(self.idle_limit, self.incoming.next())
                .await
                .map_err(|_| StreamError::Stalled(self.idle_limit))?
                .ok_or(StreamError::Cut)?
                .map_err(broken)?;
            match message {
                Message::Binary(bytes) => {
                    if let Some(frame) = frame(&bytes) {
                        return Ok(frame);
                    }
                }
                Message::Close(_) => return Err(StreamError::Cut),
                // Pings are answered by the library when it is next polled. They are no sign of life of the program, but
                // they are one of the connection.
                Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Sends to the program's standard input.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(STDIN);
        message.extend_from_slice(bytes);
        let sent = tokio::time::timeout(
            self.idle_limit,
            self.outgoing.send(Message::Binary(message.into())),
        );
        sent.await
            .map_err(|_| StreamError::Stalled(self.idle_limit))?
            .map_err(broken)
    }

    /// Reads to the end and keeps all that was printed.
    ///
    /// # Errors
    /// As [`ExecStream::next`], and when it is too much.
    pub(crate) async fn collect(&mut self) -> Result<Output, StreamError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match self.next().await? {
                Frame::Stdout(bytes) => stdout.extend_from_slice(&bytes),
                Frame::Stderr(bytes) => stderr.extend_from_slice(&bytes),
                Frame::End(ending) => {
                    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                    return Ok(Output {
                        stdout: text(stdout),
                        stderr: text(stderr),
                        ending,
                    });
                }
            }
            if stdout.len() + stderr.len() > MAX_LINE_BYTES {
                return Err(StreamError::TooLong);
            }
        }
    }
}

fn broken(error: WsError) -> StreamError {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => StreamError::Cut,
        other => StreamError::Broken(Box::new(other)),
    }
}

/// The frame in a message; none for empty ones, which only open a channel, and for channels unknown here.
fn frame(bytes: &[u8]) -> Option<Frame> {
    let (channel, content) = bytes.split_first()?;
    match *channel {
        _ if content.is_empty() => None,
        STDOUT => Some(Frame::Stdout(content.to_vec())),
        STDERR => Some(Frame::Stderr(content.to_vec())),
        STATUS => Some(Frame::End(ending(content))),
        _ => None,
    }
}

/// How the program ended, by the Status object. Its exit code is the message of a cause.
fn ending(content: &[u8]) -> Ending {
    let Ok(status) = serde_json::from_slice::<Status>(content) else {
        return Ending::Failure(String::from_utf8_lossy(content).into_owned());
    };
    if status.is_success() {
        return Ending::Success;
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let code = causes
        .filter(|cause| cause.reason == "ExitCode")
        .find_map(|cause| cause.message.parse().ok());
    match code {
        Some(code) => Ending::ExitCode(code),
        None => Ending::Failure(status.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use crate::fake::{self, Reply, Step};

    #[test]
    fn the_status_frame_tells_the_exit_code() {
        let failed = br#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"128"}]}}"#;
        assert_eq!(ending(failed), Ending::ExitCode(128));
        assert_eq!(
            ending(br#"{"metadata":{},"status":"Success"}"#),
            Ending::Success
        );
        let internal = br#"{"metadata":{},"status":"Failure","message":"container not found (\"etcd\")","reason":"InternalError","code":500}"#;
        assert_eq!(
            ending(internal),
            Ending::Failure("container not found (\"etcd\")".into())
        );
        assert_eq!(
            ending(b"plain words"),
            Ending::Failure("plain words".into())
        );
    }

    async fn opened(steps: Vec<Step>) -> ExecStream {
        let server = fake::serve(move |_| Reply::Exec(steps.clone())).await;
        let connection = Connection::prepare(&fake::flags(server)).await.unwrap();
        let command = ["etcdctl".to_owned()];
        ExecStream::open(&connection.stream, "kube-system", "p", "c", &command, false)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn output_counts_only_with_a_status() {
        let output = opened(vec![
            Step::Send(1, b"out".to_vec()),
            Step::Send(2, b"err".to_vec()),
            fake::success(),
        ]);
        let output = output.await.collect().await.unwrap();
        assert_eq!(
            (
                output.stdout.as_str(),
                output.stderr.as_str(),
                output.ending
            ),
            ("out", "err", Ending::Success)
        );

        for end in [Step::Close, Step::Drop] {
            let mut cut = opened(vec![Step::Send(1, b"all there was".to_vec()), end]).await;
            let error = cut.collect().await.err().unwrap();
            assert!(
                matches!(error, StreamError::Cut | StreamError::Broken(_)),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_program_that_prints_without_an_end_is_given_up() {
        for channel in [STDOUT, STDERR] {
            let endless = vec![Step::Send(channel, vec![b'a'; 1 << 20]); 40];
            let error = opened(endless).await.collect().await.err().unwrap();
            assert!(matches!(error, StreamError::TooLong), "{error}");
            assert_eq!(error.to_string(), "the output is longer than 16 MiB");
        }
    }

    #[tokio::test]
    async fn a_stream_that_stalls_is_given_up() {
        let mut stalled = opened(vec![Step::Send(1, b"begun".to_vec()), Step::Stall]).await;
        stalled.idle_limit = Duration::from_millis(200);
        assert!(matches!(
            stalled.collect().await,
            Err(StreamError::Stalled(_))
        ));
    }

    #[tokio::test]
    async fn a_refusal_instead_of_a_stream_is_told_in_its_words() {
        let server =
            fake::serve(|_| fake::refused(403, "pods \"p\" is forbidden: no exec for you")).await;
        let connection = Connection::prepare(&fake::flags(server)).await.unwrap();
        let refused = ExecStream::open(
            &connection.stream,
            "kube-system",
            "p",
            "c",
            &["x".to_owned()],
            false,
        )
        .await;
        let Err(kube::Error::Api(status)) = refused else {
            panic!("not refused")
        };
        assert!(status.message.contains("no exec for you"));
    }

    #[test]
    fn channels_are_told_apart() {
        assert_eq!(frame(b"\x01out"), Some(Frame::Stdout(b"out".to_vec())));
        assert_eq!(frame(b"\x02err"), Some(Frame::Stderr(b"err".to_vec())));
        assert_eq!(frame(b"\x01"), None);
        assert_eq!(frame(b"\x07what"), None);
        assert_eq!(frame(b""), None);
    }
}
