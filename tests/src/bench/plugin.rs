//! What the plugin's everyday commands cost, beside what people type without it.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::noise::Noise;
use super::pairs::{Pair, nothing, peak_kib, quiet};
use crate::{Cluster, Node, Spec, Workstation, parts};

/// How often each is run when nothing is said.
const RUNS: usize = 7;

fn runs(args: &[String]) -> Result<usize> {
    args.first().map_or(Ok(RUNS), |text| {
        text.parse().context("the argument is how many runs")
    })
}

/// A cluster that has just started is busy with itself.
pub(super) fn settle(cluster: &Cluster) -> Result<()> {
    cluster.wait_controllers(Duration::from_secs(60))?;
    std::thread::sleep(Duration::from_secs(30));
    Ok(())
}

fn kubectl(cluster: &Cluster, args: &[&str]) -> Result<()> {
    cluster.kubectl(args)?.success().map(drop)
}

/// `status` of three control-plane nodes through Jobs, against one Job made by hand.
pub(super) fn status(args: &[String], out: &mut dyn Write) -> Result<()> {
    let runs = runs(args)?;
    let cluster = Cluster::start(Spec::masters(3))?;
    let person = Workstation::of(&cluster)?;
    // The first brings the program in.
    person.etcd(["status", "--via", "job"])?.code(0)?;
    settle(&cluster)?;
    let job = person.folder().join("job.json");
    std::fs::write(&job, hand_made_job(&cluster)?)?;
    let job = job.to_string_lossy();
    Pair {
        ours: ("kubectl etcd status (three Jobs)", &mut || {
            person.etcd(["status", "--via", "job"])?.code(0).map(drop)
        }),
        theirs: (
            "kubectl create, wait for Complete, logs (one Job)",
            &mut || {
                kubectl(&cluster, &["create", "-f", &job])?;
                kubectl(
                    &cluster,
                    &[
                        "wait",
                        "-n",
                        "kube-system",
                        "--for=condition=Complete",
                        "job/by-hand",
                        "--timeout=60s",
                    ],
                )?;
                kubectl(&cluster, &["logs", "-n", "kube-system", "job/by-hand"])
            },
        ),
        after: &mut || {
            kubectl(
                &cluster,
                &["delete", "-n", "kube-system", "job/by-hand", "--wait=true"],
            )
        },
        bar: 0.4,
    }
    .measure(
        "status through Jobs (ours with their removal, by hand without)",
        runs,
        out,
    )?;
    Pair {
        ours: ("kubectl etcd status --via exec", &mut || {
            person.etcd(["status", "--via", "exec"])?.code(0).map(drop)
        }),
        theirs: (
            "kubectl exec etcd-m1 -- etcdctl endpoint status",
            &mut || {
                let mut args = vec!["exec", "-n", "kube-system", "etcd-m1", "--", "etcdctl"];
                args.extend(ETCDCTL_FLAGS);
                args.extend(["endpoint", "status"]);
                kubectl(&cluster, &args)
            },
        ),
        after: &mut nothing,
        bar: 1.3,
    }
    .measure("status through exec", runs, out)
}

const PKI: &str = "/etc/kubernetes/pki/etcd";
const ETCDCTL_FLAGS: [&str; 4] = [
    "--endpoints=https://127.0.0.1:2379",
    "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
    "--cert=/etc/kubernetes/pki/etcd/server.crt",
    "--key=/etc/kubernetes/pki/etcd/server.key",
];

