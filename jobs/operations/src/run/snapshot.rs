//! A snapshot of the node's own member, in a file on the node, that counts only when all of it was checked.
//!
//! What arrives goes to a thread of its own, which hashes, packs and stores it, checks the tree, and gives the file its
//! name last. Until then it is `NAME.part`, locked; whatever stops this in the middle removes it, and a part that a killed
//! process left is overwritten by the next snapshot of that name. A reader may follow the part meanwhile
//! ([`crate::transfer::follow`]).

mod beside;
mod packer;
mod store;

use std::time::Instant;

use jiff::Timestamp;

use crate::client::{Connector, EtcdApi, OWN_LIMIT};
use crate::failure::Failure;
use crate::operation::SnapshotSave;
use crate::pack::Packing;
use crate::report::Report;
use crate::stored::part::{Part, make_kept_folder, make_room};
use crate::target::Target;
use crate::work::Events;
use crate::work::stream::receive;
use store::{Store, Taken};

pub(super) use beside::node_files;

pub(super) async fn save(
    target: &Target,
    connector: &Connector,
    save: &SnapshotSave,
    events: &mut Events<'_>,
) -> Result<Report, Failure> {
    check_name(&save.name)?;
    let (endpoint, own) = connector.own(target, OWN_LIMIT).await?;
    let begun = Instant::now();
    let taken_at = Timestamp::now();
    // A name of its own is for a folder of stored snapshots; else it is a file that somebody has named.
    if save.numbered {
        make_kept_folder(&save.folder)?;
    }
    make_room(&save.folder, room(&save.packing, own.db_size_bytes))?;
    let part = if save.numbered {
        Part::create_numbered(&save.folder, &save.name)?
    } else {
        Part::create(&save.folder.join(&save.name))?
    };
    let beside = match &save.packing {
        Packing::Bundle { parts, .. } => Some(beside::beside(&endpoint, target, parts).await),
        Packing::Plain | Packing::Zstd { .. } => None,
    };
    // The thread that has the part may need a moment to see that it shall stop, and this process may end before.
    let _removed = part.removal();
    let store = Store {
        part,
        packing: save.packing.clone(),
        beside,
        // A file that is fetched is described where it arrives.
        describe: save.hold_seconds == 0,
        taken: Taken {
            own,
            taken_at,
            begun,
        },
    };
    let work = move |pieces, flow: &_| store::store(store, pieces, flow);
    let saved = receive(&endpoint, "saving", events, work).await?;
    Ok(Report::Snapshot(saved))
}

/// What is needed on the disk for a database of so many bytes. Packing needs it unpacked as well, to check it; what the
/// apiserver stores shrinks to less than half, and what does not is noticed when the disk is full.
fn room(packing: &Packing, database: u64) -> u64 {
    match packing {
        Packing::Plain => database,
        Packing::Zstd { .. } | Packing::Bundle { .. } => database.saturating_add(database / 2),
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    if !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']) {
        return Ok(());
    }
    let message = format!("`{name}` is not a name for a snapshot's file");
    Err(Failure::refused(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", ".hidden", "a/b"] {
            assert_eq!(check_name(name).unwrap_err().kind, FailureKind::Refused);
        }
    }
}
