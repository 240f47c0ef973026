//! Packed snapshots: bundles, compressed ones, and those that go to standard output.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Node, Workstation, parts, process};

use crate::bundle::unpacked;
use crate::schema::checked;
use crate::three;

/// The hash of a snapshot by etcd's own tool.
fn hash(file: &Path) -> Result<Value> {
    let etcdutl = parts::etcd("3.6")?.etcdutl;
    let told = process::success(
        Command::new(etcdutl)
            .args(["snapshot", "status", "-w", "json"])
            .arg(file),
    )?;
    Ok(serde_json::from_str::<Value>(&told)?["hash"].clone())
}

/// The files below a folder with contents and modes, by their paths there.
fn files(folder: &Path) -> Result<BTreeMap<String, (Vec<u8>, u32)>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
            continue;
        }
        let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
        let name = path.strip_prefix(folder)?.display().to_string();
        found.insert(name, (fs::read(&path)?, mode));
    }
    Ok(found)
}

fn same(bundled: &Path, node: &Node, folder: &str) -> Result<usize> {
    let (ours, theirs) = (
        files(&bundled.join(folder))?,
        files(&node.path(&format!("/{folder}")))?,
    );
    for (path, file) in &theirs {
        ensure!(
            ours.get(path) == Some(file),
            "{}: {folder}/{path} is not in the bundle as it is there",
            node.name()
        );
    }
    ensure!(ours.len() == theirs.len(), "{:?}", ours.keys());
    Ok(ours.len())
}

#[test]
fn a_bundle_opens_with_plain_tar_and_has_every_masters_files_byte_for_byte() {
    three(|cluster, me| {
        let save = [
            "snapshot",
            "save",
            "--bundle",
            "--with-pki",
            "all.tar.zst",
            "-o",
            "json",
        ];
        let answer = me.etcd(save)?.code(0)?;
        let told = checked(&answer)?;
        let nodes: Value = serde_json::json!(["m1", "m2", "m3"]);
        ensure!(told["packed"]["bundle"]["nodes"] == nodes, "{answer}");
        let bundle = me.folder().join("all.tar.zst");
        ensure!(fs::metadata(&bundle)?.permissions().mode() & 0o777 == 0o600);
        let top = unpacked(&bundle)?;
        let top = top.path().join("all");
        for node in cluster.nodes() {
            let its = top.join("masters").join(node.name());
            ensure!(same(&its, node, "etc/kubernetes/pki")? > 15);
            ensure!(same(&its, node, "etc/kubernetes/manifests")? == 4);
            let config = "var/lib/kubelet/config.yaml";
            ensure!(fs::read(its.join(config))? == fs::read(node.path(&format!("/{config}")))?);
        }
        let kubeadm = fs::read_to_string(top.join("kubeadm-config.yaml"))?;
        ensure!(kubeadm.contains("kind: ClusterConfiguration"), "{kubeadm}");

        // Each file is described, with its sha256, and nothing else is there.
        let described: Value = serde_json::from_slice(&fs::read(top.join("description.json"))?)?;
        let listed = described["contents"]["files"].as_array().context("files")?;
        for file in listed {
            let path = top.join(file["path"].as_str().context("path")?);
            let sum = process::success(Command::new("sha256sum").arg(path))?;
            ensure!(
                file["sha256"]
                    .as_str()
                    .is_some_and(|sha| sum.starts_with(sha)),
                "{file}"
            );
        }
        ensure!(files(&top)?.len() == listed.len() + 1);
        ensure!(
            hash(&top.join("snapshot.db"))? == described["hash"],
            "{described}"
        );

        // Without being asked for, no key leaves a control-plane node.
        me.etcd(["snapshot", "save", "--bundle", "some.tar.zst"])?
            .code(0)?;
        let some = unpacked(&me.folder().join("some.tar.zst"))?;
        let found = files(some.path())?;
        ensure!(
            found
                .keys()
                .any(|path| path.ends_with("manifests/etcd.yaml"))
        );
        let secret = |path: &&String| {
            path.contains("/pki/") || path.ends_with(".conf") || path.ends_with(".key")
        };
        ensure!(
            !found.keys().any(|path| secret(&path)),
            "{:?}",
            found.keys()
        );
        Ok(())
    });
}

/// With m3 off: that its files are missing in the bundle is said.
pub(crate) fn m3_is_said_to_be_missing(me: &Workstation) -> Result<()> {
    let save = [
        "snapshot",
        "save",
        "--bundle",
        "two.tar.zst",
        "--timeout",
        "20s",
        "-o",
        "json",
    ];
    let answer = me
        .etcd(save)?
        .code(3)?
        .says(&["not in the bundle: masters/m3: "])?;
    let told = checked(&answer)?;
    ensure!(told["leftOut"][0]["path"] == "masters/m3", "{answer}");
    let bundle = unpacked(&me.folder().join("two.tar.zst"))?;
    let masters = fs::read_dir(bundle.path().join("two/masters"))?.count();
    ensure!(masters == 2, "{masters} control-plane nodes");
    Ok(())
}

#[test]
fn standard_output_and_compression_give_the_same_bytes() {
    three(|_, me| {
        let script = "\"$0\" snapshot save - > plain.db && \"$0\" snapshot save --compress=zstd:5 - > x && zstd -dc x > unpacked.db";
        me.run(&mut me.script_in_own_mounts(script))?
            .code(0)?
            .says(&["saved to standard output", "unpacked) of"])?;
        me.etcd(["snapshot", "verify", "plain.db", "unpacked.db"])?
            .code(0)?;

        me.etcd(["snapshot", "save", "--compress", "c.db.zst"])?
            .code(0)?;
        let file = me.folder().join("c.db.zst");
        process::success(Command::new("zstd").args(["-q", "-t"]).arg(&file))?;
        process::success(Command::new("zstd").args(["-q", "-d"]).arg(&file))?;
        let beside: Value = serde_json::from_slice(&fs::read(me.folder().join("c.db.zst.json"))?)?;
        ensure!(
            hash(&me.folder().join("c.db"))? == beside["hash"],
            "{beside}"
        );
        let sum = process::success(Command::new("sha256sum").arg(me.folder().join("c.db")))?;
        let unpacked = beside["packed"]["sha256"].as_str();
        ensure!(unpacked.is_some_and(|sha| sum.starts_with(sha)), "{beside}");

        // Before anything is done.
        me.etcd(["snapshot", "save", "--with-pki"])?.code(2)?;
        me.etcd(["snapshot", "save", "--compress=zstd:40"])?
            .code(2)?
            .says(&["between 1 and 19"])?;
        Ok(())
    });
}
