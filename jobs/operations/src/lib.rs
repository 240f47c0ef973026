//! What is done on a control-plane node: operations, the reports they give back, and the words both are written in.
//!
//! The same code runs in the job image (crate `etcd-job`) and in the plugin's own process on a control-plane node. It
//! decides and acts; it prints nothing and asks nothing.

pub mod advice;
pub mod agree;
pub mod amounts;
pub mod client;
mod container_log;
pub mod control_plane;
mod disk;
pub mod doctor;
mod ending;
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
pub mod kubelet;
mod limits;
pub mod local;
pub mod logs;
pub mod look;
pub mod manifest;
pub mod membership;
pub mod operation;
pub mod pack;
pub mod plan;
pub mod plan_id;
mod ports;
mod proc;
pub mod report;
pub mod request;
mod root;
pub mod routine;
pub mod run;
pub mod runtime;
pub mod shell;
pub mod snapshot_name;
pub mod state;
pub mod static_pod;
pub mod stored;
pub mod target;
mod text;
pub mod transfer;
pub mod utc;
pub mod wire;
pub mod work;
pub mod yaml;
