//! Clusters: making, finding, using and removing them.

mod build;
pub mod checkpoint;
mod kubeadm;
mod kubeconfig;
mod leases;
mod ready;
mod seats;
mod shared;
mod ssh;
pub mod state;
pub mod sweep;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::node::Node;
use crate::parts::versions::{Etcd, Kubernetes};
use crate::parts::{self, NodeParts};
use crate::process::{self, Output, say};
use seats::Seat;
pub use shared::CLUSTER_VARIABLE;
use state::State;

/// What a cluster is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// How many control-plane nodes: 1, 3 or 5.
    pub masters: u8,
    /// Its Kubernetes.
    pub kubernetes: Kubernetes,
    /// Its etcd.
    pub etcd: Etcd,
    /// Whether it may run beside any other test clusters: it does not count among those that are there at once.
    pub side_by_side: bool,
}

impl Spec {
    /// The default versions, with this many control-plane nodes.
    #[must_use]
    pub fn masters(masters: u8) -> Self {
        let kubernetes = Kubernetes::V1_36;
        Self {
            masters,
            kubernetes,
            etcd: kubernetes.default_etcd(),
            side_by_side: false,
        }
    }

    /// With this etcd; when kubeadm of the chosen Kubernetes cannot start it, with one that can (1.33 for etcd 3.5).
    #[must_use]
    pub fn etcd(self, etcd: Etcd) -> Self {
        let kubernetes = if self.kubernetes.knows(etcd) {
            self.kubernetes
        } else {
            etcd.kubernetes()
        };
        Self {
            etcd,
            kubernetes,
            ..self
        }
    }

    /// With this Kubernetes, and the etcd that goes with it.
    #[must_use]
    pub fn kubernetes(self, kubernetes: Kubernetes) -> Self {
        Self {
            kubernetes,
            etcd: kubernetes.default_etcd(),
            ..self
        }
    }

    /// Allowed to run beside any other test clusters: does not wait for their end.
    #[must_use]
    pub fn side_by_side(self) -> Self {
        Self {
            side_by_side: true,
            ..self
        }
    }
}

/// A cluster that is up, or partly so.
#[derive(Debug)]
pub struct Cluster {
    state: State,
    folder: PathBuf,
    nodes: Vec<Node>,
    parts: NodeParts,
    /// Whether it is removed when this value is dropped.
    temporary: bool,
    _seat: Option<Seat>,
}

impl Cluster {
    /// A cluster that is there.
    ///
    /// # Errors
    /// When there is no cluster of this name.
    pub fn open(name: &str) -> Result<Self> {
        let state = state::load(name)?;
        let parts = parts::for_nodes(state.kubernetes, state.etcd)?;
        Self::with_parts(state, parts)
    }

    fn with_parts(state: State, parts: NodeParts) -> Result<Self> {
        let folder = state.folder()?;
        let prefix = state.prefix();
        let node = |i| Node::new(&folder, &prefix, state.slot, i, &parts);
        let nodes = (1..=state.masters).map(node).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            state,
            folder,
            nodes,
            parts,
            temporary: false,
            _seat: None,
        })
    }

    /// Powers on every node that is off, side by side.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn power_on_all(&self) -> Result<()> {
        self.at_once(|node| {
            if node.is_on() {
                Ok(())
            } else {
                node.power_on()
            }
        })
    }

    /// Cuts the power of every node.
    ///
    /// # Errors
    /// When something of one is still there after 30 s.
    pub fn power_off_all(&self) -> Result<()> {
        self.at_once(Node::power_off)
    }

    /// Does something with every node at once; gives back the first error.
    ///
    /// # Errors
    /// When it fails for one.
    pub fn at_once(&self, work: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .nodes
                .iter()
                .map(|node| scope.spawn(|| work(node)))
                .collect();
            threads
                .into_iter()
                .try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
        })
    }

    /// Cuts a control-plane node's power and gives it a disk as of a new machine, which has the system and the images alone.
    ///
    /// # Errors
    /// When something of it is still there after 30 s, or cannot be removed.
    pub fn lose_disk(&self, node: &Node) -> Result<()> {
        node.power_off()?;
        for lost in [
            "etc/kubernetes",
            "var/lib/etcd",
            "var/lib/kubelet",
            "var/lib/kubectl-etcd",
        ] {
            let path = node.disk().join(lost);
            if path.exists() {
                fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
            }
        }
        for there in ["etc/kubernetes/manifests", "var/lib/kubelet"] {
            fs::create_dir_all(node.disk().join(there))?;
        }
        Ok(())
    }

    /// Makes a machine that was set up anew a control-plane node again, as an administrator would: by kubeadm, with the help of a control-plane node
    /// that works.
    ///
    /// # Errors
    /// When kubeadm fails, with its words.
    pub fn join_again(&self, node: &Node, by: &Node) -> Result<()> {
        kubeadm::join_again(node, by)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// What is kept about it on disk.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its folder: kubeconfig, ssh_config and a folder for each node.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its control-plane nodes, m1 first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A control-plane node by name.
    ///
    /// # Errors
    /// When it has none of this name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.nodes
            .iter()
            .find(|n| n.name() == name)
            .with_context(|| format!("cluster {} has no node {name}", self.name()))
    }

    /// The administrator's kubeconfig: contexts m1, m2, … for each control-plane node's own apiserver, m1 chosen.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// kubectl of the cluster's version.
    #[must_use]
    pub fn kubectl_path(&self) -> PathBuf {
        self.parts.kubernetes.join("kubectl")
    }

    /// kubectl as the administrator, by m1's apiserver.
    ///
    /// # Errors
    /// When it cannot be started; a failing exit code is no error here.
    pub fn kubectl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Output> {
        process::output(
            Command::new(self.kubectl_path())
                .arg("--kubeconfig")
                .arg(self.kubeconfig())
                .args(args),
        )
    }

    /// kubectl as the administrator, by the apiserver of a certain control-plane node.
    ///
    /// # Errors
    /// When it cannot be started; a failing exit code is no error here.
    pub fn kubectl_by<S: AsRef<OsStr>>(
        &self,
        node: &Node,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Output> {
        let mut command = Command::new(self.kubectl_path());
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(["--context", node.name()])
            .args(args);
        process::output(&mut command)
    }

    /// Removes it, with its disks.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(mut self) -> Result<()> {
        self.temporary = false;
        sweep::remove(&self.state)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.temporary {
            if std::thread::panicking() {
                self.keep_evidence();
            }
            if let Err(error) = sweep::remove(&self.state) {
                say(&format!(
                    "cannot remove cluster {}: {error:#}",
                    self.state.name
                ));
            }
        }
    }
}

impl Cluster {
    /// Of a failed test: the journals and kubeadm's words, where they outlive the cluster.
    fn keep_evidence(&self) {
        let Ok(root) = crate::paths::root() else {
            return;
        };
        let folder = root.join("failed").join(self.name());
        for node in &self.nodes {
            let to = folder.join(node.name());
            drop(fs::create_dir_all(&to));
            for (from, name) in [
                ("/var/log/journal", "journal"),
                ("/var/log/pods", "pods"),
                ("/etc/kubernetes/manifests", "manifests"),
            ] {
                drop(process::run(
                    "cp",
                    [
                        "-a".as_ref(),
                        node.disk().join(&from[1..]).as_os_str(),
                        to.join(name).as_os_str(),
                    ],
                ));
            }
            drop(fs::copy(
                node.folder().join("kubeadm.log"),
                to.join("kubeadm.log"),
            ));
        }
        say(&format!(
            "journals of the failed test's nodes: {}",
            folder.display()
        ));
    }
}
