//! How far a plan is, by the journals of its hosts.

use std::collections::BTreeMap;
use std::fmt;

use etcd_operations::advice::{Command, Task};
use etcd_operations::plan::{Action, Plan, StepState, SwapData};
use etcd_operations::wire::answer::PlanOnHost;
use schemars::JsonSchema;
use serde::Serialize;

/// How far a plan is.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanState {
    /// The plan.
    pub plan: Plan,
    /// The hosts of it that were asked.
    pub asked: Vec<String>,
    /// How far each step is that has begun.
    pub steps: BTreeMap<u32, StepState>,
    /// Whether it has begun somewhere and not ended there.
    pub unfinished: bool,
    /// On which hosts a step is being done right now.
    pub busy: Vec<String>,
    /// What it moved aside and is there no more, each with its host: `m1: /var/lib/…`.
    pub gone: Vec<String>,
    /// The manifests that somebody else has written to since, each with its host.
    pub changed: Vec<String>,
}

/// Where a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// It was made and not begun.
    Planned,
    /// It has begun and not ended.
    Unfinished,
    /// It is done.
    Done,
    /// It is being rolled back.
    BeingUndone,
    /// It was rolled back.
    Undone,
}

impl Progress {
    /// What can be done about a plan that stands there.
    pub fn next(self, id: &impl fmt::Display) -> Vec<Command> {
        match self {
            Self::Unfinished => vec![Task::ResumePlan.of(id), Task::UndoPlan.of(id)],
            Self::BeingUndone | Self::Done => vec![Task::UndoPlan.of(id)],
            Self::Planned | Self::Undone => Vec::new(),
        }
    }
}

impl PlanState {
    /// By what a host says of it.
    pub fn of(node: &str, host: &PlanOnHost) -> Self {
        let mut state = Self {
            plan: host.plan.clone(),
            asked: Vec::new(),
            steps: BTreeMap::new(),
            unfinished: false,
            busy: Vec::new(),
            gone: Vec::new(),
            changed: Vec::new(),
        };
        state.and(node, host);
        state
    }

    /// With what another host says of it.
    pub fn and(&mut self, node: &str, host: &PlanOnHost) {
        self.asked.push(node.to_owned());
        let steps = host.steps.iter();
        self.steps
            .extend(steps.map(|step| (step.number, step.state.clone())));
        self.unfinished |= host.unfinished;
        self.busy.extend(host.busy.then(|| node.to_owned()));
        let gone = host.gone.iter();
        self.gone
            .extend(gone.map(|path| format!("{node}: {}", path.display())));
        let changed = host.changed.iter();
        self.changed
            .extend(changed.map(|path| format!("{node}: {}", path.display())));
    }

    /// Where it stands.
    pub fn progress(&self) -> Progress {
        match (self.is_back(), self.unfinished) {
            (true, true) => Progress::BeingUndone,
            (true, false) => Progress::Undone,
            (false, true) => Progress::Unfinished,
            (false, false) if self.is_done() => Progress::Done,
            (false, false) => Progress::Planned,
        }
    }

    /// Whether every step is done of the hosts that were asked: a host is told that a plan has ended once all of them are done.
    fn is_done(&self) -> bool {
        let steps = self.plan.steps();
        let mut own = steps
            .filter(|step| self.asked.contains(&step.node))
            .peekable();
        own.peek().is_some()
            && own.all(|step| matches!(self.steps.get(&step.number), Some(StepState::Done { .. })))
    }

    /// The hosts of it that were not asked.
    pub fn not_asked(&self) -> Vec<String> {
        let hosts = self.plan.hosts.iter().map(|host| &host.node);
        let others = hosts.filter(|node| !self.asked.contains(node));
        others.cloned().collect()
    }

    /// Whether rolling it back puts data out of service: what was written to a restored database that has taken the place of
    /// the one before.
    pub fn undo_loses_data(&self) -> bool {
        self.plan.steps().any(|step| {
            let restored = matches!(
                step.action,
                Action::SwapData(SwapData { restored: true, .. })
            );
            restored && matches!(self.steps.get(&step.number), Some(StepState::Done { .. }))
        })
    }

    /// Whether somebody has begun to roll it back.
    pub fn is_back(&self) -> bool {
        self.steps.values().any(StepState::is_back)
    }
}

#[cfg(test)]
mod tests {
    use etcd_operations::plan::{Done, PlanKind};
    use etcd_operations::wire::answer::StepOnHost;

    use super::*;
    use crate::executor::memory::{memory, plan};

    #[test]
    fn one_host_of_several_knows_whether_the_plan_has_ended() {
        let memory = memory(3);
        let plan = plan(PlanKind::Restore, &memory);
        let done = |unfinished: bool, but: usize| {
            let own = plan.steps_of("m1").collect::<Vec<_>>();
            let steps = own[..own.len() - but].iter().map(|step| StepOnHost {
                number: step.number,
                state: StepState::Done { done: Done::Plain },
            });
            PlanState::of(
                "m1",
                &PlanOnHost {
                    plan: plan.clone(),
                    unfinished,
                    busy: false,
                    gone: Vec::new(),
                    changed: Vec::new(),
                    steps: steps.collect(),
                },
            )
        };
        let ended = done(false, 0);
        assert_eq!(ended.progress(), Progress::Done);
        assert_eq!(ended.not_asked(), ["m2", "m3"]);
        assert_eq!(done(true, 0).progress(), Progress::Unfinished);
        let all = plan.steps_of("m1").count();
        assert_eq!(done(false, all).progress(), Progress::Planned);
    }
}
