//! One question to a server of this host, or to a peer of its etcd: HTTP/1.1, with TLS or without, over a connection of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::chain;
use crate::failure::{Failure, FailureKind};
use crate::limits::ANSWER_BYTES;

/// etcd's header with the cluster's id (`server/etcdserver/api/etcdhttp/peer.go`).
const CLUSTER: &str = "x-etcd-cluster-id";

/// Where a server of this host is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// How it proves who it is; none: it speaks plain HTTP.
    pub(crate) tls: Option<Tls>,
}

/// The files for a connection with TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The certificate the server was told to show, which is all that is taken. None: it makes one for itself at each
    /// start, and any is taken, as kubelet's probes do.
    pub(crate) shows: Option<PathBuf>,
    /// Who has signed what a server beyond this host shows, and for which name. Then [`Tls::shows`] does not count.
    pub(crate) signed: Option<Signed>,
    /// What is shown to the server.
    pub(crate) client: Option<Pair>,
}

/// A server that is known by its name and who has signed its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// Its name or address.
    pub(crate) name: String,
    /// Who may have signed it.
    pub(crate) by: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The certificate and those above it.
    pub(crate) certificate: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// The status of HTTP.
    pub(crate) status: StatusCode,
    /// The cluster's id, which an etcd puts into its answers to its peers.
    pub(crate) cluster: Option<String>,
    /// The text, as far as it was read.
    pub(crate) text: String,
}

impl Server {
    /// The server of a URL that has a port: its scheme says whether it speaks TLS.
    ///
    /// # Errors
    /// [`FailureKind::Unreachable`] when its name is not known.
    pub(crate) async fn at(url: &str, tls: Tls) -> Result<Self, Failure> {
        let unknown = |why: &str| Failure::unreachable(format!("{url}: {why}"));
        let (scheme, authority) = url
            .trim_end_matches('/')
            .split_once("://")
            .ok_or_else(|| unknown("it is no URL"))?;
        let found = tokio::net::lookup_host(authority).await;
        let address = found.map_err(|error| unknown(&chain(&error)))?.next();
        Ok(Self {
            address: address.ok_or_else(|| unknown("its name has no address"))?,
            tls: (scheme == "https").then_some(tls),
        })
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// [`FailureKind::Unreachable`] when there is no answer in time, [`FailureKind::Unauthorized`] when it shows another
    /// certificate, [`FailureKind::Missing`] when a file cannot be read.
    pub(crate) async fn get(&self, path: &str, limit: Duration) -> Result<Said, Failure> {
        match timeout(limit, self.ask(path)).await {
            Ok(said) => said,
            Err(_) => {
                let seconds = limit.as_secs_f64();
                Err(self.unreachable(path, &format!("no answer within {seconds:.1} s")))
            }
        }
    }

    async fn ask(&self, path: &str) -> Result<Said, Failure> {
        let socket = TcpStream::connect(self.address).await;
        let socket = socket.map_err(|error| self.unreachable(path, &chain(&error)))?;
        let Some(tls) = &self.tls else {
            return self.exchange(path, socket).await;
        };
        let connector = TlsConnector::from(Arc::new(tls.config()?));
        let name = match &tls.signed {
            Some(signed) => ServerName::try_from(signed.name.clone())
                .map_err(|error| self.unreachable(path, &error.to_string()))?,
            None => ServerName::IpAddress(self.address.ip().into()),
        };
        match connector.connect(name, socket).await {
            Ok(stream) => self.exchange(path, stream).await,
            Err(error) => {
                let said = chain(&error);
                let failure = self.unreachable(path, &said);
                Err(match said.contains("invalid peer certificate") {
                    true => Failure {
                        kind: FailureKind::Unauthorized,
                        ..failure
                    },
                    false => failure,
                })
            }
        }
    }

    async fn exchange<S>(&self, path: &str, stream: S) -> Result<Said, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |error: &hyper::Error| self.unreachable(path, &chain(error));
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        let request = Request::get(path)
            .header(HOST, self.address.to_string())
            .body(Empty::<Bytes>::new());
        let request = request.map_err(|error| self.unreachable(path, &error.to_string()))?;
        let answer = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| broken(&error))?;
            let status = answer.status();
            let cluster = answer.headers().get(CLUSTER);
            let cluster = cluster.and_then(|id| id.to_str().ok()).map(str::to_owned);
            // What is longer is cut, and what breaks off has said enough.
            let body = Limited::new(answer.into_body(), ANSWER_BYTES)
                .collect()
                .await;
            let bytes = body.map(http_body_util::Collected::to_bytes);
            let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
            Ok(Said {
                status,
                cluster,
                text,
            })
        };
        // The connection has to be driven while it is waited for. It ends when nobody asks any more.
        tokio::pin!(connection, answer);
        tokio::select! {
            said = &mut answer => said,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(broken(&error)),
            },
        }
    }

    fn unreachable(&self, path: &str, said: &str) -> Failure {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let message = format!("{scheme}://{}{path}: {said}", self.address);
        Failure::unreachable(message)
    }
}

