//! What a cluster is like, by its members, its nodes and their disks.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testbed::fault::DATABASE;
use testbed::{Answer, Cluster, Component, Node, wait};

/// The control plane's manifests, and nothing else, lie in kubelet's folder.
const MANIFESTS: [&str; 4] = [
    "etcd.yaml",
    "kube-apiserver.yaml",
    "kube-controller-manager.yaml",
    "kube-scheduler.yaml",
];

/// Waits until everything works, and looks whether all members have the same data. Gives back the cluster's id.
pub(crate) fn whole(cluster: &Cluster) -> Result<u64> {
    let id = serves(cluster)?;
    cluster.wait_controllers(Duration::from_secs(60))?;
    Ok(id)
}

/// Like [`whole`], but does not wait until a controller-manager has the lease of one that was ended: that takes 15 s.
pub(crate) fn serves(cluster: &Cluster) -> Result<u64> {
    cluster.wait_ready()?;
    for node in cluster.nodes() {
        let mut names = names(&node.path("/etc/kubernetes/manifests"))?;
        names.sort();
        ensure!(names == MANIFESTS, "{}: {names:?}", node.name());
        let current = node.path("/var/lib/kubectl-etcd/plans/current");
        ensure!(!current.exists(), "{}: a plan has not ended", node.name());
    }
    let nodes: Vec<&Node> = cluster.nodes().iter().collect();
    agree(cluster, &nodes)
}

/// The members of these nodes, and no others, are the cluster, and have the same data. Gives back the cluster's id.
pub(crate) fn agree(cluster: &Cluster, nodes: &[&Node]) -> Result<u64> {
    let first = nodes.first().context("no node")?;
    let asked = cluster
        .etcdctl(first, ["member", "list", "-w", "json"])?
        .success()?;
    let asked: Value = serde_json::from_str(&asked)?;
    let members = asked["members"].as_array().context("no members")?;
    ensure!(
        members.len() == nodes.len() && members.iter().all(|one| one["isLearner"] != true),
        "not {} voting members: {asked}",
        nodes.len()
    );
    let revision = revision(cluster, first)?.to_string();
    let hash = |node: &&Node| hash(cluster, node, &revision);
    let hashes = nodes.iter().map(hash).collect::<Result<Vec<_>>>()?;
    let one = hashes.first().context("no hash")?;
    ensure!(
        hashes.iter().all(|hash| hash == one),
        "hashes at {revision}: {hashes:?}"
    );
    Ok(one.1)
}

/// The hash of all keys at a revision that a member has, or will have in a moment; and the cluster's id.
fn hash(cluster: &Cluster, node: &Node, revision: &str) -> Result<(u64, u64)> {
    let rev = format!("--rev={revision}");
    wait::until("a hash", Duration::from_secs(20), || {
        let asked = cluster.etcdctl(node, ["endpoint", "hashkv", &rev, "-w", "json"]);
        let asked = asked.map_err(|error| format!("{error:#}"))?;
        let answer: Value = serde_json::from_str(&asked.stdout).map_err(|_| asked.to_string())?;
        let told = &answer[0]["HashKV"];
        let id = told["header"]["cluster_id"].as_u64();
        told["hash"]
            .as_u64()
            .zip(id)
            .ok_or_else(|| asked.to_string())
    })
}

/// The id of the cluster that a node's member belongs to.
pub(crate) fn cluster_id(cluster: &Cluster, node: &Node) -> Result<u64> {
    let status = cluster.etcd_status(node)?;
    status["header"]["cluster_id"]
        .as_u64()
        .with_context(|| format!("no cluster id: {status}"))
}

/// The revision that a node's member has.
pub(crate) fn revision(cluster: &Cluster, node: &Node) -> Result<u64> {
    let status = cluster.etcd_status(node)?;
    status["header"]["revision"]
        .as_u64()
        .with_context(|| format!("no revision: {status}"))
}

/// Waits until members of all these nodes answer with a leader.
pub(crate) fn healthy(cluster: &Cluster, nodes: &[&Node]) -> Result<()> {
    wait::until("etcd healthy", Duration::from_secs(60), || {
        for node in nodes {
            let asked = cluster.etcdctl(node, ["endpoint", "health"]);
            let asked = asked.map_err(|error| format!("{error:#}"))?;
            if !asked.ok() {
                return Err(format!("{}: {asked}", node.name()));
            }
        }
        Ok(())
    })
}

/// Whether etcd runs on a node with this argument.
pub(crate) fn runs_with(node: &Node, argument: &str) -> bool {
    let all = node.component(Component::Etcd);
    !all.is_empty()
        && all
            .iter()
            .all(|one| one.args.iter().any(|arg| arg == argument))
}

/// etcd's manifest on a node.
pub(crate) fn manifest(node: &Node) -> Result<Vec<u8>> {
    let path = node.manifest(Component::Etcd);
    fs::read(&path).with_context(|| path.display().to_string())
}

/// Zeros in the pages of a node's database: a write that was torn when its power went.
pub(crate) fn tear(node: &Node) -> Result<()> {
    let pages = fs::metadata(node.path(DATABASE))?.len() / 4096;
    let torn = usize::try_from((pages - 4).min(80))? * 4096;
    node.zero(DATABASE, 4 * 4096, torn)
}

/// The folders in which plans put what was in use before, as paths on the node.
pub(crate) fn aside(node: &Node) -> Result<Vec<String>> {
    let names = names(&node.path("/var/lib"))?.into_iter();
    let aside = names.filter(|name| name.starts_with("etcd-") && name.ends_with(".before"));
    Ok(aside.map(|name| format!("/var/lib/{name}")).collect())
}

/// How many objects of a kind were written and deleted after the snapshot, by a plan to restore it.
pub(crate) fn changed(plan: &Value, kind: &str) -> (u64, u64) {
    let kinds = plan["changes"]["kinds"].as_array();
    let mut kinds = kinds.map(Vec::as_slice).unwrap_or_default().iter();
    let found = kinds.find(|one| one["kind"] == kind);
    let number = |what: &str| found.and_then(|one| one[what].as_u64()).unwrap_or(0);
    (number("written"), number("deleted"))
}

/// What a plan says is not in use any more: it is there, and is whole enough to be a member's data. It is removed, with the
/// words of the plan itself.
pub(crate) fn kept_is_there(cluster: &Cluster, answer: &Answer, nodes: &[&str]) -> Result<()> {
    let told = answer.json()?;
    let kept = told["kept"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let lines: Vec<&str> = kept.iter().filter_map(Value::as_str).collect();
    for node in nodes {
        let mut own = lines
            .iter()
            .filter_map(|line| line.strip_prefix(&format!("{node}: ")));
        let command = own
            .next()
            .with_context(|| format!("nothing of {node} is kept: {told}"))?;
        let path = command
            .strip_prefix("rm -r ")
            .with_context(|| command.to_owned())?;
        let node = cluster.node(node)?;
        for part in ["member/snap", "member/wal"] {
            let part = node.path(path).join(part);
            ensure!(part.is_dir(), "{} is not there", part.display());
        }
        node.run(["sh", "-ec", command])?.success()?;
    }
    Ok(())
}

fn names(folder: &std::path::Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries
        .map(|entry| {
            Ok(PathBuf::from(entry?.file_name())
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}
