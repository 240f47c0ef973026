//! What can be done: one file for each command.

pub mod alarm;
pub mod cleanup;
pub mod compact;
pub mod completion;
mod context;
pub mod datadir;
pub mod defrag;
pub mod doctor;
pub mod health;
pub mod images;
mod life;
pub mod logs;
mod making;
#[cfg(test)]
mod making_tests;
pub mod manifest;
pub mod member;
pub mod members;
mod operated;
pub mod plan;
pub mod planned;
pub mod recover;
pub mod restore;
pub mod snapshot;
pub mod status;
pub mod usage;
pub mod version;
pub mod viewers;

pub use context::Context;
pub(crate) use context::{
    answered_survey, node_named, none_answered, or_over_ssh, out_of_reach, scope, survey,
    survey_beside, through,
};
