//! The kubectl plugin that operates the etcd of Kubernetes clusters.
//!
//! Data goes one way: command line, operation or plan, targets, runner, reports, view. Only `ui` and the views write to
//! the terminal.

pub mod cli;
pub mod error;