/// A Job as one writes it by hand: etcd's own image, pinned to a control-plane node, etcdctl with the node's certificates.
fn hand_made_job(cluster: &Cluster) -> Result<String> {
    let path = "jsonpath={.spec.containers[0].image}";
    let image = cluster
        .kubectl(["get", "pod", "etcd-m1", "-n", "kube-system", "-o", path])?
        .success()?;
    let mut command = vec!["etcdctl"];
    command.extend(ETCDCTL_FLAGS);
    command.extend(["endpoint", "status"]);
    let job = serde_json::json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "by-hand", "namespace": "kube-system"},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "nodeName": "m1", "hostNetwork": true, "restartPolicy": "Never",
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "etcdctl", "image": image.trim(), "imagePullPolicy": "Never", "command": command,
                "volumeMounts": [{"name": "pki", "mountPath": PKI, "readOnly": true}],
            }],
            "volumes": [{"name": "pki", "hostPath": {"path": PKI}}],
        }}},
    });
    Ok(serde_json::to_string(&job)?)
}

/// The plugin's start, against kubectl's own.
pub(super) fn start(args: &[String], out: &mut dyn Write) -> Result<()> {
    let runs = runs(args)?.max(20);
    let (plugin, kubectl) = (parts::shipped_plugin()?, parts::kubectl()?);
    Pair {
        ours: ("kubectl-etcd version --client", &mut || {
            quiet(Command::new(&plugin).args(["version", "--client"]))
        }),
        theirs: ("kubectl version --client", &mut || {
            quiet(Command::new(&kubectl).args(["version", "--client"]))
        }),
        after: &mut nothing,
        bar: 1.0,
    }
    .measure("start", runs, out)
}

/// How large the database is that is brought to the workstation.
const SNAPSHOT_MIB: u64 = 500;

/// A snapshot to the workstation, against etcdctl on the control-plane node and a copy out of a pod by kubectl exec.
pub(super) fn snapshot(args: &[String], out: &mut dyn Write) -> Result<()> {
    let noise_only = args.iter().any(|word| word == "noise");
    let runs = args.iter().find(|word| *word != "noise");
    let runs = runs.map_or(Ok(3), |text| {
        text.parse()
            .context("the arguments are how many runs, and: noise")
    })?;
    let cluster = Cluster::start(Spec::masters(3))?;
    let person = Workstation::of(&cluster)?;
    let m2 = cluster.node("m2")?;
    fill(&cluster, SNAPSHOT_MIB, noise_only)?;
    person.etcd(["status", "--via", "job"])?.code(0)?;
    copier(&cluster, "m2")?;
    settle(&cluster)?;
    let (ours, theirs) = (
        person.folder().join("ours.db"),
        person.folder().join("theirs.db"),
    );
    let mut peaks = Peaks::default();
    Pair {
        ours: ("kubectl etcd snapshot save", &mut || {
            forget(&ours)?;
            forget(&person.folder().join("ours.db.json"))?;
            let mut running = person.start(["snapshot", "save", "ours.db", "--node", "m2"])?;
            while !running.ended()? {
                peaks.look(running.pid(), m2);
                std::thread::sleep(Duration::from_millis(20));
            }
            running.wait(Duration::from_secs(180))?.code(0).map(drop)
        }),
        theirs: (
            "etcdctl snapshot save on m2, then kubectl exec … cat",
            &mut || {
                forget(&theirs)?;
                forget(&m2.path(BY_HAND))?;
                cluster
                    .etcdctl(
                        m2,
                        ["snapshot", "save", &m2.path(BY_HAND).to_string_lossy()],
                    )?
                    .success()?;
                copy_out(&cluster, &theirs)
            },
        ),
        after: &mut nothing,
        bar: 1.0,
    }
    .measure(
        &format!(
            "snapshot of {SNAPSHOT_MIB} MiB of {} to the workstation",
            if noise_only { "noise" } else { "objects" }
        ),
        runs,
        out,
    )?;
    let size = std::fs::metadata(&ours)?.len();
    anyhow::ensure!(
        size == std::fs::metadata(&theirs)?.len(),
        "the two files are not of one size"
    );
    Ok(writeln!(
        out,
        "  {} MiB; peak memory: plugin {} MiB, job {} MiB, aimed at 64 each",
        size >> 20,
        peaks.plugin_kib >> 10,
        peaks.job_kib >> 10
    )?)
}

