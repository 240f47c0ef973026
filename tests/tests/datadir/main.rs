//! The library for etcd's files against files of real etcds, and against etcd's own tools.
//!
//! One program, so that its tests, which mostly wait for etcds, wait side by side.

mod db;
mod rank;
mod restore;
mod wal;
