//! The test bed: real Kubernetes clusters on one machine, for tests and for people.
//!
//! Each node is a set of namespaces with a real systemd, containerd, kubelet and sshd; kubeadm makes the cluster.
//! Everything is built from Go modules of the versions named in [`parts`], once, and kept outside the tree.
//!
//! # For tests
//! ```no_run
//! use testbed::{Cluster, Spec};
//!
//! # fn main() -> anyhow::Result<()> {
//! let cluster = Cluster::start(Spec::masters(3))?; // ready: apiservers answer, etcd is healthy, nodes are Ready
//! let m2 = cluster.node("m2")?;
//! m2.power_off()?;
//! println!("{}", cluster.kubectl(["get", "nodes"])?.stdout);
//! m2.power_on()?;
//! cluster.wait_ready()?;
//! # Ok(()) } // dropping the cluster removes it
//! ```
//!
//! # For people
//! `cargo run -p testbed -- up`, `off m2`, `on m2`, `run m1 journalctl -u kubelet`, `down`; `-h` tells the rest.

pub mod all_tests;
pub mod bare;
pub mod bench;
pub mod cgroup;
pub mod cluster;
mod debian_archive;
pub mod demo;
pub mod etcd;
pub mod fault;
pub mod job_image;
pub mod limits;
pub mod local;
pub mod lock;
pub mod needs;
pub mod network;
pub mod node;
pub mod parts;
pub mod paths;
pub mod process;
pub mod registry;
pub mod samples;
pub mod wait;
pub mod workstation;

pub use bare::BareMachine;
pub use cluster::{Cluster, Spec};
pub use fault::Component;
pub use job_image::{JobImage, job_image};
pub use node::Node;
pub use parts::versions::{Etcd, Kubernetes};
pub use process::Output;
pub use registry::Registry;
pub use workstation::{Answer, Running, Workstation};
