//! How versions are shown.

use etcd_operations::wire;
use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Paint, one_line};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::carried::Carried;
use kubectl_etcd_core::format::bytes;

/// The versions there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Version`.
    pub kind: &'static str,
    /// The plugin.
    pub plugin: &'static str,
    /// What it was built for.
    pub platform: String,
    /// The program it carries for Jobs.
    pub job: Job,
    /// The version of the format in which Jobs report.
    pub report_format: u32,
    /// etcd, by node; empty when no cluster was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub etcd: Vec<NodeVersion>,
}

/// The carried program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its version: that of the plugin, with which it was built.
    pub version: &'static str,
    /// What it was built for.
    pub platform: &'static str,
    /// Its sha256.
    pub sha256: &'static str,
    /// Its size in bytes.
    pub size_bytes: usize,
}

/// etcd on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeVersion {
    /// The node.
    pub node: String,
    /// etcd's version; absent when it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The storage version (etcd 3.6 and later).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_version: Option<String>,
}

impl Version {
    /// What needs no cluster.
    pub fn new(carried: &Carried) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Version",
            plugin: env!("CARGO_PKG_VERSION"),
            platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            job: Job {
                version: env!("CARGO_PKG_VERSION"),
                platform: "linux/x86_64",
                sha256: carried.digest,
                size_bytes: carried.program_size,
            },
            report_format: wire::VERSION,
            etcd: Vec::new(),
        }
    }
}

impl View for Version {
    fn table(&self, wide: bool, _paint: Paint) -> String {
        let size = u64::try_from(self.job.size_bytes).unwrap_or(u64::MAX);
        let digest = if wide {
            self.job.sha256
        } else {
            self.job.sha256.get(..12).unwrap_or(self.job.sha256)
        };
        let mut text = format!(
            "plugin   kubectl-etcd {} ({})\njob      etcd-job {} ({}, {}, sha256 {digest})\nreports  version {}\n",
            self.plugin,
            self.platform,
            self.job.version,
            self.job.platform,
            bytes(size),
            self.report_format,
        );
        for node in &self.etcd {
            let version = one_line(node.version.as_deref().unwrap_or("no answer"));
            let storage = node
                .storage_version
                .as_ref()
                .map(|version| format!(", storage version {version}"));
            text.push_str(&format!(
                "etcd     {version} on {}{}\n",
                one_line(&node.node),
                one_line(&storage.unwrap_or_default())
            ));
        }
        text
    }
}
