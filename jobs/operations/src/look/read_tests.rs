//! Tests of what is read of manifests.

use super::*;
use crate::failure::FailureKind;

const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
const APISERVER: &str = include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");
const PODS: &str = "/etc/kubernetes/manifests";

fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join(&PODS[1..])).unwrap();
    for (path, text) in files {
        let path = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn found(files: &[(&str, &str)]) -> Read {
    let nothing = Selection::default();
    read(host(files).path(), Path::new(PODS), &nothing).unwrap()
}

#[test]
fn the_folder_tells_pods_and_what_is_in_their_way() {
    let found = found(&[
        ("/etc/kubernetes/manifests/etcd.yaml", ETCD),
        ("/etc/kubernetes/manifests/etcd.yaml.bak", ETCD),
        ("/etc/kubernetes/manifests/kube-apiserver.yaml", APISERVER),
        ("/etc/kubernetes/manifests/.etcd.yaml.kubectl-etcd", "half"),
    ]);
    let told = &found.told;
    let components: Vec<_> = told.pods.iter().map(|pod| pod.component).collect();
    assert_eq!(
        components,
        [Some(ControlPlane::Etcd), Some(ControlPlane::Apiserver)]
    );
    assert_eq!(told.strays.len(), 1);
    assert_eq!(told.strays[0].kind, StrayKind::Copy);
    assert_eq!(told.strays[0].component, Some(ControlPlane::Etcd));
    assert_eq!(told.unfinished.len(), 1);
    assert_eq!(told.aside.ok().unwrap(), &[]);
    let etcd = found.etcd("cp-1").unwrap();
    assert_eq!(etcd.place, Place::Folder);
    assert!(!etcd.force_new_cluster);
    assert_eq!(etcd.target.pod, "etcd-cp-1");
    let root = Path::new("/no/such");
    assert_eq!(found.apiserver(root).unwrap().url, "https://127.0.0.1:6443");
}

#[test]
fn a_stopped_etcd_is_known_by_the_newest_manifest_put_aside() {
    let older = "/var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z.stopped";
    let newer = "/var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-21T210000Z.stopped";
    let forced = ETCD.replace("    - etcd\n", "    - etcd\n    - --force-new-cluster\n");
    let root = host(&[
        (older, ETCD),
        (newer, &forced),
        (
            "/var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T220000Z.changed",
            ETCD,
        ),
    ]);
    let found = read(root.path(), Path::new(PODS), &Selection::default()).unwrap();
    assert_eq!(found.told.aside.ok().unwrap().len(), 3);
    let etcd = found.etcd("cp-1").unwrap();
    assert_eq!(etcd.place, Place::Aside);
    assert!(etcd.force_new_cluster && etcd.manifest.ends_with(&newer[1..]));
    let failure = found.apiserver(root.path()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing);
}

/// An etcd for events beside the main one.
fn events() -> String {
    ETCD.replace(
        "  name: etcd\n  namespace",
        "  name: etcd-events\n  namespace",
    )
    .replace(":2379", ":2383")
    .replace(":2380", ":2384")
    .replace("/var/lib/etcd", "/var/lib/etcd-events")
}

#[test]
fn another_etcd_is_listed_and_is_not_the_one_that_is_looked_at() {
    let found = found(&[
        ("/etc/kubernetes/manifests/etcd-events.yaml", &events()),
        ("/etc/kubernetes/manifests/etcd.yaml", ETCD),
        ("/etc/kubernetes/manifests/kube-apiserver.yaml", APISERVER),
    ]);
    let etcd = found.etcd("cp-1").unwrap();
    assert_eq!(etcd.pod, "etcd");
    assert!(etcd.manifest.ends_with("etcd.yaml"));
    let told = &found.told;
    assert_eq!(told.of(ControlPlane::Etcd).unwrap().pod.name, "etcd");
    let others: Vec<&str> = told
        .pods
        .iter()
        .filter(|pod| pod.other_etcd)
        .map(|pod| pod.pod.name.as_str())
        .collect();
    assert_eq!(others, ["etcd-events"]);
}

#[test]
fn a_stopped_etcd_is_not_replaced_by_another_one_in_the_folder() {
    const STOPPED: &str = "/var/lib/kubectl-etcd/manifests/etcd.yaml-2026-11-20T210000Z.stopped";
    let events = events();
    let with = (
        "/etc/kubernetes/manifests/etcd-events.yaml",
        events.as_str(),
    );
    let apiserver = ("/etc/kubernetes/manifests/kube-apiserver.yaml", APISERVER);
    // The apiserver may have been stopped too, and its manifest still says what it uses.
    let stopped_apiserver = (
        "/var/lib/kubectl-etcd/manifests/kube-apiserver.yaml-2026-11-20T210000Z.stopped",
        APISERVER,
    );
    for files in [
        &[with, (STOPPED, ETCD), apiserver][..],
        &[with, (STOPPED, ETCD), stopped_apiserver],
        &[with, (STOPPED, ETCD)],
    ] {
        let root = host(files);
        let nothing = Selection::default();
        let found = read(root.path(), Path::new(PODS), &nothing).unwrap();
        let etcd = found.etcd("cp-1").unwrap();
        assert_eq!((etcd.place, etcd.pod.as_str()), (Place::Aside, "etcd"));
        let named = Selection {
            etcd: Some("etcd-events".into()),
            ..Selection::default()
        };
        let found = read(root.path(), Path::new(PODS), &named).unwrap();
        let etcd = found.etcd("cp-1").unwrap();
        assert_eq!(
            (etcd.place, etcd.pod.as_str()),
            (Place::Folder, "etcd-events")
        );
    }
    // Nothing was stopped: there is no manifest of the etcd that the apiserver uses.
    let root = host(&[with, apiserver]);
    let found = read(root.path(), Path::new(PODS), &Selection::default()).unwrap();
    assert_eq!(found.etcd("cp-1").unwrap_err().kind, FailureKind::Missing);
}

#[test]
fn an_apiserver_is_asked_where_it_listens() {
    let url = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        apiserver_url(&Flags::parse(&[], &words, &[]).unwrap())
    };
    assert_eq!(url(&[]), "https://127.0.0.1:6443");
    assert_eq!(
        url(&["--secure-port=7443", "--bind-address=10.0.0.1"]),
        "https://10.0.0.1:7443"
    );
    assert_eq!(url(&["--bind-address=fd00::1"]), "https://[fd00::1]:6443");
    assert_eq!(url(&["--bind-address=::"]), "https://127.0.0.1:6443");
}
