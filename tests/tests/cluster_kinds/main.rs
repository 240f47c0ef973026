//! The plugin on clusters of other kinds: one master, each etcd line, no space left, an etcd elsewhere.

#[path = "../shared/bundle.rs"]
mod bundle;
mod external;
mod lines;
mod no_space;
mod rebuild;

#[path = "../shared/mod.rs"]
mod shared;

use shared::{agrees_with_etcdutl, column};
