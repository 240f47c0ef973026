//! What is done on a control-plane node: operations, the reports they give back, and the words both are written in.
//!
//! The same code runs in the job image (crate `etcd-job`) and in the plugin's own process on a control-plane node. It
//! decides and acts; it prints nothing and asks nothing.

pub mod agree;
pub mod client;
mod container_log;
mod disk;
pub mod doctor;
pub mod evidence;
pub mod failure;
pub mod flags;
#[doc(hidden)]
pub mod fuzz;
pub mod host;
mod https;
pub mod ids;
pub mod images;
pub mod instance;
pub mod kept;
pub mod kubelet;
pub mod local;
pub mod look;
pub mod manifest;
pub mod membership;
pub mod operation;
pub mod pack;
pub mod plan;
mod ports;
pub mod report;
mod root;
pub mod run;
pub mod runtime;
pub mod shell;
pub mod static_pod;
pub mod target;
pub mod transfer;
pub mod wire;
