//! The plugin on clusters of other kinds: one master, each etcd line, no space left, an etcd elsewhere.
//!
//! Tests run in the order of their names: these come first, so that none of the shared clusters has to go for them.

mod external;
mod lines;
mod no_space;
