//! What stands in the way of undoing a plan on a host, known before an undo begins.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Plan;
use super::action::act::{AnyAct, Record};
use super::journal::{Journal, StepState};
use crate::failure::Failure;

/// Targets of finished steps that no longer exist, so that undo is impossible.
///
/// # Errors
/// What the disk says.
pub(crate) fn missing_targets(plan: &Plan, journal: &Journal) -> Result<Vec<PathBuf>, Failure> {
    let states = journal.states();
    let mut missing = Vec::new();
    for (number, act, record) in begun(plan, journal) {
        if matches!(states.get(&number), Some(StepState::Done { .. })) {
            missing.extend(act.missing_targets(record)?);
        }
    }
    Ok(missing)
}

/// The manifests that somebody else has written to since the plan did: an undo does not write over that.
///
/// # Errors
/// What the disk says.
pub(crate) fn changed_manifests(plan: &Plan, journal: &Journal) -> Result<Vec<PathBuf>, Failure> {
    let states = journal.states();
    let (mut seen, mut changed) = (BTreeSet::new(), Vec::new());
    for (number, act, record) in begun(plan, journal) {
        if matches!(states.get(&number), Some(StepState::Undone { .. })) {
            continue;
        }
        let Some(manifest) = act.manifest(record, journal.was_done(number))? else {
            continue;
        };
        // Of several steps with one file the last is undone first, and brings back what the others left.
        if seen.insert(manifest.path.clone()) && manifest.is_changed()? {
            changed.push(manifest.path);
        }
    }
    Ok(changed)
}

/// The steps that have begun on this host, the newest first.
fn begun<'a>(
    plan: &'a Plan,
    journal: &'a Journal,
) -> impl Iterator<Item = (u32, &'a dyn AnyAct, &'a Record)> {
    journal
        .records()
        .filter_map(|(number, record)| Some((number, plan.step(number)?.action.act(), record)))
}

#[cfg(test)]
#[path = "obstacles_tests.rs"]
mod tests;
