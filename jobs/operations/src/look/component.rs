//! The components of a control plane that are static pods.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::Manifest;

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
}

impl fmt::Display for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ControlPlane {
    /// The component that a manifest runs.
    pub(super) fn of_manifest(manifest: &Manifest) -> Option<Self> {
        Self::ALL.into_iter().find(|one| manifest.has(one.name()))
    }
}
