//! Who is a member: what the WAL, the `.snap` file and the database each say, and whether they agree.

mod member;

pub use crate::records::members::Member;
