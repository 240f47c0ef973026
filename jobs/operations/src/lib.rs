//! What is done on a control-plane node: operations, the reports they give back, and the words both are written in.
//!
//! The same code runs in the job image (crate `etcd-job`) and in the plugin's own process on a control-plane node. It
//! decides and acts; it prints nothing and asks nothing.

pub mod client;
mod disk;
pub mod evidence;
pub mod failure;
pub mod flags;
pub mod ids;
pub mod kept;
pub mod local;
pub mod manifest;
pub mod operation;
pub mod pack;
pub mod report;
mod root;
pub mod run;
pub mod target;
pub mod transfer;
pub mod wire;
