//! What is asked of a host's plans.

use std::path::Path;

use crate::failure::Failure;
use crate::kubelet::manifests_folder;
use crate::manifest::{Known, Selection};
use crate::plan::{Journal, PlanId, Plans, changed_manifests, missing_targets, perform};
use crate::wire::answer::{HostAnswer, PlanOnHost, PlansOnHost, StepOnHost, UnreadablePlan};
use crate::wire::ask::Step;
use crate::work::Events;

pub(super) async fn step(step: &Step, events: &mut Events<'_>) -> Result<HostAnswer, Failure> {
    let plans = Plans::default();
    let plan = plans.read(&step.plan)?;
    let run = perform(&plans, &plan, step.number, step.direction, events).await?;
    Ok(HostAnswer::Step { run })
}

/// The plans of this host, or one of them.
pub(super) fn plans(wanted: Option<&PlanId>) -> Result<HostAnswer, Failure> {
    let plans = Plans::default();
    let current = plans.current()?;
    let ids = match wanted {
        Some(id) => plans
            .list()?
            .into_iter()
            .filter(|found| found == id)
            .collect(),
        None => plans.list()?,
    };
    let of = |id: &PlanId| {
        let unfinished = current.as_ref() == Some(id);
        let (plan, journal) = (plans.read(id)?, plans.journal_of(id)?);
        Ok::<_, Failure>(PlanOnHost {
            busy: unfinished && plans.hold(id).is_err(),
            steps: steps_of(&journal),
            gone: missing_targets(&plan, &journal)?,
            changed: changed_manifests(&plan, &journal)?,
            plan,
            unfinished,
        })
    };
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for id in ids {
        match of(&id) {
            Ok(plan) => found.push(plan),
            // One that somebody asks for by name is not passed by.
            Err(failure) if wanted.is_some() => return Err(failure),
            Err(failure) => unreadable.push(UnreadablePlan { id, failure }),
        }
    }
    Ok(HostAnswer::Plans(PlansOnHost {
        plans: found,
        unreadable,
    }))
}

fn steps_of(journal: &Journal) -> Vec<StepOnHost> {
    let states = journal.states().into_iter();
    states
        .map(|(number, state)| StepOnHost { number, state })
        .collect()
}

/// The text of a component's manifest: in the folder, else the newest that was stopped.
pub(super) fn manifest(component: &str, selection: &Selection) -> Result<HostAnswer, Failure> {
    let root = Path::new("/");
    let known = Known::read_below(root, &manifests_folder(root), selection)?;
    let found = known.of(component)?;
    let found = found.ok_or_else(|| known.folder.lacks(component))?;
    Ok(HostAnswer::Manifest {
        text: String::from_utf8_lossy(found.file.manifest.bytes()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Done, Plan, PlanKind, StepState, VERSION};

    #[test]
    fn what_a_host_says_of_a_plan_is_read_as_it_was_written() {
        let plan = Plan {
            version: VERSION,
            id: PlanId::try_from("restore-1".to_owned()).unwrap(),
            kind: PlanKind::Restore,
            title: "x".into(),
            made: "2026-11-22T08:30:00Z".parse().unwrap(),
            hosts: Vec::new(),
            stages: Vec::new(),
            other_hosts: Vec::new(),
        };
        let answer = HostAnswer::Plans(PlansOnHost {
            plans: vec![PlanOnHost {
                plan,
                unfinished: true,
                busy: false,
                gone: Vec::new(),
                changed: Vec::new(),
                steps: vec![StepOnHost {
                    number: 7,
                    state: StepState::Done { done: Done::Plain },
                }],
            }],
            unreadable: Vec::new(),
        });
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<HostAnswer>(&text).unwrap(), answer);
    }
}
