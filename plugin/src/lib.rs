//! The kubectl plugin that operates the etcd of Kubernetes clusters.
//!
//! Data goes one way: command line, operation or plan, targets, runner, reports, view. Only `ui` and the views write to
//! the terminal.

pub mod args;
pub mod assess;
pub mod carried;
mod clean;
pub mod cleanup;
pub mod cli;
pub mod commands;
pub mod completion;
pub mod connection;
pub mod created;
pub mod discovery;
pub mod error;
#[cfg(test)]
mod fake;
mod files;
mod format;
pub mod host_name;
mod input;
mod lead;
mod lease;
mod lines;
pub mod masters;
mod names;
pub mod outcome;
mod owner;
mod rights;
mod runners;
mod schedule;
pub mod session;
mod spool;
pub mod ssh;
pub mod ui;
mod user_cache;
pub mod via;
mod viewers;
pub mod views;
