//! Why a server closed a TLS connection: a handshake of our own that then only listens.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::causes::failure_saying;
use super::{TlsMaterial, host};
use crate::failure::Failure;
use crate::limits::PROBE_LIMIT;

/// What the server says against the handshake or the client's certificate; none when it says nothing.
pub(super) fn refusal(tls: &TlsMaterial, url: &str) -> Option<Failure> {
    let authority = url.strip_prefix("https://")?.trim_end_matches('/');
    let address = authority.to_socket_addrs().ok()?.next()?;
    let mut socket = TcpStream::connect_timeout(&address, PROBE_LIMIT).ok()?;
    socket.set_read_timeout(Some(PROBE_LIMIT)).ok()?;
    socket.set_write_timeout(Some(PROBE_LIMIT)).ok()?;
    let name = ServerName::try_from(host(authority).to_owned()).ok()?;
    let config = match config(tls) {
        Ok(config) => config,
        Err(error) => return Some(failure_saying(&error.to_string(), url)),
    };
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut stream = rustls::Stream::new(&mut connection, &mut socket);
    // The server has nothing to say before we do, unless it is this. Its first words in HTTP/2 are as good as none.
    match stream.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            let said = error
                .get_ref()
                .map_or_else(|| error.to_string(), ToString::to_string);
            Some(failure_saying(&said, url))
        }
        _ => None,
    }
}

fn config(tls: &TlsMaterial) -> Result<ClientConfig, rustls::Error> {
    let unreadable = |what: &str| rustls::Error::General(format!("the {what} is not understood"));
    let certificates = |pem: &[u8], what: &str| {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        certificates.map_err(|_| unreadable(what))
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&tls.ca, "CA certificate")?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(
            certificates(&tls.cert, "client certificate")?,
            PrivateKeyDer::from_pem_slice(&tls.key).map_err(|_| unreadable("client key"))?,
        )?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
