//! Executes a plan on its hosts: stage by stage, each when all of the one before is done; or rolls it back.
//!
//! What is done on a host is done by the host's own code and is in its journal. Nothing is kept here: the executor may be gone at
//! any moment, and another one resumes the plan from the journals.

pub mod check;
pub mod gather;
pub mod hosts;
pub mod lock;
#[cfg(any(test, feature = "testing"))]
#[expect(clippy::unwrap_used, reason = "made up for tests")]
pub mod memory;
pub mod run;
#[cfg(test)]
mod run_tests;
mod staggered;
pub mod state;
pub mod surroundings;

use etcd_operations::plan::PlanKind;

pub use hosts::Hosts;
pub use run::{Executed, execute, roll_back};
pub use state::PlanState;

/// Whether a plan makes the cluster anew: nothing serves meanwhile, which is what it is for.
pub fn is_anew(kind: PlanKind) -> bool {
    match kind {
        PlanKind::Restore | PlanKind::Recover => true,
        PlanKind::Manifest | PlanKind::Replace => false,
    }
}
