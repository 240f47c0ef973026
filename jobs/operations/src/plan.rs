//! Plans: what is to be done on which host, in which order, so that it can be shown before, resumed after any
//! interruption, and undone.
//!
//! A plan is made once and does not change. It is a list of stages; the steps of a stage are of different hosts and are
//! done at the same time, and a stage begins when all of the one before are done. Each host has the whole plan, and a journal
//! of its own steps: before a step does anything, what exactly it will do is in the journal and on the disk, as the record of
//! its action; after it, that it is done. A record holds all that is needed to resume or undo its step, any number of times.
//!
//! [`crate::state`] draws the folders of plans on a host.

mod action;
mod folder;
mod journal;
pub mod make;
mod obstacles;
mod places;
mod run;

use crate::advice::Advice;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use action::{
    Action, AddLearner, AwaitComponent, CopyData, Done, EndContainers, PromoteLearner, Readiness,
    ReceiveSnapshot, RemoveCopy, RemoveMember, RestartKubelet, RestoreData, RestoreInput, RunAlone,
    StartComponent, StopComponent, SwapData, Undone,
};
pub use folder::{Held, Plans};
pub(crate) use journal::Journal;
pub use journal::StepState;
pub(crate) use obstacles::{changed_manifests, missing_targets};
pub use run::{StepRun, perform};

pub use crate::plan_id::{NotAPlanId, PlanId, PlanKind};

/// The version of [`Plan`] and of the journals.
pub const VERSION: u32 = 1;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`VERSION`] of who made it.
    pub version: u32,
    /// Its name.
    pub id: PlanId,
    /// Which command made it.
    pub kind: PlanKind,
    /// What it does, in a line: `set --quota-backend-bytes of etcd on cp-1`.
    pub title: String,
    /// When it was made.
    pub made: Timestamp,
    /// The hosts on which it does something, in the order in which they are told.
    pub hosts: Vec<HostRef>,
    /// What is done, in this order.
    pub stages: Vec<Stage>,
    /// What somebody does by hand on hosts of the cluster on which the plan does nothing, in the order of the hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hosts: Vec<OtherHost>,
}

/// A host of the cluster on which a plan does nothing, and the commands that somebody runs there as root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherHost {
    /// The node's name.
    pub node: String,
    /// Before the plan, in this order; on several hosts in any.
    pub before: Vec<Advice>,
    /// After the plan, in this order; one host after another.
    pub after: Vec<Advice>,
}

/// A host of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRef {
    /// The node's name.
    pub node: String,
    /// Where ssh reaches it from the others, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The pod that is its etcd, as the manifest names it: several may run one. None: the one that the apiserver uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd: Option<String>,
}

/// Steps that are done at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// What it does, in a line: `stop kube-apiserver`.
    pub title: String,
    /// The steps, each of another host.
    pub steps: Vec<Step>,
}

/// One thing done on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its number in the plan, from 1.
    pub number: u32,
    /// The node's name.
    pub node: String,
    /// What is done.
    pub action: Action,
}

/// Which way a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It is done.
    Do,
    /// It is undone.
    Undo,
}

impl Plan {
    /// The step of this number.
    pub fn step(&self, number: u32) -> Option<&Step> {
        self.steps().find(|step| step.number == number)
    }

    /// All steps in their order.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }

    /// The steps of one host in their order.
    pub fn steps_of<'a>(&'a self, node: &'a str) -> impl DoubleEndedIterator<Item = &'a Step> {
        self.steps().filter(move |step| step.node == node)
    }

    /// The pod that is the etcd of a node.
    pub fn etcd_of(&self, node: &str) -> Option<&str> {
        let host = self.hosts.iter().find(|host| host.node == node)?;
        host.etcd.as_deref()
    }

    /// The same without these hosts and their steps.
    #[must_use]
    pub fn without(&self, nodes: &[String]) -> Self {
        let mut plan = self.clone();
        plan.hosts.retain(|host| !nodes.contains(&host.node));
        for stage in &mut plan.stages {
            stage.steps.retain(|step| !nodes.contains(&step.node));
        }
        plan
    }

    /// Whether it does anything.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }
}

/// Puts stages together, numbering the steps.
#[derive(Debug, Default)]
pub struct Stages {
    stages: Vec<Stage>,
    steps: u32,
}

impl Stages {
    /// A stage with these steps, by node. One without steps is none.
    pub fn stage(
        &mut self,
        title: impl Into<String>,
        steps: impl IntoIterator<Item = (String, Action)>,
    ) -> &mut Self {
        let mut numbered = Vec::new();
        for (node, action) in steps {
            self.steps += 1;
            numbered.push(Step {
                number: self.steps,
                node,
                action,
            });
        }
        if !numbered.is_empty() {
            self.stages.push(Stage {
                title: title.into(),
                steps: numbered,
            });
        }
        self
    }

    /// The stages.
    pub fn done(self) -> Vec<Stage> {
        self.stages
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan of these stages.
    pub(crate) fn plan_of(stages: Stages) -> Plan {
        Plan {
            version: VERSION,
            id: PlanId::try_from("restore-1".to_owned()).unwrap(),
            kind: PlanKind::Restore,
            title: "restore".into(),
            made: "2026-11-22T08:30:00Z".parse().unwrap(),
            hosts: Vec::new(),
            stages: stages.done(),
            other_hosts: Vec::new(),
        }
    }

    #[test]
    fn a_plans_name_is_the_name_of_a_folder_and_nothing_else() {
        let made = PlanId::new(PlanKind::Restore, "2026-11-22T08:30:00Z".parse().unwrap());
        assert_eq!(made.as_str(), "restore-2026-11-22T083000Z");
        let next = PlanId::new(
            PlanKind::Restore,
            "2026-11-22T08:30:00.042Z".parse().unwrap(),
        );
        assert_eq!(next.as_str(), "restore-2026-11-22T083000Z-042");
        assert_eq!(PlanId::try_from(next.to_string()), Ok(next));
        assert_eq!(PlanId::try_from(made.to_string()), Ok(made));
        for bad in ["", "..", "a/b", "-x", "a b", "1", "Übel", &"a".repeat(101)] {
            assert!(PlanId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stage_without_steps_is_none_and_numbers_go_on() {
        let mut stages = Stages::default();
        let nap = || Action::RestartKubelet(RestartKubelet {});
        stages
            .stage("one", [("a".to_owned(), nap()), ("b".to_owned(), nap())])
            .stage("none", [])
            .stage("two", [("a".to_owned(), nap())]);
        let stages = stages.done();
        assert_eq!(stages.len(), 2);
        let numbers: Vec<u32> = stages
            .iter()
            .flat_map(|stage| &stage.steps)
            .map(|step| step.number)
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
