//! An apiserver for tests, for what a real one cannot be made to do: hold requests, refuse falsely, cut a stream at a byte.
//! Plain HTTP/1.1 on loopback, one request a connection unless it becomes a WebSocket.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::connection::ConnectionOptions;

/// What the server does with a request, by its path and query.
pub(crate) enum Reply {
    /// Status and body.
    Json(u16, String),
    /// Nothing, for ever.
    Hold,
    /// Becomes a WebSocket, on which this happens.
    Exec(Vec<Step>),
}

/// What happens on a WebSocket.
#[derive(Clone)]
pub(crate) enum Step {
    /// A message: the channel and what it carries.
    Send(u8, Vec<u8>),
    /// A clean close.
    Close,
    /// The connection is dropped.
    Drop,
    /// Nothing any more, for ever.
    Stall,
}

/// A request of which more than its path counts.
pub(crate) struct Request {
    /// `GET`, `POST`, …
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// What was sent with it.
    pub(crate) body: Vec<u8>,
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Serves until the test ends, by the path and query of a request.
pub(crate) async fn serve(handler: impl Fn(&str) -> Reply + Send + Sync + 'static) -> SocketAddr {
    serve_requests(move |request| handler(&request.path)).await
}

/// Serves until the test ends.
pub(crate) async fn serve_requests(
    handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler: Handler = Arc::new(handler);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answering: Pin<Box<dyn Future<Output = ()> + Send>> =
                Box::pin(answer(stream, Arc::clone(&handler)));
            tokio::spawn(answering);
        }
    });
    address
}

/// The flags that lead there.
pub(crate) fn flags(address: SocketAddr) -> ConnectionOptions {
    ConnectionOptions {
        // An empty file counts: what the machine has in ~/.kube is nobody's business here.
        kubeconfig: None,
        server: Some(format!("http://{address}")),
        token: Some("test".into()),
        namespace: Some("kube-system".into()),
        ..ConnectionOptions::default()
    }
}

async fn answer(mut stream: TcpStream, handler: Handler) {
    let Some(head) = head(&mut stream).await else {
        return;
    };
    let mut words = head.split_whitespace().map(str::to_owned);
    let request = Request {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        body: body(&mut stream, &head).await,
    };
    match handler(&request) {
        Reply::Hold => tokio::time::sleep(Duration::from_secs(3600)).await,
        Reply::Json(status, body) => {
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(text.as_bytes()).await;
        }
        Reply::Exec(steps) => exec(stream, &head, steps).await,
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn body(stream: &mut TcpStream, head: &str) -> Vec<u8> {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = name.eq_ignore_ascii_case("content-length");
        value.trim().parse().ok().filter(|_| length)
    });
    let mut body = vec![0; length.unwrap_or_default()];
    let read = stream.read_exact(&mut body).await;
    assert!(read.is_ok(), "a request that is whole");
    body
}

async fn exec(mut stream: TcpStream, head: &str, steps: Vec<Step>) {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let accept = derive_accept_key(key.unwrap().as_bytes());
    let upgrade = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\
         sec-websocket-protocol: v5.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    for step in steps {
        match step {
            Step::Send(channel, content) => {
                let mut message = vec![channel];
                message.extend(content);
                if socket.send(Message::Binary(message.into())).await.is_err() {
                    return;
                }
            }
            Step::Close => drop(socket.close(None).await),
            Step::Drop => return,
            Step::Stall => tokio::time::sleep(Duration::from_secs(3600)).await,
        }
    }
}

/// The Status object at the end of an exec that went well.
pub(crate) fn success() -> Step {
    Step::Send(3, br#"{"metadata":{},"status":"Success"}"#.to_vec())
}

/// A Status object as an answer.
pub(crate) fn refused(code: u16, message: &str) -> Reply {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": match code { 403 => "Forbidden", 404 => "NotFound", _ => "InternalError" }, "code": code,
    });
    Reply::Json(code, status.to_string())
}
