//! The plugin on clusters of other kinds: one and five masters, each etcd line, no space left, an etcd elsewhere.

mod external;
mod five;
mod lines;
mod no_space;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;
use testbed::{Cluster, parts, process};

/// Whether etcd's own tool says of a snapshot what lies beside it.
fn agrees_with_etcdutl(cluster: &Cluster, file: &Path) -> Result<()> {
    let etcdutl = parts::etcd_line(cluster.state().etcd)?.etcdutl;
    let theirs = process::success(
        Command::new(etcdutl)
            .args(["snapshot", "status", "-w", "json"])
            .arg(file),
    )?;
    let theirs: Value = serde_json::from_str(&theirs)?;
    let ours: Value = serde_json::from_slice(&fs::read(file.with_extension("db.json"))?)?;
    ensure!(
        ours["hash"] == theirs["hash"] && ours["revision"] == theirs["revision"],
        "{ours}\netcdutl: {theirs}"
    );
    Ok(())
}

/// A field of each row.
fn column<'a>(answer: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    let rows = answer[list]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    rows.iter()
        .map(|row| row[field].as_str().unwrap_or_default())
        .collect()
}
