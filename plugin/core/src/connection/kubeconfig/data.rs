//! Certificates and keys: in the kubeconfig, or in files that it names.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etcd_datadir::disk::read_up_to;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::file::{Cluster, User, given};

/// The largest file, in bytes: the authorities of a whole operating system have some 200 KiB.
const LARGEST: u64 = 16 << 20;

/// Whose signature on the apiserver's certificate counts.
pub(super) enum Authorities {
    /// Theirs, as DER.
    Given(Vec<Vec<u8>>),
    /// Those of whom this host's operating system says so.
    OfThisHost,
}

/// A client certificate and its key: PEM in base64, as kube takes them.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A cluster's authorities; an error says what about it is wrong, as in "the cluster …".
pub(super) fn authorities(cluster: &Cluster) -> Result<Authorities, String> {
    let Some(pem) = authority_pem(cluster)? else {
        return Ok(Authorities::OfThisHost);
    };
    let mut store = RootCertStore::empty();
    // One that cannot be read does not keep the others from counting, as with client-go.
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    let good = certificates.filter(|certificate| store.add(certificate.clone()).is_ok());
    let good: Vec<Vec<u8>> = good.map(|certificate| certificate.to_vec()).collect();
    match good.is_empty() {
        true => Err("has a certificate authority in which there is no PEM certificate".to_owned()),
        false => Ok(Authorities::Given(good)),
    }
}

/// The text in which a cluster's authorities are.
pub(super) fn authority_pem(cluster: &Cluster) -> Result<Option<Vec<u8>>, String> {
    read(
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
        "certificate-authority",
    )
}

/// A user's client certificate; an error says what about it is wrong, as in "the user …".
pub(super) fn identity(user: &User) -> Result<Option<Identity>, String> {
    let certificate = read(
        &user.client_certificate_data,
        &user.client_certificate,
        "client-certificate",
    )?;
    let key = read(&user.client_key_data, &user.client_key, "client-key")?;
    let Some(certificate) = certificate else {
        // A key alone identifies nobody, as with client-go.
        return Ok(None);
    };
    let Some(key) = key else {
        return Err("has a client-certificate without its client-key".to_owned());
    };
    if !CertificateDer::pem_slice_iter(&certificate).any(|found| found.is_ok()) {
        return Err("has a client-certificate in which there is no PEM certificate".to_owned());
    }
    if PrivateKeyDer::from_pem_slice(&key).is_err() {
        return Err(
            "has a client-key in which there is no PEM key without a passphrase".to_owned(),
        );
    }
    Ok(Some(Identity {
        certificate: STANDARD.encode(&certificate),
        key: STANDARD.encode(&key),
    }))
}

/// What is given in base64 or as a path, with a line break at its end; none: neither.
fn read(
    data: &Option<String>,
    path: &Option<String>,
    what: &str,
) -> Result<Option<Vec<u8>>, String> {
    let mut bytes = match (given(data), given(path)) {
        (Some(_), Some(_)) => {
            return Err(format!("has {what} and {what}-data: remove one of them"));
        }
        (Some(data), None) => {
            // Line breaks in it are none of its content.
            let data: String = data.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let decoded = STANDARD.decode(data);
            decoded.map_err(|error| format!("has {what}-data that is not base64: {error}"))?
        }
        (None, Some(path)) => read_up_to(Path::new(path), LARGEST)
            .map_err(|error| format!("has the {what} {path}, which cannot be read: {error}"))?,
        (None, None) => return Ok(None),
    };
    if bytes.last().is_some_and(|last| *last != b'\n') {
        bytes.push(b'\n');
    }
    Ok(Some(bytes))
}
