//! A member's data directory, looked at while no etcd runs on it: what is in it, would an etcd start from it, and what
//! would be lost.
//!
//! [`inspect`] reads and changes nothing. Its [`Verdict`] follows etcd's own way of starting
//! (`server/etcdserver/bootstrap.go`, `storage/wal`), release by release where they differ. [`rank`] orders the
//! directories of several members of one cluster by what they hold.

mod database;
mod finding;
mod inspect;
mod rank;
mod start;

pub use database::{DatabaseFacts, DatabaseState, ReceivedDatabase};
pub use finding::{Finding, Loss, Refusal};
pub use inspect::{DataDir, InspectOptions, Verdict, inspect};
pub use rank::{Comparison, Ranked, rank};
pub use start::{Start, StartRule};
