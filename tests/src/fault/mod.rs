//! Faults: what goes wrong in clusters, as calls.
//!
//! Power and freezing are on [`Node`] itself: [`Node::power_off`], [`Node::freeze`]; a full disk:
//! [`Node::limit_etcd_disk`].

mod component;
mod files;
mod network;
mod quota;

pub use component::Component;
pub use files::DATABASE;
