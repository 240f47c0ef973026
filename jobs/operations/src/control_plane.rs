//! The components of a control plane that are static pods.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::shell::CommandLine;

/// A component of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ControlPlane {
    /// etcd.
    #[serde(rename = "etcd")]
    Etcd,
    /// The apiserver.
    #[serde(rename = "kube-apiserver")]
    Apiserver,
    /// The controller-manager.
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
    /// The scheduler.
    #[serde(rename = "kube-scheduler")]
    Scheduler,
}

impl ControlPlane {
    /// All of them, in the order in which they need each other.
    pub const ALL: [Self; 4] = [
        Self::Etcd,
        Self::Apiserver,
        Self::ControllerManager,
        Self::Scheduler,
    ];

    /// The name of its program and container.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Apiserver => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    /// What writes its manifest anew.
    pub(crate) fn kubeadm_phase(self) -> CommandLine {
        CommandLine::new(match self {
            Self::Etcd => "kubeadm init phase etcd local --config FILE",
            Self::Apiserver => "kubeadm init phase control-plane apiserver --config FILE",
            Self::ControllerManager => {
                "kubeadm init phase control-plane controller-manager --config FILE"
            }
            Self::Scheduler => "kubeadm init phase control-plane scheduler --config FILE",
        })
    }
}

impl fmt::Display for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
