//! What a host answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agree::Agreement;
use crate::failure::Failure;
use crate::logs::ComponentLog;
use crate::look::{Look, Since};
use crate::plan::{Plan, PlanId, StepRun, StepState};
use crate::report::Report;
use crate::target::Target;
use crate::transfer::Whole;

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum HostAnswer {
    /// To [`super::ask::Hello`].
    Hello(Hello),
    /// To [`super::ask::Digest`].
    Digest {
        /// What the file is; none: there is no such file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<Whole>,
    },
    /// A file that was sent has its name now.
    Received {
        /// What it is.
        file: Whole,
    },
    /// To [`super::ask::Look`].
    Look {
        /// What was found.
        look: Box<Look>,
    },
    /// To [`super::ask::Since`].
    Since(Since),
    /// To [`super::ask::Operate`].
    Report {
        /// What was found.
        report: Box<Report>,
    },
    /// To [`super::ask::Agreement`].
    Agreement(Agreement),
    /// To [`super::ask::Manifest`].
    Manifest {
        /// The manifest's text.
        text: String,
    },
    /// To [`super::ask::Logs`].
    Logs {
        /// Each component's.
        logs: Vec<ComponentLog>,
    },
    /// It is done: to [`super::ask::BeginPlan`] and [`super::ask::EndPlan`].
    Plain,
    /// To [`super::ask::Step`].
    Step {
        /// What came of it.
        run: StepRun,
    },
    /// To [`super::ask::Plans`].
    Plans(PlansOnHost),
}

/// A host that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The program's version.
    pub version: String,
    /// The node's name, as kubelet registers it.
    pub node: String,
    /// Whether a static pod there runs etcd, or did until it was stopped.
    pub etcd: bool,
    /// Whether a static pod there is of a control plane, or was until it was stopped.
    #[serde(default)]
    pub control_plane: bool,
    /// Its etcd, as far as its manifest tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Box<Target>>,
    /// Why that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_target: Option<Failure>,
    /// Who the program runs as; 0 is root.
    pub uid: u32,
    /// The processor's architecture, in Rust's words.
    pub architecture: String,
}

/// The plans of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlansOnHost {
    /// The plans, in the order of their names.
    pub plans: Vec<PlanOnHost>,
    /// Those that cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadablePlan>,
}

/// A plan as a host has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanOnHost {
    /// The plan.
    pub plan: Plan,
    /// Whether it has begun there and not ended.
    pub unfinished: bool,
    /// Whether a step is being done there right now.
    pub busy: bool,
    /// How far the steps of this host are that have begun.
    pub steps: Vec<StepOnHost>,
    /// What it moved aside there and is there no more: it cannot be undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<PathBuf>,
    /// The manifests there that somebody else has written to since: an undo does not write over that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<PathBuf>,
}

/// A plan that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnreadablePlan {
    /// Its name.
    pub id: PlanId,
    /// Why.
    pub failure: Failure,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepOnHost {
    /// Its number.
    pub number: u32,
    /// How far.
    pub state: StepState,
}
