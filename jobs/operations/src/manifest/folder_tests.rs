//! What is said of files beside the manifests.

use std::os::unix::fs::symlink;

use super::*;
use crate::failure::FailureKind;

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
            "proxy.yaml",
            "twice.yaml"
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
            .unwrap()
            .path
            .file_name()
            .unwrap()
    };
    assert_eq!(of("etcd"), "etcd.yaml");
    assert_eq!(of("kube-apiserver"), "kube-apiserver.yaml");
    assert!(folder.of_component("kube-scheduler").unwrap().is_none());
    let hint = folder.lacks("etdc").hint.unwrap().written();
    assert!(hint.starts_with("those there are: etcd"), "{hint}");
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

/// An etcd for events: ports, data and a name of its own.
fn events() -> String {
    ETCD.replace(
        "  name: etcd\n  namespace",
        "  name: etcd-events\n  namespace",
    )
    .replace(":2379", ":2383")
    .replace(":2380", ":2384")
    .replace(":2381", ":2385")
    .replace(
        "--data-dir=/var/lib/etcd",
        "--data-dir=/var/lib/etcd-events",
    )
}

/// The file of the etcd that is chosen among these, and the others.
fn etcds(files: &[(&str, &str)], named: Option<&str>) -> (Result<Option<String>, Failure>, usize) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let folder = Folder::read(dir.path()).unwrap().meaning(named);
    let name = |file: &ManifestFile| {
        file.path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    let found = folder.of_component("etcd");
    (
        found.map(|found| found.map(name)),
        folder.all_etcds().count(),
    )
}

#[test]
fn a_second_etcd_is_never_taken_for_the_clusters_by_its_files_name() {
    let (copied, own_label) = (
        events(),
        events().replace("component: etcd", "component: etcd-events"),
    );
    for text in [&copied, &own_label] {
        for other in ["a.yaml", "etcd-events.yaml", "zz.yaml", "a"] {
            for apiserver in [&[("kube-apiserver.yaml", APISERVER)][..], &[]] {
                let mut files = vec![("etcd.yaml", ETCD), (other, text.as_str())];
                files.extend(apiserver);
                let (found, all) = etcds(&files, None);
                assert_eq!(found.unwrap().as_deref(), Some("etcd.yaml"), "{other}");
                assert_eq!(all, 2);
                let (found, _) = etcds(&files, Some("etcd-events"));
                assert_eq!(found.unwrap().as_deref(), Some(other));
            }
        }
    }
    // The main one is gone: what the apiserver does not use is not taken for it.
    let events = ("etcd-events.yaml", copied.as_str());
    let with_apiserver = [events, ("kube-apiserver.yaml", APISERVER)];
    assert_eq!(etcds(&with_apiserver, None).0.unwrap(), None);
    assert_eq!(
        etcds(&[events], None).0.unwrap().as_deref(),
        Some("etcd-events.yaml")
    );
    let failure = etcds(&with_apiserver, Some("etcd")).0.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
}

#[test]
fn two_etcds_of_which_neither_is_known_to_be_the_clusters_are_refused() {
    let events = events();
    let other = events
        .replace("etcd-events", "etcd-other")
        .replace("238", "239");
    let files = [("a.yaml", events.as_str()), ("b.yaml", other.as_str())];
    // Both have kubeadm's container and label.
    let failure = etcds(&files, None).0.unwrap_err();
    assert!(
        failure.message.contains("etcd-events, etcd-other"),
        "{failure}"
    );
    assert_eq!(
        etcds(&files, Some("etcd-other")).0.unwrap().as_deref(),
        Some("b.yaml")
    );
}

#[test]
fn an_etcd_that_a_plan_runs_on_a_copy_is_nobodys() {
    let alone = ETCD.replace(
        "  name: etcd\n  namespace",
        "  name: kubectl-etcd-alone\n  namespace",
    );
    let (found, all) = etcds(&[("kubectl-etcd-alone.yaml", &alone)], None);
    assert_eq!((found.unwrap(), all), (None, 0));
}

#[test]
fn an_etcd_with_a_folder_of_its_own_at_the_same_path_is_no_stray() {
    let events = events()
        .replace(
            "--data-dir=/var/lib/etcd-events",
            "--data-dir=/var/lib/etcd",
        )
        .replace("path: /var/lib/etcd\n", "path: /srv/events\n");
    let (_, strays, _) = sorted_out(&[("etcd.yaml", ETCD), ("a.yaml", &events)]);
    let strays: Vec<_> = strays.iter().filter(|(name, _)| name != "link").collect();
    assert_eq!(strays.len(), 0, "{strays:?}");
    // Of two that cannot run together the cluster's own is the one that stays.
    let same = events.replace("/srv/events", "/var/lib/etcd");
    let (_, strays, _) = sorted_out(&[("etcd.yaml", ETCD), ("a.yaml", &same)]);
    assert!(
        strays
            .iter()
            .any(|(name, problem)| name == "a.yaml" && reason(problem) == "data-dir"),
        "{strays:?}"
    );
}
