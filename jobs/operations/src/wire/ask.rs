//! What can be asked of a host. Each request is safe to be asked again when its answer was lost, unless it names the etcd on
//! which it is done.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::answer::{self, HostAnswer, PlansOnHost};
use crate::agree;
use crate::logs::{ComponentLog, LogQuery};
use crate::look::{self, LookOptions};
use crate::operation;
use crate::plan::{Direction, Plan, PlanId, StepRun};
use crate::report::Report;
use crate::request::{Wire, request};
use crate::target::Target;
use crate::transfer::Whole;

/// A request as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of it in a process, and a box would be in every match"
)]
pub enum HostRequest {
    /// See [`Hello`].
    Hello,
    /// See [`Digest`].
    Digest(Digest),
    /// See [`Look`].
    Look(Look),
    /// See [`Since`].
    Since(Since),
    /// See [`Operate`].
    Operate(Operate),
    /// See [`Agreement`].
    Agreement,
    /// See [`Manifest`].
    Manifest(Manifest),
    /// See [`Logs`].
    Logs(Logs),
    /// See [`BeginPlan`].
    BeginPlan(BeginPlan),
    /// See [`Step`].
    Step(Step),
    /// See [`EndPlan`].
    EndPlan(EndPlan),
    /// See [`Plans`].
    Plans(Plans),
}

impl Wire for HostRequest {
    type Reply = HostAnswer;
}

/// What the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello;

/// What a file is: its size and its SHA-256; none: there is no such file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// The file.
    pub path: PathBuf,
}

/// What can be known of the host while nothing is changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// How far to look.
    pub options: LookOptions,
}

/// What the host's database has that a snapshot has not, and which cluster it is of. Nothing is changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Since {
    /// The snapshot's revision.
    pub revision: u64,
}

/// An operation on an etcd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operate {
    /// Which operation.
    pub operation: operation::Operation,
    /// On which etcd. None: on this host's own, where only operations are done that change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// Whether the members of the host's cluster have the same data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement;

/// The text of a component's manifest, in the static pods' folder or taken out of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The component.
    pub component: String,
}

/// What the control plane's containers there logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logs {
    /// What of it.
    pub query: LogQuery,
}

/// Begins a plan there, or resumes one that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeginPlan {
    /// The plan.
    pub plan: Box<Plan>,
}

/// Does a step of a plan that has begun there, or rolls it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The plan.
    pub plan: PlanId,
    /// The step's number.
    pub number: u32,
    /// Which way.
    pub direction: Direction,
}

/// A plan has ended there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndPlan {
    /// The plan.
    pub plan: PlanId,
}

/// The plans there are, and how far they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plans {
    /// This one only; else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
}

request!(unit Hello: HostRequest => answer::Hello, HostAnswer::Hello(hello) => hello);
request!(Digest: HostRequest => Option<Whole>, HostAnswer::Digest { file } => file);
request!(Look: HostRequest => look::Look, HostAnswer::Look { look } => *look);
request!(Since: HostRequest => look::Since, HostAnswer::Since(since) => since);
request!(Operate: HostRequest => Report, HostAnswer::Report { report } => *report);
request!(unit Agreement: HostRequest => agree::Agreement, HostAnswer::Agreement(found) => found);
request!(Manifest: HostRequest => String, HostAnswer::Manifest { text } => text);
request!(Logs: HostRequest => Vec<ComponentLog>, HostAnswer::Logs { logs } => logs);
request!(BeginPlan: HostRequest => (), HostAnswer::Plain => ());
request!(Step: HostRequest => StepRun, HostAnswer::Step { run } => run);
request!(EndPlan: HostRequest => (), HostAnswer::Plain => ());
request!(Plans: HostRequest => PlansOnHost, HostAnswer::Plans(plans) => plans);
