//! Leading a plan over its hosts: stage by stage, each when all of the one before is done; forth and back.
//!
//! What is done on a host is done by the host's own code and is in its journal. Nothing is kept here: whoever leads may be
//! gone at any moment, and another one goes on from the journals.

pub(crate) mod check;
pub(crate) mod gather;
pub(crate) mod hosts;
pub(crate) mod lock;
pub(crate) mod run;
pub(crate) mod state;
mod turns;

pub(crate) use hosts::Hosts;
pub(crate) use run::{Led, lead, take_back};
pub(crate) use state::PlanState;
