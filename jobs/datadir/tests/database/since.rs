//! What was changed after a revision, and which cluster it is.

use std::collections::BTreeMap;

use crate::equal::{histories, shapes};
use crate::support::bolt::{Shape, build};
use crate::support::model::{History, Model, Stored, encode};
use etcd_datadir::identity::{Identity, identity};
use etcd_datadir::kubernetes::object_name;
use etcd_datadir::progress::ignore;
use etcd_datadir::records::Revision;
use etcd_datadir::since::{Changed, commit, since};
use etcd_datadir::source::MemorySource;
use etcd_datadir::verify::{VerifyOptions, verify};
use proptest::prelude::*;

const UID: &str = "0b6f1c9e-3f6e-4a52-9d0c-2f1f0a4b8c11";

/// By the plain rule: each key by its last change, if that is later.
fn changed(model: &Model, after: u64) -> BTreeMap<String, Changed> {
    let latest = model.latest(u64::MAX);
    let mut kinds: BTreeMap<String, Changed> = BTreeMap::new();
    for change in &model.stored {
        if change.revision.main <= after || latest.get(&change.key) != Some(&change.revision) {
            continue;
        }
        let kind = object_name(&change.key, "/registry").unwrap().resource;
        let counts = kinds.entry(kind.into_owned()).or_default();
        match change.deletion {
            true => counts.deleted += 1,
            false => counts.written += 1,
        }
    }
    kinds
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_changed_since_is_counted(shape in shapes(), history in histories(), part in 0..=100u64) {
        let model = Model::new(&history);
        let source = MemorySource::new("test", build(&model.buckets(), &shape));
        for after in [0, model.current * part / 100, model.current] {
            let (found, _) = since(&source, "/registry", after, &mut ignore).unwrap();
            prop_assert_eq!(&found.kinds, &changed(&model, after), "after {}", after);
            prop_assert_eq!(found.revision, model.stored.last().map_or(0, |change| change.revision.main));
            prop_assert_eq!(found.compacted, model.compacted.unwrap_or(0));
        }
        prop_assert_eq!(commit(&source).unwrap(), 8);
    }
}

/// A history of nobody's objects, with these after it.
fn with(objects: &[(&str, Option<Vec<u8>>)]) -> MemorySource {
    let history = History {
        changes: 40,
        keys: 9,
        value_len: 90,
        compacted_percent: 0,
        seed: 5,
    };
    let model = Model::new(&history);
    of(model.stored, objects)
}

/// These changes, with these objects after them.
fn of(stored: Vec<Stored>, objects: &[(&str, Option<Vec<u8>>)]) -> MemorySource {
    let history = History {
        changes: 40,
        keys: 9,
        value_len: 90,
        compacted_percent: 0,
        seed: 5,
    };
    let mut model = Model {
        stored,
        ..Model::new(&history)
    };
    for (key, value) in objects {
        model.current += 1;
        let main = model.current;
        let numbers = [main, main, 1];
        model.stored.push(Stored {
            revision: Revision { main, sub: 0 },
            deletion: value.is_none(),
            key: key.as_bytes().to_vec(),
            value: encode(
                key.as_bytes(),
                numbers,
                value.as_deref().unwrap_or_default(),
            ),
        });
    }
    MemorySource::new("test", build(&model.buckets(), &Shape::default()))
}

fn namespace() -> Vec<u8> {
    format!(r#"{{"kind":"Namespace","metadata":{{"uid":"{UID}"}}}}"#).into()
}

fn config_map(key: &str, text: &str) -> Vec<u8> {
    format!(r#"{{"kind":"ConfigMap","data":{{"{key}":"{text}"}}}}"#).into()
}

#[test]
fn a_cluster_is_known_by_its_namespace_and_its_ca() {
    let source = with(&[
        ("/registry/namespaces/kube-system", Some(namespace())),
        (
            "/registry/configmaps/kube-system/kube-root-ca.crt",
            Some(config_map("ca.crt", "old")),
        ),
        (
            "/registry/configmaps/kube-system/kube-root-ca.crt",
            Some(config_map("ca.crt", "new")),
        ),
        (
            "/registry/configmaps/default/kube-root-ca.crt",
            Some(config_map("ca.crt", "of nobody")),
        ),
        (
            "/registry/configmaps/kube-system/extension-apiserver-authentication",
            Some(config_map("client-ca-file", "told")),
        ),
    ]);
    let known = Identity {
        namespace_uid: Some(UID.into()),
        ca: vec!["new".into(), "told".into()],
        encrypted: false,
    };
    assert_eq!(identity(&source, "/registry", &mut ignore).unwrap(), known);
    let slash = identity(&source, "/registry/", &mut ignore).unwrap();
    assert_eq!(slash, known);
    let other = identity(&source, "/other", &mut ignore).unwrap();
    assert_eq!(other, Identity::default());
    assert_eq!(
        since(&source, "/registry", 1, &mut ignore).unwrap().1,
        known
    );
}

#[test]
fn what_is_encrypted_or_deleted_tells_nothing() {
    let encrypted = b"k8s:enc:aescbc:v1:key1:\x00\x01\x02".to_vec();
    let source = with(&[
        ("/registry/namespaces/kube-system", Some(encrypted)),
        (
            "/registry/configmaps/kube-system/kube-root-ca.crt",
            Some(config_map("ca.crt", "old")),
        ),
        ("/registry/configmaps/kube-system/kube-root-ca.crt", None),
    ]);
    let found = identity(&source, "/registry", &mut ignore).unwrap();
    assert!(found.encrypted && found.namespace_uid.is_none());
    assert_eq!(found.ca, [""; 0]);
}

#[test]
fn what_is_nobodys_object_is_not_counted() {
    let source = with(&[
        ("compact_rev_key", Some(b"7".to_vec())),
        ("foreign", Some(b"x".to_vec())),
        ("/registry/leases/kube-node-lease/m1", Some(b"x".to_vec())),
    ]);
    let before = since(&source, "/registry", u64::MAX, &mut ignore)
        .unwrap()
        .0;
    let (found, _) = since(&source, "/registry", before.revision - 3, &mut ignore).unwrap();
    let one = Changed {
        written: 1,
        deleted: 0,
    };
    let wanted = [("".to_owned(), one), ("leases".to_owned(), one)];
    assert_eq!(found.kinds, BTreeMap::from(wanted));
}

#[test]
fn a_database_without_an_object_of_kubernetes_is_told_from_a_clusters() {
    let has_objects = |objects: &[(&str, Option<Vec<u8>>)]| {
        let source = of(Vec::new(), objects);
        let options = VerifyOptions::default();
        let found = verify(&source, &options, None, &mut ignore).unwrap();
        found.status.unwrap().has_objects
    };
    let value = |text: &str| Some(text.as_bytes().to_vec());
    assert!(!has_objects(&[]));
    let foreign = ("/calico/v1/host", value("x"));
    let event = ("/registry/events/default/a.17", value("k8s\0\n"));
    assert!(!has_objects(&[foreign.clone(), event.clone()]));
    assert!(has_objects(&[
        foreign,
        event,
        ("/other/pods/default/a", value("k8s\0\n"))
    ]));
    assert!(has_objects(&[("/registry/pods/default/a", value("x"))]));
    assert!(!has_objects(&[("/registry/pods/default/a", None)]));
}
