//! Hosts in memory, for tests: they keep plans and journals as a host does, and fail where they are told to.

mod sample;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use etcd_operations::failure::Failure;
use etcd_operations::ids::{ClusterId, MemberId};
use etcd_operations::plan::{Action, Direction, Done, Plan, PlanId, StepRun, StepState, Undone};
use etcd_operations::wire::Ask;
use etcd_operations::wire::answer::{HostAnswer, PlanOnHost, PlansOnHost, StepOnHost};
use etcd_operations::wire::ask::{self, HostRequest};
use etcd_operations::work::Events;
use futures::future::BoxFuture;

pub use sample::{hosts, memory, plan};

use crate::runners::host::{HostWay, Trouble};
use crate::ssh::SshError;

/// The revision with which restored data begins.
pub const RESTORED: u64 = 1_000_000_042;

/// How a step goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Before anything is in the journal.
    Prepare,
    /// While it is applied or rolled back.
    Apply,
    /// The link breaks before the host hears of it.
    Unheard,
    /// The link breaks after the host has done it.
    AnswerLost,
    /// It goes on for ever.
    Hangs,
}

impl Fault {
    /// All of those that end.
    pub const ALL: [Self; 4] = [Self::Prepare, Self::Apply, Self::Unheard, Self::AnswerLost];
}

/// A host in memory. A clone is the same host.
#[derive(Clone)]
pub struct MemoryHost {
    node: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    plans: Vec<OnHost>,
    current: Option<PlanId>,
    faults: BTreeMap<(u32, bool), Fault>,
    performed: Vec<(u32, Direction)>,
    left: BTreeMap<u32, String>,
    requests: usize,
}

struct OnHost {
    plan: Plan,
    steps: BTreeMap<u32, StepState>,
    changed: bool,
}

impl MemoryHost {
    /// A host on which nothing has been done.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Its next try of a step goes wrong.
    pub fn fails(&self, step: u32, direction: Direction, fault: Fault) {
        self.state()
            .faults
            .insert((step, is_undo(direction)), fault);
    }

    /// What cannot be rolled back of a step.
    pub fn leaves(&self, step: u32, what: &str) {
        self.state().left.insert(step, what.to_owned());
    }

    /// Somebody else writes to a manifest that a plan has written.
    pub fn is_changed_by_another(&self) {
        self.state()
            .plans
            .iter_mut()
            .for_each(|one| one.changed = true);
    }

    /// Whether no plan has begun and not ended.
    pub fn is_free(&self) -> bool {
        self.state().current.is_none()
    }

    /// The steps that were done or rolled back, in this order.
    pub fn performed(&self) -> Vec<(u32, Direction)> {
        self.state().performed.clone()
    }

    /// How often anything was asked of it.
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// As if somebody else began a plan there.
    pub fn begin(&self, plan: &Plan) -> Result<(), Failure> {
        self.state().begin(plan)
    }

    /// As if somebody else did a step there, or rolled it back.
    pub fn step(
        &self,
        plan: &PlanId,
        number: u32,
        direction: Direction,
    ) -> Result<StepRun, Failure> {
        self.state().step(plan, number, direction)
    }

    /// What happens to a request.
    fn fault(&self, request: &HostRequest) -> Option<Fault> {
        self.state().requests += 1;
        let HostRequest::Step(step) = request else {
            return None;
        };
        let at = (step.number, is_undo(step.direction));
        self.state().faults.remove(&at)
    }

    fn fail(&self, request: &HostRequest) -> Failure {
        let failure = Failure::other("it went wrong");
        if let HostRequest::Step(step) = request {
            let failure = failure.clone();
            let failed = match step.direction {
                Direction::Do => StepState::Failed { failure },
                Direction::Undo => StepState::UndoFailed { failure },
            };
            self.state().set(&step.plan, step.number, failed);
        }
        failure
    }

    fn lost(&self) -> Trouble {
        Trouble::Ssh(SshError::lost(&self.node))
    }
}

impl HostWay for MemoryHost {
    fn ask<'a>(
        &'a self,
        ask: &'a Ask,
        _events: &'a mut Events<'_>,
    ) -> BoxFuture<'a, Result<HostAnswer, Trouble>> {
        Box::pin(async move {
            let request = &ask.request;
            match self.fault(request) {
                None => self.state().answer(request).map_err(Trouble::Failure),
                Some(Fault::Prepare) => Err(Trouble::Failure(Failure::refused(
                    "it is not as the plan needs it",
                ))),
                Some(Fault::Apply) => Err(Trouble::Failure(self.fail(request))),
                Some(Fault::Unheard) => Err(self.lost()),
                Some(Fault::AnswerLost) => {
                    self.state().answer(request).map_err(Trouble::Failure)?;
                    Err(self.lost())
                }
                Some(Fault::Hangs) => std::future::pending().await,
            }
        })
    }

    fn put<'a>(
        &'a self,
        _local: &'a Path,
        _path: &'a Path,
        _sent: &'a mut (dyn FnMut(u64) + Send),
    ) -> BoxFuture<'a, Result<(), Trouble>> {
        Box::pin(async { Ok(()) })
    }
}

