//! A snapshot that was saved, and what was found out about it.

use etcd_operations::pack::unpack::Arrived;
use etcd_operations::report::SavedSnapshot;

use super::second::Compared;

/// A snapshot that was saved, and what was found out about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// What it is.
    pub saved: SavedSnapshot,
    /// Where it was checked.
    pub checked: Checked,
    /// Whether it has what another member has.
    pub compared: Compared,
}

/// Where a snapshot was checked: its sha256, its size and every page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// On this host, after it had come.
    Here,
    /// On this host, but for its pages, which only the node has looked at.
    HereButPages {
        /// Why, as a fragment.
        why: String,
    },
    /// Where it was taken, and it stays there.
    WhereTaken,
}

impl Checked {
    pub(super) fn of(arrived: &Arrived) -> Self {
        match &arrived.pages {
            Ok(_) => Self::Here,
            Err(failure) => Self::HereButPages {
                why: failure.to_string(),
            },
        }
    }
}

impl From<SavedSnapshot> for Saved {
    /// It stays where it was taken.
    fn from(saved: SavedSnapshot) -> Self {
        Self {
            saved,
            checked: Checked::WhereTaken,
            compared: Compared::NotAsked,
        }
    }
}
