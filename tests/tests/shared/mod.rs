//! What tests on clusters of any kind ask of answers and files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Cluster, parts, process};

/// What etcd's own tool says of a snapshot, against what lies beside it: hash and revision. And sha256sum.
pub(crate) fn agrees_with_etcdutl(cluster: &Cluster, file: &Path) -> Result<Value> {
    let etcdutl = parts::etcd_line(cluster.state().etcd)?.etcdutl;
    let theirs = process::success(
        Command::new(etcdutl)
            .args(["snapshot", "status", "-w", "json"])
            .arg(file),
    )?;
    let theirs: Value = serde_json::from_str(&theirs)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".json");
    let ours: Value =
        serde_json::from_slice(&fs::read(&beside).context("nothing beside the snapshot")?)?;
    ensure!(
        ours["hash"] == theirs["hash"] && ours["revision"] == theirs["revision"],
        "{ours}\netcdutl: {theirs}"
    );
    let sum = process::success(Command::new("sha256sum").arg(file))?;
    ensure!(
        ours["sha256"]
            .as_str()
            .is_some_and(|digest| sum.starts_with(digest)),
        "{ours}\nsha256sum: {sum}"
    );
    ensure!(ours["sizeBytes"] == fs::metadata(file)?.len(), "{ours}");
    for secret in [file, Path::new(&beside)] {
        let mode = fs::metadata(secret)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", secret.display());
    }
    Ok(ours)
}

/// A field of each row.
pub(crate) fn column<'a>(answer: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    let rows = answer[list]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    rows.iter()
        .map(|row| row[field].as_str().unwrap_or_default())
        .collect()
}
