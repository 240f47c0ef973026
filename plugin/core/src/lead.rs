//! Leading a plan over its hosts: stage by stage, each when all of the one before is done; forth and back.
//!
//! What is done on a host is done by the host's own code and is in its journal. Nothing is kept here: whoever leads may be
//! gone at any moment, and another one goes on from the journals.

pub mod check;
pub mod gather;
pub mod hosts;
pub mod lock;
pub mod run;
pub(crate) mod state;
mod turns;

pub use hosts::Hosts;
pub use run::{Led, lead, take_back};
pub use state::PlanState;
