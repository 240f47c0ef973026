//! The library under `kubectl etcd`: it finds a cluster's control-plane nodes and their etcd, brings operations to them and
//! judges what comes back.
//!
//! It never prints, asks or reads arguments; what is going on goes to a [`outcome::NoticeSink`]. Data goes one way:
//! connection, discovery or inventory, session, runner, outcome, assessment.

mod answers;
pub mod assess;
mod awaited;
pub mod carried;
pub mod clean;
pub mod cleanup;
pub mod connection;
pub mod created;
pub mod discovery;
pub mod error;
pub mod executor;
pub mod exit_code;
#[cfg(test)]
mod fake;
pub mod format;
pub mod history;
pub mod host_name;
pub mod inventory;
pub mod lease;
mod limits;
mod lines;
pub mod logs;
pub mod names;
pub mod outcome;
mod owner;
mod patience;
mod rights;
pub mod runners;
pub mod schedule;
pub mod session;
pub mod spool;
pub mod ssh;
mod user_cache;
pub mod via;
pub mod viewers;
