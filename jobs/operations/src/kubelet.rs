//! The kubelet of this host: a service of systemd.

mod started;
pub(crate) mod unit;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use tokio::process::Command;
use tokio::time::timeout;

use crate::evidence::shown;
use crate::failure::Failure;
use crate::limits::SYSTEMCTL_LIMIT;
use crate::root;

use started::Started;

/// Where kubelet looks when its configuration names no other place.
pub(crate) const STATIC_PODS: &str = "/etc/kubernetes/manifests";

/// The service, as kubeadm's packages call it.
const SERVICE: &str = "kubelet";

/// The last so many lines of its log are looked through.
const LOG_LINES: &str = "400";

/// The socket of the container runtime it is told to use: by its flag (before Kubernetes 1.27), or its configuration.
pub(crate) fn runtime_socket(root: &Path) -> Option<PathBuf> {
    let started = Started::find(root);
    let by_flag = started.flag("container-runtime-endpoint");
    let told = by_flag.or_else(|| started.configured("containerRuntimeEndpoint"))?;
    let path = told.strip_prefix("unix:").unwrap_or(told);
    // Both `unix:///run/x.sock` and `unix:/run/x.sock`.
    let path = path.strip_prefix("//").unwrap_or(path);
    path.starts_with('/').then(|| path.into())
}

/// kubelet's name for this host: as it is told when it is started, else the host's own in lower case.
pub(crate) fn node_name(root: &Path) -> Result<String, Failure> {
    if let Some(name) = Started::find(root).node_name() {
        return Ok(name);
    }
    let name = root::read_text(root, "/proc/sys/kernel/hostname")
        .map_err(|error| Failure::missing(format!("could not read this host's name: {error}")))?;
    Ok(name.trim().to_lowercase())
}

/// The static pods' folder as the node knows it, of a host whose file system is found at `root`: as kubelet is told when it is
/// started, by its flag or its configuration, else where kubeadm puts it.
pub fn manifests_folder(root: &Path) -> PathBuf {
    let started = Started::find(root);
    Path::new("/").join(started.static_pods().unwrap_or(STATIC_PODS))
}

/// Whether it runs, or is just being started or ended, as systemd has it.
///
/// # Errors
/// When there is no systemd to ask.
pub(crate) async fn is_active() -> Result<bool, Failure> {
    let (_, said) = systemd("systemctl", &["is-active", SERVICE]).await?;
    Ok(matches!(
        said.as_str(),
        "active" | "activating" | "deactivating" | "reloading"
    ))
}

/// Ends it and starts it again. What it forgets by that is what keeps it from letting go of a pod whose manifest is gone
/// when it has not seen an apiserver since its start.
///
/// # Errors
/// When systemd does not do it.
pub async fn restart() -> Result<(), Failure> {
    let (ended, said) = systemd("systemctl", &["restart", SERVICE]).await?;
    if ended {
        return Ok(());
    }
    let message = format!("kubelet could not be restarted: {said}");
    Err(Failure::other(message).hint("systemctl status kubelet says why"))
}

/// What it said last of a pod since then, of what went wrong.
pub async fn last_words(pod: &str, since: Timestamp) -> Option<String> {
    let since = format!("--since=@{}", since.as_second());
    #[rustfmt::skip]
    let args = ["-u", SERVICE, &since, "-n", LOG_LINES, "-o", "cat", "--no-pager"];
    let (_, log) = systemd("journalctl", &args).await.ok()?;
    let of_pod = |line: &&str| line.contains(pod) && tells_of_pod(line);
    log.lines().rev().find(of_pod).map(words)
}

/// Whether a line tells what went wrong with a pod, and not what an apiserver that is down does not take or give.
fn tells_of_pod(line: &str) -> bool {
    const OF_APISERVER: [&str; 2] = ["mirror pod", "Failed to get status for pod"];
    line.starts_with(['E', 'W']) && !OF_APISERVER.iter().any(|words| line.contains(words))
}

/// A line of klog without time, thread and place: `E1122 12:06:41.123   412 pod_workers.go:1301] "Error syncing pod" …`.
fn words(line: &str) -> String {
    let words = line.split_once("] ").map_or(line, |(_, words)| words);
    shown(words)
}

/// The last lines of its log that are errors, the oldest first, each once.
///
/// # Errors
/// When there is no journal to ask.
pub(crate) async fn last_errors(most: usize) -> Result<Vec<String>, Failure> {
    let args = ["-u", SERVICE, "-n", LOG_LINES, "-o", "cat", "--no-pager"];
    let (_, log) = systemd("journalctl", &args).await?;
    Ok(errors(&log, most))
}

