//! Making a cluster as an administrator would: kubeadm init on m1, kubeadm join on the others, one after another.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::node::Node;
use crate::parts::versions::{Etcd, Kubernetes};
use crate::process::say;

// Both are secrets in a real cluster; these clusters reach no further than this machine.
const TOKEN: &str = "abcdef.0123456789abcdef";
const CERTIFICATE_KEY: &str = "4f6f1c0e7f3b0a9c2d5e8b7a6190f3e2d4c5b6a7988172635445362718091a2b";

/// Makes a cluster of nodes that are on and empty.
pub(super) fn make(nodes: &[Node], kubernetes: Kubernetes, etcd: Etcd) -> Result<()> {
    let Some((first, others)) = nodes.split_first() else {
        bail!("a cluster needs a control-plane node")
    };
    say(&format!("kubeadm init on {}", first.name()));
    let told = kubeadm(
        first,
        "init",
        &init_config(first, kubernetes, etcd),
        &["--upload-certs", "--skip-phases=addon"],
    )?;
    let hash = hash_in(&told)?;
    for node in others {
        say(&format!("kubeadm join on {}", node.name()));
        kubeadm(node, "join", &join_config(node, first, hash), &[])?;
    }
    Ok(())
}

/// Makes a machine that was set up anew a control-plane node of a cluster again, whose `by` works.
pub(super) fn join_again(node: &Node, by: &Node) -> Result<()> {
    // What `init` uploaded goes after two hours.
    let upload = ["kubeadm", "init", "phase", "upload-certs", "--upload-certs"];
    let key = ["--certificate-key", CERTIFICATE_KEY];
    by.run(upload.iter().chain(&key))?.success()?;
    let told = by
        .run(["kubeadm", "token", "create", "--print-join-command"])?
        .success()?;
    kubeadm(node, "join", &join_config(node, by, hash_in(&told)?), &[]).map(drop)
}

fn hash_in(told: &str) -> Result<&str> {
    told.split_whitespace()
        .find(|word| word.starts_with("sha256:"))
        .context("kubeadm printed no hash of its certificate")
}

fn kubeadm(node: &Node, verb: &str, config: &str, more: &[&str]) -> Result<String> {
    let path = "/var/tmp/kubeadm.yaml";
    fs::write(node.path(path), config)?;
    // Preflight checks look at this machine's kernel modules and at control groups of version 1.
    let args = [
        "kubeadm",
        verb,
        "--config",
        path,
        "--ignore-preflight-errors=all",
    ];
    let done = node.run(args.iter().chain(more))?;
    fs::write(
        node.folder().join("kubeadm.log"),
        format!("{}{}", done.stdout, done.stderr),
    )?;
    done.success()
        .with_context(|| format!("kubeadm {verb} failed on {}", node.name()))
}

fn init_config(node: &Node, kubernetes: Kubernetes, etcd: Etcd) -> String {
    let (name, ip, version, tag) = (
        node.name(),
        node.ip(),
        kubernetes.version(),
        etcd.image_tag(),
    );
    // The default is below /usr, which is this machine's and cannot be written to. Later versions have none.
    let volumes = match kubernetes {
        Kubernetes::V1_33 => {
            "controllerManager: {extraArgs: [{name: flex-volume-plugin-dir, value: /var/lib/kubelet/volumeplugins}]}\n"
        }
        Kubernetes::V1_36 => "",
    };
    format!(
        r#"apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{{token: {TOKEN}, ttl: 0s}}]
certificateKey: {CERTIFICATE_KEY}
localAPIEndpoint: {{advertiseAddress: {ip}}}
nodeRegistration: {{name: {name}, criSocket: unix:///run/containerd/containerd.sock}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
controlPlaneEndpoint: {ip}:6443
networking: {{podSubnet: 10.244.0.0/16}}
etcd: {{local: {{imageTag: {tag}}}}}
{volumes}---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# Control groups of version 1, which 1.35 and later refuse otherwise.
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
# An empty list would be dropped by kubeadm.
enforceNodeAllocatable: [none]
failSwapOn: false
# The disk is this machine's: its other uses are no reason to evict pods or images.
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 10Mi, nodefs.available: 1%, imagefs.available: 1%}}
resolvConf: ""
"#
    )
}

fn join_config(node: &Node, first: &Node, hash: &str) -> String {
    let (name, ip, endpoint) = (node.name(), node.ip(), first.ip());
    format!(
        r#"apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {{bootstrapToken: {{token: {TOKEN}, apiServerEndpoint: "{endpoint}:6443", caCertHashes: ["{hash}"]}}}}
controlPlane: {{certificateKey: {CERTIFICATE_KEY}, localAPIEndpoint: {{advertiseAddress: {ip}}}}}
nodeRegistration: {{name: {name}, criSocket: unix:///run/containerd/containerd.sock}}
"#
    )
}

/// What decides how a cluster is made: one made otherwise is not the same.
pub(super) fn fingerprint(node: &Node, kubernetes: Kubernetes, etcd: Etcd) -> String {
    init_config(node, kubernetes, etcd) + &join_config(node, node, "")
}
