//! A host's database counted, and its cluster known, from real files.

#[path = "../../../datadir/tests/support/mod.rs"]
#[expect(
    dead_code,
    reason = "made for the library's own tests, where all of it is used"
)]
mod support;

use std::fs::File;
use std::path::{Path, PathBuf};

use etcd_datadir::records::Revision;
use support::bolt::{Shape, build};
use support::model::{History, Model, Stored, encode};

use super::*;
use crate::failure::FailureKind;
use crate::manifest::Selection;

const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
const APISERVER: &str = include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");
const UID: &str = "0b6f1c9e-3f6e-4a52-9d0c-2f1f0a4b8c11";

struct Host {
    root: tempfile::TempDir,
}

impl Host {
    /// With etcd's and the apiserver's manifests, and nothing that answers.
    fn new() -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
        };
        let etcd = ETCD.replace("10.0.0.1", "127.0.0.7");
        host.write("etc/kubernetes/manifests/etcd.yaml", etcd.as_bytes());
        let apiserver = APISERVER.as_bytes();
        host.write("etc/kubernetes/manifests/kube-apiserver.yaml", apiserver);
        host.write("proc/sys/kernel/hostname", b"cp-1\n");
        host
    }

    fn write(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn database(&self, model: &Model) -> PathBuf {
        let file = build(&model.buckets(), &Shape::default());
        self.write("var/lib/etcd/member/snap/db", &file)
    }

    async fn since(&self, after: u64) -> Result<Since, Failure> {
        since(self.root.path(), &Selection::default(), after, &mut |_| ()).await
    }
}

/// These keys one after another, from a revision on; those without a value are deleted.
fn model(objects: &[(&str, Option<&str>)]) -> (Model, u64) {
    let mut model = Model::new(&History {
        changes: 30,
        keys: 12,
        value_len: 60,
        compacted_percent: 40,
        seed: 9,
    });
    let before = model.current;
    for (key, value) in objects {
        model.current += 1;
        let main = model.current;
        let value = value.unwrap_or_default().as_bytes();
        model.stored.push(Stored {
            revision: Revision { main, sub: 0 },
            deletion: value.is_empty(),
            key: key.as_bytes().to_vec(),
            value: encode(key.as_bytes(), [main, main, 1], value),
        });
    }
    (model, before)
}

fn ca() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::default();
    params.self_signed(&key).unwrap().pem()
}

#[tokio::test]
async fn objects_changed_after_a_revision_are_told_by_kind_and_so_is_the_cluster() {
    let (host, pem) = (Host::new(), ca());
    host.write("etc/kubernetes/pki/ca.crt", pem.as_bytes());
    let namespace = format!(r#"{{"kind":"Namespace","metadata":{{"uid":"{UID}"}}}}"#);
    let root_ca = serde_json::json!({"kind": "ConfigMap", "data": {"ca.crt": pem}}).to_string();
    let (model, before) = model(&[
        ("/registry/namespaces/kube-system", Some(&namespace)),
        (
            "/registry/configmaps/kube-system/kube-root-ca.crt",
            Some(&root_ca),
        ),
        ("/registry/configmaps/default/a", Some("1")),
        ("/registry/configmaps/default/a", Some("2")),
        ("/registry/configmaps/default/gone", Some("1")),
        ("/registry/configmaps/default/gone", None),
        ("/registry/leases/kube-node-lease/m1", Some("1")),
    ]);
    let database = host.database(&model);
    let found = host.since(before).await.unwrap();
    let kinds: Vec<(&str, u64, u64)> = found
        .changes
        .kinds
        .iter()
        .map(|kind| (kind.kind.as_str(), kind.written, kind.deleted))
        .collect();
    assert_eq!(
        kinds,
        [("configmaps", 2, 1), ("leases", 1, 0), ("namespaces", 1, 0)]
    );
    assert!(found.changes.deletions_complete);
    assert_eq!(found.changes.revision, before + 7);
    assert_eq!(found.identity.namespace_uid.as_deref(), Some(UID));
    // What was compacted may have been deletions.
    assert!(!host.since(1).await.unwrap().changes.deletions_complete);

    // The CA is the one that the apiserver was given.
    let told = Box::pin(look(
        host.root.path(),
        &Selection::default(),
        &LookOptions::default(),
        &mut |_| {},
    ))
    .await;
    let apiserver = told.apiserver.ok().unwrap();
    let here = apiserver.client_ca.as_ref().unwrap().ok().unwrap();
    assert_eq!((here, here.len()), (&found.identity.ca, 1));

    // An etcd that has its lock and does not answer has its file read.
    let etcd = File::open(database).unwrap();
    etcd.lock().unwrap();
    assert_eq!(host.since(before).await.unwrap(), found);
}

#[tokio::test]
async fn what_cannot_be_counted_says_why() {
    let host = Host::new();
    let failure = host.since(7).await.unwrap_err();
    assert!(failure.message.contains("snap/db"), "{failure}");
    host.write("var/lib/etcd/member/snap/db", &[7; 20_000]);
    let failure = host.since(7).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Corrupt, "{failure}");
    let nobody = tempfile::tempdir().unwrap();
    let failure = since(nobody.path(), &Selection::default(), 7, &mut |_| ())
        .await
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing);

    let told = Box::pin(look(
        host.root.path(),
        &Selection::default(),
        &LookOptions::default(),
        &mut |_| {},
    ))
    .await;
    let apiserver = told.apiserver.ok().unwrap();
    let ca = apiserver.client_ca.as_ref().unwrap().failure().unwrap();
    assert!(ca.message.contains("/etc/kubernetes/pki/ca.crt"), "{ca}");
}

#[test]
fn certificates_are_told_apart_and_nothing_else_is_one() {
    let (one, other) = (ca(), ca());
    let fingerprints = |text: &str| super::certificates::fingerprints(text.as_bytes());
    assert_eq!(fingerprints(&format!("{one}{other}{one}")).len(), 2);
    assert!(fingerprints(&one).is_disjoint(&fingerprints(&other)));
    assert!(fingerprints("nothing").is_empty());
    let with_text = format!("# the CA\n{one}\n-----BEGIN CERTIFICATE-----\n!!\n");
    assert_eq!(fingerprints(&with_text), fingerprints(&one));
    assert!(Path::new(ETCD_PREFIX).is_absolute());
}