impl State {
    fn answer(&mut self, request: &HostRequest) -> Result<HostAnswer, Failure> {
        match request {
            HostRequest::BeginPlan(ask::BeginPlan { plan }) => {
                self.begin(plan)?;
                Ok(HostAnswer::Plain)
            }
            HostRequest::EndPlan(ask::EndPlan { plan }) => {
                self.current.take_if(|current| current == plan);
                Ok(HostAnswer::Plain)
            }
            HostRequest::Step(step) => {
                let run = self.step(&step.plan, step.number, step.direction)?;
                Ok(HostAnswer::Step { run })
            }
            HostRequest::Plans(ask::Plans { plan }) => Ok(HostAnswer::Plans(PlansOnHost {
                plans: self.plans(plan.as_ref()),
                unreadable: Vec::new(),
            })),
            _ => Err(Failure::other("a host in memory does not do this")),
        }
    }

    /// As [`etcd_operations::plan::Plans::begin`].
    fn begin(&mut self, plan: &Plan) -> Result<(), Failure> {
        if let Some(other) = self.current.as_ref().filter(|id| **id != plan.id) {
            let message = format!("{other} has begun and not ended");
            return Err(Failure::refused(message));
        }
        self.current = Some(plan.id.clone());
        if self.plans.iter().all(|one| one.plan.id != plan.id) {
            self.plans.push(OnHost {
                plan: plan.clone(),
                steps: BTreeMap::new(),
                changed: false,
            });
        }
        Ok(())
    }

    /// As [`etcd_operations::plan::perform`].
    fn step(&mut self, id: &PlanId, number: u32, direction: Direction) -> Result<StepRun, Failure> {
        let left = self.left.get(&number).cloned();
        let on_host = self.plans.iter().find(|one| one.plan.id == *id);
        let on_host = on_host.ok_or_else(|| Failure::missing("no such plan"))?;
        let step = on_host.plan.step(number);
        let step = step.ok_or_else(|| Failure::other("no such step"))?;
        let before = on_host.steps.get(&number);
        let (state, run) = match (direction, before) {
            (Direction::Do, _) if on_host.steps.values().any(StepState::is_back) => {
                return Err(Failure::refused("it is being rolled back"));
            }
            (Direction::Do, Some(StepState::Done { done })) => {
                return Ok(StepRun::Done { done: done.clone() });
            }
            (Direction::Do, _) => {
                let done = done(&step.action);
                (
                    StepState::Done { done: done.clone() },
                    StepRun::Done { done },
                )
            }
            (Direction::Undo, None) => {
                return Ok(undone(Undone::default(), true));
            }
            (Direction::Undo, Some(StepState::Undone { undone: before })) => {
                return Ok(undone(before.clone(), false));
            }
            (Direction::Undo, Some(_)) => {
                let of_step = Undone {
                    left: left.into_iter().map(Into::into).collect(),
                    kept: Vec::new(),
                };
                let state = StepState::Undone {
                    undone: of_step.clone(),
                };
                (state, undone(of_step, false))
            }
        };
        self.set(id, number, state);
        self.performed.push((number, direction));
        Ok(run)
    }

    fn set(&mut self, id: &PlanId, number: u32, state: StepState) {
        let mut plans = self.plans.iter_mut();
        if let Some(on_host) = plans.find(|one| one.plan.id == *id) {
            on_host.steps.insert(number, state);
        }
    }

    fn plans(&self, wanted: Option<&PlanId>) -> Vec<PlanOnHost> {
        let plans = self.plans.iter();
        let plans = plans.filter(|one| wanted.is_none_or(|id| one.plan.id == *id));
        let plans = plans.map(|one| PlanOnHost {
            plan: one.plan.clone(),
            unfinished: self.current.as_ref() == Some(&one.plan.id),
            busy: false,
            steps: one
                .steps
                .iter()
                .map(|(number, state)| StepOnHost {
                    number: *number,
                    state: state.clone(),
                })
                .collect(),
            gone: Vec::new(),
            changed: match one.changed {
                true => vec!["/etc/kubernetes/manifests/etcd.yaml".into()],
                false => Vec::new(),
            },
        });
        plans.collect()
    }
}

fn is_undo(direction: Direction) -> bool {
    direction == Direction::Undo
}

fn undone(undone: Undone, never_begun: bool) -> StepRun {
    StepRun::Undone {
        undone,
        never_begun,
    }
}

fn done(action: &Action) -> Done {
    match action {
        Action::Restore(_) => Done::Restored {
            cluster_id: ClusterId(7),
            member_id: MemberId(1),
            revision_before: 42,
            revision_after: RESTORED,
        },
        Action::SwapData(_) => Done::Moved {
            aside: vec!["/var/lib/etcd-x.before".into()],
        },
        _ => Done::Plain,
    }
}
