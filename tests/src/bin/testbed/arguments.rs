//! The command line: what can be typed.

use clap::{Args, Parser, Subcommand};
use testbed::{Etcd, Kubernetes, Spec};

/// The cluster that is meant when none is named.
pub(crate) const DEFAULT_NAME: &str = "demo";

/// Real Kubernetes clusters on this machine: kubeadm, kubelet, containerd and etcd in namespaces, no virtual machines.
#[derive(Debug, Parser)]
#[command(
    name = "testbed",
    version,
    after_help = "\
Examples:
  testbed demo                      the whole thing: cluster, plugin, status, a snapshot
  testbed test                      all tests
  testbed up                        three masters, Kubernetes 1.36, etcd 3.6
  testbed run m1 journalctl -u kubelet
  testbed off m2                    cut m2's power
  testbed on m2
  testbed down

Everything is kept in ~/.cache/kubectl-etcd (or $KUBECTL_ETCD_TESTBED). Root is needed."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up a cluster, build the plugin, show `kubectl etcd status` and save a snapshot
    Demo(Up),
    /// Run all tests, those on real clusters among them: `cargo test --workspace`
    #[command(after_help = "\
Examples:
  testbed test
  testbed test --no-fail-fast
  testbed test --test datadir damage_that -- --nocapture")]
    Test {
        /// What cargo test takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check what a command needs and install what is missing, as the command itself begins, and do nothing else
    #[command(hide = true)]
    Needs {
        /// Of which command
        #[arg(value_enum)]
        command: Needs,
    },
    /// Bring up a cluster; it stays until `down`
    Up(Up),
    /// Remove a cluster with its disks
    Down(Down),
    /// Show clusters and which of their control-plane nodes are on
    List,
    /// Cut the power of a control-plane node: everything in it dies at once, its disk stays
    Off(OneNode),
    /// Power on a control-plane node
    On(OneNode),
    /// Stop every process of a control-plane node where it stands
    Freeze(OneNode),
    /// Let a frozen control-plane node go on
    Thaw(OneNode),
    /// Run a command on a control-plane node, as root
    #[command(after_help = "\
Examples:
  testbed run m1 systemctl status kubelet
  testbed run m2 ctr -n k8s.io containers list
  testbed run m1 bash")]
    Run(Run),
    /// Build what clusters are made of, and nothing else
    Build(Build),
    /// Remove what killed tests left behind
    Sweep {
        /// Wait for the end of this process before
        #[arg(long, value_name = "PID")]
        after: Option<u32>,
    },
    /// Start a test cluster and hold it until killed (for the test bed's own tests)
    #[command(hide = true)]
    Hold,
    /// Run a benchmark; without a name, list them
    Bench {
        /// Which
        name: Option<String>,
        /// What it takes; the list says
        #[arg(trailing_var_arg = true)]
        arguments: Vec<String>,
    },
    /// Leave data directories and snapshots of real etcds in a folder, to start fuzzing from
    Samples {
        /// Where
        folder: std::path::PathBuf,
    },
    /// List the disks that test clusters start from, make one or remove all
    Checkpoint {
        #[command(subcommand)]
        what: Option<Checkpoint>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Checkpoint {
    /// Make the checkpoint that test clusters of a kind start from
    Make(Up),
    /// Remove all
    Clear,
}

/// Commands whose needs can be checked alone.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Needs {
    Demo,
    Test,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    #[command(flatten)]
    pub(crate) versions: Versions,
    /// Everything that tests need instead, of all versions
    #[arg(long, conflicts_with_all = ["kubernetes", "etcd"])]
    pub(crate) for_tests: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Versions {
    /// Line of Kubernetes: 1.36 or 1.33 [default: 1.36, with etcd 3.5: 1.33]
    #[arg(long, value_name = "LINE")]
    kubernetes: Option<Kubernetes>,
    /// Line of etcd: 3.5, 3.6 or 3.7 [default: 3.6, with Kubernetes 1.33: 3.5]
    #[arg(long, value_name = "LINE")]
    etcd: Option<Etcd>,
}

impl Versions {
    pub(crate) fn kubernetes(&self) -> Kubernetes {
        self.kubernetes
            .unwrap_or_else(|| self.etcd.map_or(Kubernetes::V1_36, Etcd::kubernetes))
    }

    pub(crate) fn etcd(&self) -> Etcd {
        self.etcd.unwrap_or(self.kubernetes().default_etcd())
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  testbed up
  testbed up --masters 5 --name five
  testbed up --name old --kubernetes 1.33")]
pub(crate) struct Up {
    /// How many control-plane nodes
    #[arg(long, value_name = "COUNT", default_value = "3", value_parser = ["1", "3", "5"])]
    masters: String,
    #[command(flatten)]
    pub(crate) cluster: Named,
    #[command(flatten)]
    versions: Versions,
}

impl Up {
    pub(crate) fn spec(&self) -> Spec {
        let masters = self.masters.parse().unwrap_or(3);
        // What was asked for together is refused later, with the reason, when it does not go together.
        Spec {
            kubernetes: self.versions.kubernetes(),
            etcd: self.versions.etcd(),
            ..Spec::masters(masters)
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME)]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Which cluster
    #[arg(value_name = "NAME", default_value = DEFAULT_NAME)]
    pub(crate) name: String,
    /// All clusters that people made, and what killed tests left behind
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OneNode {
    /// Which control-plane node: m1, m2, …
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) cluster: Named,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) at: OneNode,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}
