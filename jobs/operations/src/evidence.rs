//! What a node shows of an etcd that does not answer: the lock on its database, the file, and its last words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use etcd_datadir::lock::{Holder, database_holder};
use serde_json::Value;

use crate::limits::LOG_TAIL_BYTES;
use crate::report::NodeEvidence;
use crate::target::Target;

/// Where kubelet keeps containers' logs: `NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`.
pub(crate) const POD_LOGS: &str = "/var/log/pods";

/// How much of a line is given back.
const WORDS_CHARS: usize = 400;

/// Looks at the node. What cannot be seen is left out.
pub fn gather(target: &Target) -> NodeEvidence {
    let db = target.data_dir.join("member/snap/db");
    let logs = logs(Path::new(POD_LOGS), &target.pod);
    NodeEvidence {
        db_locked: is_locked(&db),
        db_file_bytes: db.metadata().ok().map(|metadata| metadata.len()),
        restarts: logs.last().map(|log| log.restarts),
        // The newest container may have only just begun: then the one before it has something to say.
        last_words: logs
            .iter()
            .rev()
            .take(2)
            .find_map(|log| last_words(&log.path)),
    }
}

/// Whether a process holds etcd's lock on its database; none when that cannot be told. Looking disturbs an etcd that
/// is just starting for 50 ms at most ([`etcd_datadir::lock`] says why).
fn is_locked(db: &Path) -> Option<bool> {
    let file = File::open(db).ok()?;
    let holder = database_holder(&file, &db.display().to_string()).ok()?;
    Some(holder == Holder::Etcd)
}

/// The log of a container.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    restarts: u32,
    written: std::time::SystemTime,
}

/// The logs of a pod's containers, oldest first. A pod whose manifest changed has a folder for each of its lives.
pub(crate) fn logs(root: &Path, pod: &str) -> Vec<Log> {
    let marker = format!("_{pod}_");
    let mut logs: Vec<Log> = entries(root)
        .filter(|path| name(path).contains(&marker))
        .flat_map(|pod| entries(&pod).collect::<Vec<_>>())
        .flat_map(|container| entries(&container).collect::<Vec<_>>())
        .filter_map(|path| {
            let restarts = name(&path).strip_suffix(".log")?.parse().ok()?;
            let written = path.metadata().ok()?.modified().ok()?;
            Some(Log {
                path,
                restarts,
                written,
            })
        })
        .collect();
    logs.sort_by_key(|log| (log.written, log.restarts));
    logs
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("")
}

/// Among an etcd's last words: with the data it has it never comes back.
pub(crate) const REMOVED: &str = "permanently removed from the cluster";

/// What a listener dies of when its server stops for a reason of its own, told before: etcd logs it as fatal.
const CONSEQUENCE: &str = "server is stopping";

/// The last line of a log that says why etcd ended.
pub(crate) fn last_words(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL_BYTES)))
        .ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    why_ended(&text).map(|words| shown(&words))
}

fn why_ended(text: &str) -> Option<String> {
    let mut fatal = text.lines().rev().filter_map(said).filter_map(fatal_words);
    let last = fatal.next()?;
    if last.ends_with(CONSEQUENCE) {
        return fatal.next().or(Some(last));
    }
    Some(last)
}

/// What the container wrote: the log's format puts time, stream and `F` or `P` before it.
pub(crate) fn said(line: &str) -> Option<&str> {
    let mut parts = line.splitn(4, ' ');
    let (_time, stream) = (parts.next()?, parts.next()?);
    let (_tag, said) = (parts.next()?, parts.next()?);
    matches!(stream, "stdout" | "stderr").then_some(said)
}

/// The words of a fatal line: etcd's JSON since 3.5, the text of 3.4, klog's as Kubernetes' programs write it, or what Go
/// says when a program panics.
fn fatal_words(said: &str) -> Option<String> {
    if said.starts_with("panic: ") || said.starts_with("fatal error: ") {
        return Some(said.to_owned());
    }
    if let Some(words) = klog_words(said) {
        return Some(words.to_owned());
    }
    if let Some((_, words)) = said.split_once(" C | ") {
        return Some(words.to_owned());
    }
    let line: Value = serde_json::from_str(said).ok()?;
    let text = |key| line.get(key).and_then(Value::as_str);
    let message = text("msg")?;
    // A member that learns that it was removed ends with this warning and without an error (`server.go`).
    let fatal = matches!(text("level"), Some("fatal" | "panic"));
    if !fatal && message != "server error" {
        return None;
    }
    Some(match text("error") {
        Some(error) => format!("{message}: {error}"),
        None => message.to_owned(),
    })
}

