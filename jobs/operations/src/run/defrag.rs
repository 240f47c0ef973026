//! Defragmentation of the node's own member.
//!
//! etcd copies what is in use into a new file beside the old one and renames it; until then it does not answer. So the
//! disk has to hold both, and how far it is shows the size of the new file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::client::{EtcdApi, EtcdEndpoint, OWN_LIMIT};
use crate::disk;
use crate::failure::Failure;
use crate::limits::AFTER_DEFRAG_LIMIT;
use crate::report::DefragReport;
use crate::target::Target;
use crate::work::{Events, Progress};

/// Room beside the copy itself: page overhead, and the log that grows meanwhile.
const BESIDE_COPY_BYTES: u64 = 32 << 20;

/// How often the progress is looked at.
const STEP: Duration = Duration::from_secs(1);

/// Where the backend does not see the member's files there is no progress, and etcd itself finds out about the room.
pub(super) async fn defrag<A: EtcdApi>(
    api: &A,
    target: &Target,
    events: &mut Events<'_>,
) -> Result<DefragReport, A::Error> {
    let (endpoint, before) = api.own(target, OWN_LIMIT).await?;
    let in_use = before.db_in_use_bytes.unwrap_or(before.db_size_bytes);
    let snap = target.data_dir.join("member/snap");
    let folder = match snap.is_dir() {
        true => snap,
        false => target.data_dir.clone(),
    };
    if A::SEES_FILES {
        room_for(&folder, in_use)?;
    }
    let begun = Instant::now();
    {
        let call = endpoint.defragment(limit(before.db_size_bytes));
        let mut call = std::pin::pin!(call);
        loop {
            tokio::select! {
                result = &mut call => break result?,
                () = tokio::time::sleep(STEP), if A::SEES_FILES => events(Progress {
                    step: "defragmenting".into(),
                    done_bytes: copied(&folder).min(in_use),
                    total_bytes: Some(in_use),
                }),
            }
        }
    }
    let took = begun.elapsed();
    // It is done, whatever comes now: a member that has been busy for long may need a moment.
    let after = endpoint.status(AFTER_DEFRAG_LIMIT).await?;
    Ok(DefragReport {
        member_id: before.member_id,
        before_bytes: before.db_size_bytes,
        after_bytes: after.db_size_bytes,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Generous: a slow disk writes 4 MB in a second, and whoever gives up early learns nothing.
fn limit(size_bytes: u64) -> Duration {
    Duration::from_secs(600 + size_bytes / (4 << 20))
}

fn room_for(folder: &Path, in_use: u64) -> Result<(), Failure> {
    let free = disk::free(folder).map_err(|error| {
        let message = format!(
            "could not look at etcd's data in {}: {error}",
            folder.display()
        );
        Failure::missing(message)
    })?;
    let needed = in_use.saturating_add(BESIDE_COPY_BYTES);
    if free >= needed {
        return Ok(());
    }
    let message = format!(
        "a defragmentation writes a copy of {in_use} bytes beside the database, and only {free} bytes are free in {}",
        folder.display()
    );
    let hint = format!("free {} bytes on that file system", needed - free);
    Err(Failure::refused(message).hint(hint))
}

/// The size of the copy etcd is writing, `db.tmp.…`.
fn copied(folder: &Path) -> u64 {
    let is_copy = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("db.tmp"))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(is_copy)
        .filter_map(|path| path.metadata().ok())
        .map(|metadata| metadata.len())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;

    #[test]
    fn too_little_room_is_refused_with_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(room_for(dir.path(), 1).is_ok());
        let failure = room_for(dir.path(), u64::MAX / 2).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.hint.unwrap().written().starts_with("free "));
        let missing = room_for(Path::new("/none"), 1).unwrap_err();
        assert_eq!(missing.kind, FailureKind::Missing);
    }

    #[test]
    fn the_copy_is_found_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("db"), [0; 100]).unwrap();
        assert_eq!(copied(dir.path()), 0);
        std::fs::write(dir.path().join("db.tmp.4711"), [0; 10]).unwrap();
        assert_eq!(copied(dir.path()), 10);
    }
}