impl Tls {
    fn config(&self) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let impossible = |error: &TlsError| Failure::other(format!("no TLS here: {error}"));
        let config = ClientConfig::builder_with_provider(provider as Arc<CryptoProvider>)
            .with_safe_default_protocol_versions()
            .map_err(|error| impossible(&error))?;
        let config = if let Some(signed) = &self.signed {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(&signed.by)?);
            config.with_root_certificates(roots)
        } else {
            let shows = self.shows.as_deref().map(certificates).transpose()?;
            let certificate = shows.and_then(|all| all.into_iter().next());
            config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Shown {
                    certificate,
                    algorithms,
                }))
        };
        let Some(pair) = &self.client else {
            return Ok(config.with_no_client_auth());
        };
        let key = PrivateKeyDer::from_pem_file(&pair.key)
            .map_err(|error| unreadable(&pair.key, &error))?;
        config
            .with_client_auth_cert(certificates(&pair.certificate)?, key)
            .map_err(|error| unreadable(&pair.certificate, &error))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| unreadable(path, &error))?;
    match certificates.is_empty() {
        true => Err(unreadable(path, &"there is no certificate in it")),
        false => Ok(certificates),
    }
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("could not read {}: {error}", path.display());
    Failure::missing(message)
}

/// Takes the one certificate the server was told to show, whatever names and dates are in it: who has its key is the
/// server. A server of this host is asked whether it is well, and is told nothing.
#[derive(Debug)]
struct Shown {
    certificate: Option<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match &self.certificate {
            Some(told) if told != shown => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);
    const ANSWER: &[u8] =
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 12\r\n\r\n[-]etcd fail";

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
        let mut request = [0; 1024];
        let length = stream.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
        stream.write_all(ANSWER).await.unwrap();
        // Until the other side has read it all.
        let _ = stream.read(&mut request).await.unwrap_or_default();
    }

    /// A server that has made a certificate for itself, and where that is.
    async fn server(dir: &Path) -> (SocketAddr, PathBuf) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
        let path = dir.join("server.crt");
        std::fs::write(&path, cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let (listener, address) = listening().await;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
                answer(stream).await;
            }
        });
        (address, path)
    }

    async fn asked(address: SocketAddr, shows: Option<PathBuf>) -> Result<Said, Failure> {
        let tls = Some(Tls {
            shows,
            ..Tls::default()
        });
        Server { address, tls }.get("/readyz", LIMIT).await
    }

    #[tokio::test]
    async fn the_certificate_it_was_told_to_show_is_taken_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (address, path) = server(dir.path()).await;
        let said = asked(address, Some(path)).await.unwrap();
        assert_eq!(said.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(said.text, "[-]etcd fail");
        let (address, _) = server(dir.path()).await;
        assert!(
            asked(address, None).await.is_ok(),
            "any, when none was told"
        );
    }

    #[tokio::test]
    async fn another_certificate_is_not_taken() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (address, _) = server(one.path()).await;
        let (_, path) = server(other.path()).await;
        let failure = asked(address, Some(path)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unauthorized, "{failure}");
        let none = other.path().join("none.crt");
        let failure = asked(address, Some(none)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing, "{failure}");
    }

    #[tokio::test]
    async fn plain_http_is_understood_and_silence_ends() {
        let (listener, address) = listening().await;
        let server = Server { address, tls: None };
        let answering = async { answer(listener.accept().await.unwrap().0).await };
        let (said, ()) = tokio::join!(server.get("/readyz", LIMIT), answering);
        assert_eq!(said.unwrap().text, "[-]etcd fail");
        let silent = server.get("/readyz", Duration::from_millis(100)).await;
        let failure = silent.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(
            failure.message.ends_with("no answer within 0.1 s"),
            "{failure}"
        );
        drop(listener);
        let failure = server.get("/readyz", LIMIT).await.unwrap_err();
        assert!(failure.message.contains("refused"), "{failure}");
    }
}
