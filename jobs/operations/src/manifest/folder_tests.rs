//! What is said of files beside the manifests.

use std::os::unix::fs::symlink;

use super::*;

const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");
const APISERVER: &str = include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");

/// The pods and what is wrong about the other files.
fn sorted_out(files: &[(&str, &str)]) -> (Vec<String>, Vec<(String, Problem)>, Folder) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    symlink("nowhere", dir.path().join("link")).unwrap();
    std::fs::create_dir(dir.path().join("folder.yaml")).unwrap();
    let folder = Folder::read(dir.path()).unwrap();
    let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let pods = folder.pods.iter().map(|file| name(&file.path)).collect();
    let strays = folder.strays.iter();
    let strays = strays.map(|stray| (name(&stray.path), stray.problem.clone()));
    (pods, strays.collect(), folder)
}

fn reason(problem: &Problem) -> &'static str {
    match problem {
        Problem::Copy {
            same_bytes: true, ..
        } => "copy, the same",
        Problem::Copy {
            same_bytes: false, ..
        } => "copy, changed",
        Problem::SamePod { .. } => "same pod",
        Problem::SameComponent { shared, .. } => shared,
        Problem::NoManifest { .. } => "no manifest",
    }
}

#[test]
fn what_kubelet_would_run_too_is_told_apart() {
    let renamed = ETCD.replace("  name: etcd\n  namespace", "  name: etcd-old\n  namespace");
    let events = renamed
        .replace("etcd-old", "etcd-events")
        .replace("2379", "12379")
        .replace("2380", "12380")
        .replace(
            "--data-dir=/var/lib/etcd",
            "--data-dir=/var/lib/etcd-events",
        );
    let changed = ETCD.replace("10000", "20000");
    let two = format!("{ETCD}---\nkind: ConfigMap\n");
    let (pods, strays, folder) = sorted_out(&[
        ("etcd.yaml", ETCD),
        ("kube-apiserver.yaml", APISERVER),
        ("etcd.yaml.bak", ETCD),
        ("etcd.yaml~", &changed),
        ("Copy of etcd.yml", ETCD),
        ("a-first.yaml", ETCD),
        ("two.yaml", &two),
        ("old.yaml", &renamed),
        ("events.yaml", &events),
        (
            "proxy.yaml",
            "kind: Pod\nmetadata: {name: proxy}\nspec: {containers: [{name: haproxy}]}\n",
        ),
        ("README", "Do not touch!\n"),
        ("empty.yaml", ""),
        ("twice.yaml", "kind: Pod\nkind: Pod\n"),
        (".etcd.yaml.swp", "\0"),
        (".etcd.yaml.kubectl-etcd", "half"),
        (".kubectl-etcd", "no name before it"),
    ]);
    assert_eq!(
        pods,
        [
            "etcd.yaml",
            "events.yaml",
            "kube-apiserver.yaml",
            "old.yaml",
            "proxy.yaml"
        ]
    );
    let found: Vec<_> = strays
        .iter()
        .map(|(name, problem)| (name.as_str(), reason(problem)))
        .collect();
    assert_eq!(
        found,
        [
            ("Copy of etcd.yml", "copy, the same"),
            ("README", "no manifest"),
            ("a-first.yaml", "same pod"),
            ("empty.yaml", "no manifest"),
            ("etcd.yaml.bak", "copy, the same"),
            ("etcd.yaml~", "copy, changed"),
            ("link", "no manifest"),
            ("old.yaml", "data-dir"),
            ("twice.yaml", "no manifest"),
            ("two.yaml", "same pod"),
        ]
    );
    assert_eq!(
        folder.unfinished,
        [folder.path.join(".etcd.yaml.kubectl-etcd")]
    );
    let of = |component| {
        folder
            .of_component(component)
            .unwrap()
            .path
            .file_name()
            .unwrap()
    };
    assert_eq!(of("etcd"), "etcd.yaml");
    assert_eq!(of("kube-apiserver"), "kube-apiserver.yaml");
    assert!(folder.of_component("kube-scheduler").is_none());
    let said = strays
        .iter()
        .map(|(name, problem)| format!("{name}: {problem}"));
    let said: Vec<String> = said
        .map(|line| line.replace(&format!("{}/", folder.path.display()), ""))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    Copy of etcd.yml: it is a copy of etcd.yaml, and so a second manifest of the pod kube-system/etcd: kubelet runs both
    README: it is no pod's manifest
    a-first.yaml: it is a second manifest of the pod kube-system/etcd, which etcd.yaml has already: kubelet runs both
    empty.yaml: it is no pod's manifest
    etcd.yaml.bak: it is a copy of etcd.yaml, and so a second manifest of the pod kube-system/etcd: kubelet runs both
    etcd.yaml~: it is a copy of etcd.yaml, and so a second manifest of the pod kube-system/etcd: kubelet runs both
    link: could not read nowhere: No such file or directory (os error 2)
    old.yaml: it runs a second etcd with the same data-dir as etcd.yaml: only one of them can run
    twice.yaml: it is no manifest: duplicate entry with key "kind"
    two.yaml: it is a second manifest of the pod kube-system/etcd, which etcd.yaml has already: kubelet runs both
    "#);
}

#[test]
fn a_pods_own_file_is_the_one_that_is_named_so() {
    // Whatever the order of the names.
    let (pods, ..) = sorted_out(&[("a.yaml", ETCD), ("b", ETCD), ("etcd.yaml", ETCD)]);
    assert_eq!(pods, ["etcd.yaml"]);
    let (pods, ..) = sorted_out(&[("a", ETCD), ("b.json", ETCD)]);
    assert_eq!(pods, ["b.json"]);
    let (pods, strays, _) = sorted_out(&[("a~", ETCD), ("b", APISERVER)]);
    assert_eq!((pods.len(), strays.len()), (2, 1));
}

#[test]
fn a_folder_that_is_not_there_is_missing() {
    let failure = Folder::read(std::path::Path::new("/nowhere/manifests")).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing);
}
