//! The certificates that the control plane of this host is told to use, and their dates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::failure::{Answer, Failure};
use crate::flags::named_paths;
use crate::limits::CERTIFICATE_BYTES;
use crate::manifest::ManifestFile;
use crate::root;
use crate::transfer::hex;
use crate::yaml;

/// What no manifest names: what kubelet shows to the apiserver and to those who ask it, and the administrator's.
const OTHERS: [(&str, &str); 3] = [
    ("/var/lib/kubelet/pki/kubelet-client-current.pem", "kubelet"),
    ("/var/lib/kubelet/pki/kubelet.crt", "kubelet"),
    ("/etc/kubernetes/admin.conf", "the administrator"),
];

/// A certificate's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateLook {
    /// The file: of certificates, or a kubeconfig with one in it.
    pub path: PathBuf,
    /// Who uses it: pods by their manifests' names, `kubelet`, `the administrator`.
    pub named_by: Vec<String>,
    /// From when to when it is good; of several in the file, the time in which all are.
    pub dates: Answer<Dates>,
}

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dates {
    /// It is not good before.
    pub not_before: Timestamp,
    /// It is not good after.
    pub not_after: Timestamp,
}

/// Looks at every file that a manifest names and that is one of certificates, by what is in it, and at kubelet's own.
pub(super) fn look(root: &Path, node: &str, pods: &[ManifestFile]) -> Vec<CertificateLook> {
    let mut named: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for file in pods {
        for path in named_paths(&file.manifest.facts(node)) {
            let by = named.entry(path).or_default();
            by.insert(file.manifest.pod().name);
        }
    }
    for (path, by) in OTHERS {
        let path = PathBuf::from(path);
        if root::below(root, &path).is_ok_and(|path| path.exists()) {
            named.entry(path).or_default().insert(by.to_owned());
        }
    }
    let looked = named.into_iter().filter_map(|(path, by)| {
        let dates = of_file(root, &path)?;
        Some(CertificateLook {
            path,
            named_by: by.into_iter().collect(),
            dates: dates.into(),
        })
    });
    looked.collect()
}

/// The dates of a file's certificates; none: it is no such file.
fn of_file(root: &Path, path: &Path) -> Option<Result<Dates, Failure>> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let by_name = matches!(ending, Some("crt" | "cert" | "cer"));
    if ending == Some("key") {
        return None;
    }
    let failed = |why: &dyn std::fmt::Display| {
        let message = format!("{}: {why}", path.display());
        Failure::missing(message)
    };
    let bytes = match read(root, path) {
        Ok(bytes) => bytes,
        Err(error) => return by_name.then(|| Err(failed(&error))),
    };
    let pem = match embedded(&bytes) {
        Some(pem) => pem,
        None if contains(&bytes, b"-----BEGIN CERTIFICATE-----") => bytes,
        None if by_name => return Some(Err(failed(&"there is no certificate in it"))),
        None => return None,
    };
    Some(dates(&pem).map_err(|why| failed(&why)))
}

pub(super) fn read(root: &Path, path: &Path) -> std::io::Result<Vec<u8>> {
    let path = root::below(root, path)?;
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(CERTIFICATE_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

/// The client certificates in a kubeconfig, one behind another; none: there are none in it.
fn embedded(bytes: &[u8]) -> Option<Vec<u8>> {
    if !contains(bytes, b"client-certificate-data") {
        return None;
    }
    let config: Value = yaml::read(std::str::from_utf8(bytes).ok()?).ok()?;
    let users = config.get("users")?.as_array()?;
    let data = users.iter().filter_map(|user| {
        let data = user.get("user")?.get("client-certificate-data")?.as_str()?;
        STANDARD.decode(data.trim()).ok()
    });
    let pem: Vec<u8> = data.flatten().collect();
    (!pem.is_empty()).then_some(pem)
}

/// The time in which all certificates of a text are good.
fn dates(pem: &[u8]) -> Result<Dates, String> {
    let mut all: Option<Dates> = None;
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| error.to_string())?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        let validity = certificate.validity();
        let time =
            |seconds: i64| Timestamp::from_second(seconds).map_err(|error| error.to_string());
        let one = Dates {
            not_before: time(validity.not_before.timestamp())?,
            not_after: time(validity.not_after.timestamp())?,
        };
        all = Some(all.map_or(one, |all| Dates {
            not_before: all.not_before.max(one.not_before),
            not_after: all.not_after.min(one.not_after),
        }));
    }
    all.ok_or_else(|| "there is no certificate in it".to_owned())
}

/// The certificates in a PEM text, each by the SHA-256 of its DER form. What is no certificate is passed over.
pub(super) fn fingerprints(pem: &[u8]) -> BTreeSet<String> {
    let all = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    all.map(|der| hex(&Sha256::digest(&der))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn dates_are_read_from_files_and_kubeconfigs() {
        let (root, pem) = (tempfile::tempdir().unwrap(), certificate());
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
        write("a.crt", &pem);
        write(
            "b.conf",
            &format!(
                "users:\n- name: x\n  user:\n    client-certificate-data: {}\n",
                STANDARD.encode(&pem)
            ),
        );
        write("c.crt", "nothing");
        write("d.yaml", "nothing");
        write("e.key", &pem);
        let found = |name: &str| of_file(root.path(), &Path::new("/").join(name));
        let dates = found("a.crt").unwrap().unwrap();
        assert_eq!(dates.not_before.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(dates.not_after.to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(found("b.conf").unwrap().unwrap(), dates);
        assert!(found("c.crt").unwrap().is_err());
        assert!(found("gone.crt").unwrap().is_err());
        assert!(found("d.yaml").is_none() && found("e.key").is_none() && found("gone").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (embedded(&bytes), dates(&bytes));
            let pem = format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                STANDARD.encode(&bytes)
            );
            prop_assert!(dates(pem.as_bytes()).is_err());
        }
    }
}
