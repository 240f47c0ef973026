//! The plugin on clusters of other kinds: one and five masters, each etcd line, no space left, an etcd elsewhere.

mod external;
mod five;
mod lines;
mod no_space;
mod rebuild;

#[path = "../shared/mod.rs"]
mod shared;

use shared::{agrees_with_etcdutl, column};
