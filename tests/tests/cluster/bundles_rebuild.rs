//! A cluster whose masters are gone for good, and what a bundle of it is worth.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use testbed::local::{self, Etcd, Place};
use testbed::{Cluster, Workstation, parts};

use crate::bundle::unpacked;
use crate::three;

/// What is needed of each master, and what has to be the same afterwards.
const FOLDERS: [&str; 2] = ["/etc/kubernetes/manifests", "/etc/kubernetes/pki"];

fn files(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>, below: &str) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = format!("{below}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files(&entry.path(), found, &name)?;
        } else {
            found.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}

#[test]
fn all_that_a_rebuild_needs_comes_out_of_the_bundle_alone() {
    three(rebuilt);
}

fn rebuilt(cluster: &Cluster, me: &Workstation) -> Result<()> {
    cluster
        .kubectl(["create", "configmap", "precious", "--from-literal=a=b"])?
        .success()?;
    me.etcd([
        "snapshot",
        "save",
        "--wait-healthy",
        "--bundle",
        "--with-pki",
        "b.tar.zst",
    ])?
    .code(0)?;
    let mut before = BTreeMap::new();
    for node in cluster.nodes() {
        for folder in FOLDERS {
            files(
                &node.path(folder),
                &mut before,
                &format!("{}{folder}", node.name()),
            )?;
        }
    }
    cluster
        .kubectl(["delete", "configmap", "precious"])?
        .success()?;

    // By somebody who has the bundle and nothing of the cluster.
    let bundle = me.folder().join("b.tar.zst");
    let me = Workstation::with_kubeconfig(Path::new("/nowhere/kubeconfig"))?;
    fs::copy(&bundle, me.folder().join("b.tar.zst"))?;
    me.etcd(["snapshot", "verify", "b.tar.zst"])?.code(0)?;
    let opened = unpacked(&bundle)?;
    let masters = opened.path().join("b/masters");
    for (path, content) in &before {
        let out = fs::read(masters.join(path)).with_context(|| path.clone())?;
        ensure!(out == *content, "{path} is another one");
    }
    ensure!(
        before.len() > 60,
        "only {} files were compared",
        before.len()
    );

    // On a machine that knows nothing of the cluster.
    let place = Place::new("fresh")?;
    let data = me.folder().join("data");
    let data_text = data.to_string_lossy();
    let peers = local::initial_cluster(std::slice::from_ref(&place));
    let restore = [
        "snapshot",
        "restore",
        "b.tar.zst",
        "--data-dir",
        &data_text,
        "--name",
        "fresh",
    ];
    me.etcd([&restore[..], &["--initial-cluster", &peers]].concat())?
        .code(0)?;
    let server = parts::etcd_line(cluster.state().etcd)?.etcd;
    let mut etcd = Etcd::start(&server, &place, std::slice::from_ref(&place), &data, &[])?;
    etcd.wait_ready()?;
    let keys = etcd.keys()?;
    let precious = "/registry/configmaps/default/precious";
    ensure!(keys.iter().any(|key| key == precious), "an object is gone");
    Ok(())
}
