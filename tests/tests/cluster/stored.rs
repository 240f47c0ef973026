//! Snapshots that are kept on the masters: listed, checked, fetched, removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::{Cluster, Workstation};

use crate::schema::checked;
use crate::{agrees_with_etcdutl, three};

/// A folder of these tests' own; what other tests keep lies elsewhere.
pub(crate) const FOLDER: &str = "/var/lib/kept";

/// With an empty folder on each control-plane node, which is gone afterwards.
pub(crate) fn kept(test: impl FnOnce(&Cluster, &Workstation) -> Result<()>) {
    three(|cluster, me| {
        remove(cluster, FOLDER)?;
        test(cluster, me)?;
        remove(cluster, FOLDER)
    });
}

/// Removes a folder on each control-plane node.
pub(crate) fn remove(cluster: &Cluster, folder: &str) -> Result<()> {
    for node in cluster.nodes() {
        node.run(["rm", "-rf", folder])?.success()?;
    }
    Ok(())
}

/// `snapshot ACTION … --folder` of these tests.
pub(crate) fn snapshot<'a>(action: &[&'a str]) -> Vec<&'a str> {
    [&["snapshot"], action, &["--folder", FOLDER]].concat()
}

/// Takes one on this control-plane node; gives its name.
pub(crate) fn save(me: &Workstation, node: &str) -> Result<String> {
    let on_node = format!("--on-node={FOLDER}");
    let args = ["snapshot", "save", &on_node, "--node", node, "-o", "json"];
    let told = checked(&me.etcd(args)?.code(0)?)?;
    let path = Path::new(told["path"].as_str().context("no path")?);
    let name = path.file_name().and_then(|name| name.to_str());
    // Names are of the second.
    std::thread::sleep(Duration::from_millis(1100));
    Ok(name.context("no name")?.to_owned())
}

pub(crate) fn list(me: &Workstation, code: i32) -> Result<Value> {
    checked(&me.etcd(snapshot(&["list", "-o", "json"]))?.code(code)?)
}

/// The listed names of a control-plane node, in order.
pub(crate) fn names(list: &Value, node: &str) -> Vec<String> {
    let all = list["snapshots"].as_array().into_iter().flatten();
    let of_node = all.filter(|one| one["node"] == node);
    of_node
        .filter_map(|one| one["name"].as_str().map(str::to_owned))
        .collect()
}

/// Changes a byte in the middle of a file.
/// Changes a byte of some object, which only the sum over the whole file shows: anywhere else it may be a page that is seen first.
fn damage(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let mut places = bytes.windows(4);
    let object = places.rposition(|place| place == b"k8s\0");
    let object = object.context("no object in the snapshot")?;
    bytes[object + 12] ^= 0xff;
    Ok(fs::write(path, bytes)?)
}

#[test]
fn what_is_kept_is_listed_checked_and_fetched_and_what_is_damaged_is_not() {
    kept(|cluster, me| {
        let none = list(me, 0)?;
        ensure!(
            none["snapshots"].as_array().is_some_and(Vec::is_empty),
            "{none}"
        );
        let (old, new) = (save(me, "m1")?, save(me, "m1")?);
        let other = save(me, "m2")?;
        let all = list(me, 0)?;
        ensure!(names(&all, "m1") == [new.as_str(), old.as_str()], "{all}");
        ensure!(
            names(&all, "m2") == [other.as_str()] && names(&all, "m3").is_empty(),
            "{all}"
        );
        ensure!(all["newestVerified"] == format!("m2/{other}"), "{all}");
        me.etcd(snapshot(&["list"]))?.code(0)?.says(&[
            &old,
            "while saving",
            "newest verified: m2/",
        ])?;

        let old = format!("m1/{old}");
        me.etcd(snapshot(&["verify", &old]))?
            .code(0)?
            .says(&["reliable"])?;
        me.etcd(snapshot(&["list"]))?.code(0)?.says(&["again, "])?;
        let fetched = me.etcd(snapshot(&["get", &old, "-o", "json"]))?.code(0)?;
        let file = me.folder().join(old.trim_start_matches("m1/"));
        let beside = agrees_with_etcdutl(cluster, &file)?;
        ensure!(
            checked(&fetched)?["sha256"] == beside["sha256"],
            "{fetched}"
        );
        me.etcd(snapshot(&["get", &old]))?
            .code(5)?
            .says(&["is there already"])?;
        // The same command lists what lies here.
        let here = me.etcd(snapshot(&["list", ".", "-o", "name"]))?.code(0)?;
        ensure!(
            here.text()
                .contains(&format!("./{}", old.trim_start_matches("m1/"))),
            "{here}"
        );

        damage(&cluster.node("m1")?.path(&format!("{FOLDER}/{new}")))?;
        let new = format!("m1/{new}");
        me.etcd(snapshot(&["verify", &new, &old]))?
            .code(4)?
            .says(&["damaged", "sha256"])?;
        let all = list(me, 3)?;
        ensure!(all["snapshots"][0]["state"] == "damaged", "{all}");
        me.etcd(snapshot(&["get", &new, "other.db"]))?
            .code(5)?
            .says(&["is damaged"])?;
        ensure!(
            !me.folder().join("other.db").exists(),
            "a damaged snapshot arrived"
        );
        Ok(())
    });
}