/// Where the snapshot made by hand lies on the control-plane node.
pub(super) const BY_HAND: &str = "/var/lib/etcd/by-hand.db";

pub(super) fn forget(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Fills the database with the cluster's own objects, over and over, in values of 1 MiB. A thirtieth of each is noise, as
/// ids and times are; or all of it, so that nothing can be compressed.
pub(super) fn fill(cluster: &Cluster, mib: u64, noise_only: bool) -> Result<()> {
    const VALUE: usize = 1 << 20;
    let m1 = cluster.node("m1")?;
    let all = cluster.etcdctl(m1, ["get", "/registry/", "--prefix", "-w", "json"])?;
    let all: serde_json::Value = serde_json::from_str(&all.success()?)?;
    let mut objects = Vec::new();
    for pair in all["kvs"].as_array().into_iter().flatten() {
        objects.extend(BASE64_STANDARD.decode(pair["value"].as_str().unwrap_or_default())?);
    }
    let mut objects = objects.iter().copied().cycle();
    let mut noise = Noise::new();
    for number in 0..mib {
        let mut value: Vec<u8> = objects.by_ref().take(VALUE).collect();
        let every = if noise_only { 16 } else { 480 };
        for block in value.chunks_exact_mut(every) {
            block[..8].copy_from_slice(&noise.next().to_le_bytes());
            block[8..16].copy_from_slice(&noise.next().to_le_bytes());
        }
        cluster.put(m1, &format!("testbed/bench/{number}"), &value)?;
    }
    Ok(())
}

/// The most memory two processes were seen to have had, in KiB.
#[derive(Default)]
pub(super) struct Peaks {
    pub(super) plugin_kib: u64,
    pub(super) job_kib: u64,
}

impl Peaks {
    pub(super) fn look(&mut self, plugin: u32, node: &Node) {
        self.plugin_kib = self.plugin_kib.max(peak_kib(plugin));
        for process in node.processes() {
            if process
                .args
                .first()
                .is_some_and(|program| program.ends_with("etcd-job"))
            {
                self.job_kib = self.job_kib.max(peak_kib(process.pid));
            }
        }
    }
}

/// A pod on a control-plane node that has nothing but the node's files, for `cat`: etcd's own image has none.
pub(super) fn copier(cluster: &Cluster, node: &str) -> Result<()> {
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "copier", "namespace": "kube-system"},
        "spec": {
            "nodeName": node, "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "copier", "image": parts::versions::PAUSE_IMAGE, "imagePullPolicy": "Never",
                "volumeMounts": [
                    {"name": "node", "mountPath": "/node", "readOnly": true},
                    {"name": "etcd", "mountPath": "/etcd", "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "node", "hostPath": {"path": "/"}},
                {"name": "etcd", "hostPath": {"path": "/var/lib/etcd"}},
            ],
        },
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), serde_json::to_vec(&pod)?)?;
    kubectl(cluster, &["create", "-f", &file.path().to_string_lossy()])?;
    kubectl(
        cluster,
        &[
            "wait",
            "-n",
            "kube-system",
            "--for=condition=Ready",
            "pod/copier",
            "--timeout=60s",
        ],
    )
}

pub(super) fn copy_out(cluster: &Cluster, to: &Path) -> Result<()> {
    let mut command = Command::new(cluster.kubectl_path());
    command.arg("--kubeconfig").arg(cluster.kubeconfig()).args([
        "exec",
        "-n",
        "kube-system",
        "copier",
        "--",
    ]);
    // The node's libraries are not where its `cat` looks for them.
    command.args([
        "/node/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "--library-path",
        "/node/lib/x86_64-linux-gnu",
        "/node/bin/cat",
    ]);
    let done = command
        .arg("/etcd/by-hand.db")
        .stdout(std::fs::File::create(to)?)
        .status()?;
    anyhow::ensure!(done.success(), "kubectl exec … cat: {done}");
    Ok(())
}
