//! The command line of `kubectl etcd`: arguments, commands, views and exit codes, over the library `kubectl_etcd_core`.
//!
//! Only `ui` and the views write to the terminal.

pub mod advice;
pub mod args;
pub mod cli;
pub mod commands;
pub mod completion;
mod files;
mod input;
pub mod ui;
pub mod views;