#[test]
fn rules_and_requests_remove_what_is_ours_and_nothing_else() {
    kept(|cluster, me| {
        let (first, second) = (save(me, "m1")?, save(me, "m1")?);
        let only = save(me, "m2")?;
        let folder = cluster.node("m1")?.path(FOLDER);
        fs::write(folder.join("theirs.db"), b"somebody's")?;
        let prune =
            |more: &[&str]| me.etcd(snapshot(&[&["prune", "--keep-last", "1"], more].concat()));
        let shown = prune(&["--dry-run", "-o", "json"])?.code(0)?;
        let fates = checked(&shown)?;
        let fate = |name: &str| -> Result<Value> {
            let all = fates["snapshots"].as_array().into_iter().flatten();
            let one = all.into_iter().find(|one| one["name"] == name);
            Ok(one.with_context(|| format!("{name} is not in {shown}"))?["fate"].clone())
        };
        ensure!(
            fate(&first)? == "goes" && fate(&second)? == "stays",
            "{shown}"
        );
        ensure!(
            fate(&only)? == "stays" && fate("theirs.db")? == "leftAlone",
            "{shown}"
        );
        // Without a terminal nobody can say yes.
        prune(&[])?.code(5)?.says(&["--yes"])?;
        ensure!(
            names(&list(me, 0)?, "m1").len() == 3,
            "something was removed without a yes"
        );
        prune(&["--yes"])?.code(0)?.says(&["1 snapshot removed"])?;
        let left = list(me, 0)?;
        ensure!(
            names(&left, "m1") == [second.as_str(), "theirs.db"],
            "{left}"
        );
        ensure!(
            !folder.join(format!("{first}.json")).exists(),
            "its description stayed"
        );

        me.etcd(snapshot(&["delete", "m1/theirs.db", "--yes"]))?
            .code(5)?
            .says(&["nothing describes"])?;
        me.etcd(snapshot(&["delete", &format!("m1/{second}"), "-y"]))?
            .code(0)?
            .says(&["removed"])?;
        me.etcd(snapshot(&["delete", &format!("m1/{second}"), "-y"]))?
            .code(1)?
            .says(&["is not there", "snapshot list"])?;
        for bad in ["m1/../../etc/passwd", "m1/a b", "x.db", "m1/"] {
            me.etcd(snapshot(&["delete", bad, "-y"]))?.code(2)?;
        }
        ensure!(
            fs::read(folder.join("theirs.db"))? == b"somebody's",
            "it was touched"
        );
        Ok(())
    });
}

/// With m3 off: that its snapshots are not known is said.
pub(crate) fn those_of_m3_are_unknown(me: &Workstation) -> Result<()> {
    let all = list(me, 3)?;
    ensure!(all["unreached"][0]["node"] == "m3", "{all}");
    me.etcd(snapshot(&["list"]))?.code(3)?.says(&[
        "m3",
        "unknown",
        "its snapshots are not known",
    ])?;
    Ok(())
}