/// Lines of klog that are errors or fatal, such as `E1122 08:30:00.123456     812 file.go:108] "…"`; of those that say the
/// same the last one.
fn errors(log: &str, most: usize) -> Vec<String> {
    let said = |line: &str| line.split_once("] ").map(|(_, said)| said.to_owned());
    let mut found: Vec<(Option<String>, &str)> = Vec::new();
    for line in log.lines().rev().filter(|line| is_error(line)) {
        let said = said(line);
        if found.len() < most && !found.iter().any(|(other, _)| *other == said) {
            found.push((said, line));
        }
    }
    found.iter().rev().map(|(_, line)| shown(line)).collect()
}

fn is_error(line: &str) -> bool {
    let digits = line.get(1..5).unwrap_or_default();
    line.starts_with(['E', 'F']) && digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Runs one of systemd's programs: whether it ended well, and what it printed.
async fn systemd(program: &str, args: &[&str]) -> Result<(bool, String), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        let command = format!("{program} {}", args.join(" "));
        Failure::missing(format!("`{command}` failed: {error}"))
            .hint("it takes root and a systemd that runs kubelet")
    };
    let run = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match timeout(SYSTEMCTL_LIMIT, run).await {
        Ok(output) => output.map_err(|error| failed(&error))?,
        Err(_) => return Err(failed(&"it does not end")),
    };
    let said = if output.stderr.is_empty() {
        output.stdout
    } else {
        output.stderr
    };
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok((output.status.success(), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(flags: &str, config: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(at("/var/lib/kubelet")).unwrap();
        std::fs::write(at("/var/lib/kubelet/kubeadm-flags.env"), flags).unwrap();
        std::fs::write(at("/var/lib/kubelet/config.yaml"), config).unwrap();
        root
    }

    #[test]
    fn errors_are_told_once_and_the_oldest_first() {
        let log = "I1122 08:30:00.1 1 a.go:1] \"fine\"\n\
                   E1122 08:30:01.1 1 a.go:1] \"older\"\n\
                   E1122 08:30:02.1 1 a.go:1] \"twice\"\n\
                   E1122 08:30:03.1 1 a.go:1] \"twice\"\n\
                   Eight things\nF1122 08:30:04.1 1 a.go:1] \"last\"\n";
        assert_eq!(
            errors(log, 2),
            [
                "E1122 08:30:03.1 1 a.go:1] \"twice\"",
                "F1122 08:30:04.1 1 a.go:1] \"last\""
            ]
        );
        assert_eq!(errors(log, 9).len(), 3);
    }

    #[test]
    fn a_line_of_the_log_is_said_without_time_and_place() {
        let line = "E1122 12:06:41.123456     412 pod_workers.go:1301] \"Error syncing pod, skipping\" err=\"x\" pod=\"kube-system/etcd-m3\"";
        assert_eq!(
            words(line),
            "\"Error syncing pod, skipping\" err=\"x\" pod=\"kube-system/etcd-m3\""
        );
        assert_eq!(words("plain"), "plain");
        assert!(tells_of_pod(line));
        assert!(!tells_of_pod(&line.replace('E', "I")));
        assert!(!tells_of_pod(
            &line.replace("Error syncing pod", "Failed to get status for pod")
        ));
    }

    #[test]
    fn the_runtimes_socket_is_told_by_flag_or_configuration() {
        let config =
            "kind: KubeletConfiguration\ncontainerRuntimeEndpoint: unix:///run/crio/crio.sock\n";
        let flags =
            "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/x.sock --v=2\"\n";
        let told = |flags: &str, config: &str| runtime_socket(host(flags, config).path());
        assert_eq!(told(flags, config), Some("/run/x.sock".into()));
        assert_eq!(told("", config), Some("/run/crio/crio.sock".into()));
        let deckhouse = "containerRuntimeEndpoint: unix:/var/run/containerd/containerd.sock\n";
        let socket = "/var/run/containerd/containerd.sock";
        assert_eq!(told("", deckhouse), Some(socket.into()));
        assert_eq!(told("", ""), None);
        assert_eq!(told("", "containerRuntimeEndpoint: tcp://x\n"), None);
        assert_eq!(runtime_socket(Path::new("/none")), None);
    }
}
