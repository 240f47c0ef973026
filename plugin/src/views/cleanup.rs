//! How a cleanup is shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::views::grid::{Paint, one_line};
use crate::views::{API_VERSION, View};
use kubectl_etcd_core::cleanup::Cleaned;

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// `Cleanup`.
    pub kind: &'static str,
    /// Whether nothing was removed and only would be.
    pub dry_run: bool,
    /// Where it was looked.
    pub namespace: String,
    /// Jobs and Pods of runs that are over.
    pub runs: Vec<String>,
    /// ConfigMaps with a program.
    pub programs: Vec<String>,
    /// Jobs and Pods of runs that still go on, with who runs them: left alone.
    pub in_use: Vec<String>,
}

impl Cleanup {
    /// What a cleanup did.
    pub fn new(dry_run: bool, namespace: String, cleaned: Cleaned) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "Cleanup",
            dry_run,
            namespace,
            runs: cleaned.removed,
            programs: cleaned.programs,
            in_use: cleaned.in_use,
        }
    }
}

impl View for Cleanup {
    fn table(&self, _wide: bool, _paint: Paint) -> String {
        let done = if self.dry_run {
            "would be removed"
        } else {
            "removed"
        };
        let mut text: String = self
            .runs
            .iter()
            .chain(&self.programs)
            .map(|name| format!("{} {done}\n", one_line(name)))
            .collect();
        text.extend(
            self.in_use
                .iter()
                .map(|name| format!("{} still runs and stays\n", one_line(name))),
        );
        if text.is_empty() {
            text = format!(
                "nothing of kubectl etcd is left in the namespace {}\n",
                self.namespace
            );
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.runs.iter().chain(&self.programs).cloned().collect()
    }

    fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}
