//! Leading a plan over its hosts: stage by stage, each when all of the one before is done; forth and back.
//!
//! What is done on a host is done by the host's own code and is in its journal. Nothing is kept here: whoever leads may be
//! gone at any moment, and another one goes on from the journals.

pub(crate) mod check;
pub(crate) mod gather;
pub(crate) mod hosts;
pub(crate) mod lock;
#[cfg(test)]
pub(crate) mod memory;
pub(crate) mod run;
#[cfg(test)]
mod run_tests;
pub(crate) mod state;
pub(crate) mod surroundings;
mod turns;

use etcd_operations::plan::PlanKind;

pub(crate) use hosts::Hosts;
pub(crate) use run::{Led, lead, take_back};
pub(crate) use state::PlanState;

/// Whether a plan makes the cluster anew: nothing serves meanwhile, which is what it is for.
pub(crate) fn is_anew(kind: PlanKind) -> bool {
    match kind {
        PlanKind::Restore | PlanKind::Recover => true,
        PlanKind::Manifest | PlanKind::Replace => false,
    }
}
