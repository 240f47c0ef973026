//! Snapshots of a healthy cluster, and targets that cannot take one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, ensure};

use crate::schema::checked;
use crate::{agrees_with_etcdutl, three};

#[test]
fn a_snapshot_saved_here_is_what_etcdutl_says_it_is() {
    three(|cluster, me| {
        let answer = me
            .etcd(["snapshot", "save", "s.db", "-o", "json"])?
            .code(0)?;
        let told = checked(&answer)?;
        ensure!(me.files()? == ["s.db", "s.db.json"], "{:?}", me.files()?);
        let beside = agrees_with_etcdutl(cluster, &me.folder().join("s.db"))?;
        ensure!(
            told["sha256"] == beside["sha256"] && told["onNode"] == false,
            "{answer}"
        );
        let status = checked(&me.etcd(["status", "-o", "json"])?.code(0)?)?;
        let source = crate::row(&status, "rows", told["node"].as_str().unwrap_or_default())?;
        ensure!(
            source["role"] == "follower" && source["memberId"] == beside["memberId"],
            "{answer}\n{source}"
        );
        ensure!(beside["clusterId"] == status["clusterId"], "{beside}");
        me.etcd(["snapshot", "verify", "s.db"])?.code(0)?;

        // From the leader, if that is wanted, under a name of its own.
        let leader = status["rows"]
            .as_array()
            .context("rows")?
            .iter()
            .find(|row| row["role"] == "leader")
            .context("leader")?;
        let node = leader["node"].as_str().context("node")?;
        let named = me
            .etcd(["snapshot", "save", "--node", node, "-o", "json"])?
            .code(0)?;
        ensure!(checked(&named)?["node"] == node, "{named}");

        // What is there is never overwritten.
        let before = fs::read(me.folder().join("s.db"))?;
        me.etcd(["snapshot", "save", "s.db"])?
            .code(5)?
            .says(&["s.db is there already"])?;
        ensure!(
            fs::read(me.folder().join("s.db"))? == before,
            "it was overwritten"
        );
        Ok(())
    });
}

#[test]
fn a_snapshot_kept_on_a_node_lies_there_with_what_describes_it() {
    three(|cluster, me| {
        let node = cluster.node("m3")?;
        let answer = me
            .etcd([
                "snapshot",
                "save",
                "--on-node",
                "--node",
                "m3",
                "-o",
                "json",
            ])?
            .code(0)?;
        let told = checked(&answer)?;
        ensure!(
            told["onNode"] == true && told["node"] == "m3" && me.files()?.is_empty(),
            "{answer}"
        );
        let path = told["path"].as_str().context("no path")?;
        agrees_with_etcdutl(cluster, &node.path(path))?;
        let mode = fs::metadata(node.path("/var/lib/etcd-snapshots"))?
            .permissions()
            .mode()
            & 0o777;
        ensure!(mode == 0o700, "the folder has mode {mode:o}");

        // A disk that is full, on the node.
        node.run([
            "sh",
            "-c",
            "mkdir -p /var/lib/small && mount -t tmpfs -o size=1m,mode=700 tmpfs /var/lib/small",
        ])?
        .success()?;
        let full = me.etcd([
            "snapshot",
            "save",
            "--on-node=/var/lib/small",
            "--node",
            "m3",
        ])?;
        let left = node.run(["ls", "-A", "/var/lib/small"])?.success()?;
        node.run(["umount", "/var/lib/small"])?.success()?;
        full.code(1)?.says(&["/var/lib/small"])?;
        ensure!(left.is_empty(), "left on the full disk: {left}");
        Ok(())
    });
}

#[test]
fn a_target_that_cannot_take_it_is_said_and_keeps_nothing() {
    three(|_, me| {
        me.etcd(["snapshot", "save", "no/such/folder/s.db"])?
            .code(1)?
            .says(&["no/such/folder"])?;

        let full = "mkdir small && mount -t tmpfs -o size=1m tmpfs small && \"$0\" snapshot save small/s.db; code=$?; ls -A small; exit $code";
        let full = me
            .run(&mut me.script_in_own_mounts(full))?
            .code(1)?
            .says(&["No space left", "make room"])?;
        ensure!(
            full.output.stdout.is_empty(),
            "left on the full disk: {full}"
        );

        let locked = "mkdir locked && mount -t tmpfs -o ro tmpfs locked && exec \"$0\" snapshot save locked/s.db";
        me.run(&mut me.script_in_own_mounts(locked))?
            .code(1)?
            .says(&["locked/s.db cannot be written", "a folder you may write to"])?;
        Ok(())
    });
}
