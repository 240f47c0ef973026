//! The program under the name kubectl asks for completions.

use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn kubectl_is_answered_in_its_own_format() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("kubectl_complete-etcd");
    symlink(env!("CARGO_BIN_EXE_kubectl-etcd"), &link).unwrap();
    let output = Command::new(&link)
        .args(["snapshot", "ver"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("verify\t"), "{text}");
    assert_eq!(lines[1], ":4");
}

#[test]
fn an_unreachable_cluster_costs_a_moment_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("kubectl_complete-etcd");
    symlink(env!("CARGO_BIN_EXE_kubectl-etcd"), &link).unwrap();
    let begun = std::time::Instant::now();
    let output = Command::new(&link)
        // An address of TEST-NET-1: packets to it go nowhere.
        .args(["status", "--server", "https://192.0.2.1:6443", "--node", ""])
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ":4\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn contexts_are_those_of_the_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let (link, config) = (
        folder.path().join("kubectl_complete-etcd"),
        folder.path().join("config"),
    );
    symlink(env!("CARGO_BIN_EXE_kubectl-etcd"), &link).unwrap();
    let text = r#"{"kind": "Config", "apiVersion": "v1", "contexts": [
        {"name": "prod", "context": {"cluster": "p"}}, {"name": "test", "context": {"cluster": "t"}}]}"#;
    std::fs::write(&config, text).unwrap();
    let output = Command::new(&link)
        .args(["--context", "pr"])
        .env("KUBECONFIG", &config)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "prod\tcontext\n:4\n"
    );
}

#[test]
fn the_link_is_made_once_and_never_over_somebody_elses_file() {
    let folder = tempfile::tempdir().unwrap();
    let install = || {
        Command::new(env!("CARGO_BIN_EXE_kubectl-etcd"))
            .args(["completion", "kubectl", "--install-to"])
            .arg(folder.path())
            .output()
            .unwrap()
    };
    assert!(install().status.success());
    let link = folder.path().join("kubectl_complete-etcd");
    assert!(link.read_link().unwrap().is_absolute());
    assert!(install().status.success(), "a second time changes nothing");
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, "mine").unwrap();
    assert_eq!(install().status.code(), Some(5));
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "mine");
}

/// `kubectl etcd … | head`: that nobody reads any more is no error, and no noise.
#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-etcd"))
        .args(["completion", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