/// A line of klog that is the last one: a fatal one, or the error of the command as a whole.
fn klog_words(said: &str) -> Option<&str> {
    let (head, words) = said.split_once("] ")?;
    let digits = head.get(1..5)?;
    let is_klog = digits.bytes().all(|b| b.is_ascii_digit());
    let last = head.starts_with('F') || words.starts_with("\"command failed\"");
    (is_klog && last).then_some(words)
}

/// One line, without anything a terminal would act on, not too long.
pub(crate) fn shown(words: &str) -> String {
    let clean = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    let short: String = clean.take(WORDS_CHARS).collect();
    short.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_of_another_is_seen_and_ours_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        assert_eq!(is_locked(&path), None, "no file");
        let etcd = File::create(&path).unwrap();
        assert_eq!(is_locked(&path), Some(false));
        etcd.try_lock().unwrap();
        assert_eq!(is_locked(&path), Some(true));
        etcd.unlock().unwrap();
        assert_eq!(is_locked(&path), Some(false));
        etcd.try_lock().unwrap();
    }

    fn write(root: &Path, path: &str, lines: &[&str]) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, lines.join("\n")).unwrap();
    }

    #[test]
    fn the_newest_log_tells_restarts_and_last_words() {
        let root = tempfile::tempdir().unwrap();
        let fatal = r#"2026-11-21T10:00:01.5Z stderr F {"level":"fatal","msg":"failed to recover v3 backend from snapshot","error":"snap: snapshot file doesn't exist"}"#;
        let trace = "2026-11-21T10:00:02Z stderr F goroutine 1 [running]:";
        write(
            root.path(),
            "kube-system_etcd-a_1/etcd/3.log",
            &[fatal, trace],
        );
        write(
            root.path(),
            "kube-system_etcd-a_1/etcd/4.log.20261121",
            &["x"],
        );
        write(root.path(), "kube-system_etcd-ab_1/etcd/9.log", &["x"]);
        let found = logs(root.path(), "etcd-a");
        assert_eq!(
            found.iter().map(|log| log.restarts).collect::<Vec<_>>(),
            [3]
        );
        assert_eq!(
            last_words(&found[0].path).unwrap(),
            "failed to recover v3 backend from snapshot: snap: snapshot file doesn't exist"
        );
        assert!(logs(Path::new("/none"), "x").is_empty());
    }

    #[test]
    fn what_a_listener_dies_of_hides_nothing() {
        let removed = r#"t stderr F {"level":"warn","msg":"server error","error":"the member has been permanently removed from the cluster"}"#;
        let listener =
            r#"t stderr F {"level":"fatal","msg":"listener failed","error":"server is stopping"}"#;
        let ended = why_ended(&format!("{removed}\nt stderr F x\n{listener}\n"));
        assert!(ended.unwrap().contains(REMOVED));
        let alone = why_ended(listener).unwrap();
        assert_eq!(alone, "listener failed: server is stopping");
    }

    #[test]
    fn every_way_etcd_dies_is_understood() {
        let words = |line: &str| said(line).and_then(fatal_words);
        let line = "2026-11-21T10:00:02Z stderr F panic: assertion failed: Page expected to be: 65, but self identifies as 0";
        assert!(words(line).unwrap().starts_with("panic: assertion failed"));
        let old = "2026-11-21T10:00:02Z stderr F 2020-01-01 00:00:00.1 C | etcdmain: member has already been bootstrapped";
        assert_eq!(
            words(old).unwrap(),
            "etcdmain: member has already been bootstrapped"
        );
        let removed = r#"2026-11-21T10:00:02Z stderr F {"level":"warn","msg":"server error","error":"the member has been permanently removed from the cluster"}"#;
        assert!(
            words(removed)
                .unwrap()
                .ends_with("removed from the cluster")
        );
        let klog = "2026-11-21T10:00:02Z stderr F F1121 10:00:02.1 1 instance.go:226] Error creating leases: context deadline exceeded";
        assert!(words(klog).unwrap().starts_with("Error creating leases"));
        let klog = "2026-11-21T10:00:02Z stderr F E1121 10:00:02.1 1 run.go:72] \"command failed\" err=\"x\"";
        assert!(words(klog).unwrap().starts_with("\"command failed\""));
        for none in [
            "",
            "2026-11-21T10:00:02Z stderr F E1121 10:00:02.1 1 run.go:72] \"other\" err=\"x\"",
            "one two three",
            "t stderr F {\"level\":\"info\",\"msg\":\"x\"}",
            "t stderr F {\"level\":\"fatal\"}",
            "t other F panic: x",
        ] {
            assert_eq!(words(none), None, "{none}");
        }
        assert_eq!(
            shown(&format!("a\u{1b}[31mb{}", "x".repeat(900)))
                .chars()
                .count(),
            WORDS_CHARS
        );
    }
}
