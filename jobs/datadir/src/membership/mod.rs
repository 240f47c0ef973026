//! Who is a member: what the WAL, the `.snap` file and the database each say, and whether they agree.
//!
//! etcd to 3.5 takes the members from the `.snap` file and the WAL and keeps those in the database as a shadow; from 3.6
//! on the database counts, from 3.7 on alone. A difference that nobody noticed on 3.5 is then a member that cannot be
//! removed, one that comes back, or a panic at the start ("failed to update; member unknown").

mod compare;
mod member;

pub use compare::{Difference, Membership, Source, View, ViewMember, compare};

pub use crate::records::members::Member;
