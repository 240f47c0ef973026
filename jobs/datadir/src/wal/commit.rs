//! Declaring a log committed to its end.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Error;
use crate::lock::{Holder, segment_holder};
use crate::progress::ignore;
use crate::raft::{HardState, LogPosition};

use super::write::WalWriter;
use super::{Tail, WalSummary, read_wal};

/// Writes into a WAL that everything in it is committed; gives the end of the log.
///
/// For a member that is to go on alone after the majority is lost, and only then. A member learns a little late
/// what is committed: the last acknowledged writes may stand in its log and not be known as committed yet. etcd's
/// `--force-new-cluster` throws away what is not known as committed, and with it acknowledged writes. After this call
/// it keeps them. (What was never acknowledged is then kept as well, as raft does when such a member is elected.)
///
/// A torn or overwritten tail is cut off first, as etcd itself does. The change is one record appended to the last
/// segment, flushed. Take a copy of the directory before.
///
/// # Errors
/// [`Error::Refused`] when there is no WAL, it is damaged, or an etcd runs on it; [`Error::Io`].
pub fn commit_to_the_end(wal_dir: &Path) -> Result<LogPosition, Error> {
    let refused = |what: String| Error::Refused {
        file: wal_dir.display().to_string(),
        what,
    };
    let Some(wal) = read_wal(wal_dir, &mut ignore)? else {
        return Err(refused("there is no WAL".to_owned()));
    };
    if let Some(damage) = &wal.damage {
        return Err(refused(format!("the WAL is damaged: {damage}")));
    }
    if has_gap(&wal) {
        return Err(refused("entries are missing in the WAL".to_owned()));
    }
    let Some(last) = wal.segments.last() else {
        return Err(refused("there is no WAL".to_owned()));
    };
    let state = wal.hard_state.unwrap_or_default();
    if state.commit >= wal.last.index {
        return Ok(wal.last);
    }
    let path = wal_dir.join(last.name.to_string());
    if segment_holder(&path)? == Holder::Etcd {
        return Err(refused("an etcd runs on it".to_owned()));
    }
    let fail = |action: &str, e| Error::io(&path.display().to_string(), action, e);
    let file = File::options()
        .write(true)
        .open(&path)
        .map_err(|e| fail("open", e))?;
    if wal.tail != Tail::Clean {
        file.set_len(last.used_bytes).map_err(|e| fail("cut", e))?;
    }
    let mut record = WalWriter::record_after(wal.crc);
    record.hard_state(&HardState {
        term: state.term.max(wal.last.term),
        commit: wal.last.index,
        ..state
    });
    file.write_all_at(record.as_bytes(), last.used_bytes)
        .map_err(|e| fail("append to", e))?;
    file.sync_all().map_err(|e| fail("flush", e))?;
    Ok(wal.last)
}

/// Whether entries are missing that no snapshot stands for; the last snapshot is what a start begins with at the latest.
fn has_gap(wal: &WalSummary) -> bool {
    let snapshot = wal.valid_snapshots().next_back();
    let snapshot = snapshot.map_or(0, |snapshot| snapshot.position.index);
    wal.jumps
        .iter()
        .any(|jump| jump.next > snapshot.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClusterId, MemberId};
    use crate::raft::{Entry, EntryKind};
    use crate::wal::{SegmentName, WalMetadata, WalSnapshot};

    fn first_segment() -> String {
        SegmentName {
            sequence: 0,
            index: 0,
        }
        .to_string()
    }

    #[test]
    fn a_gap_behind_the_last_snapshot_is_refused() {
        for (snapshot, refused) in [(2, true), (6, false)] {
            let mut writer = WalWriter::new(&WalMetadata {
                member_id: MemberId(1),
                cluster_id: ClusterId(2),
            });
            let at = |index| LogPosition { term: 1, index };
            let entries = |writer: &mut WalWriter, indexes: std::ops::RangeInclusive<u64>| {
                for index in indexes {
                    writer.entry(&Entry {
                        kind: EntryKind::Normal,
                        position: at(index),
                        data: b"x",
                    });
                }
            };
            entries(&mut writer, 1..=3);
            writer.snapshot(&WalSnapshot {
                position: at(snapshot),
                conf_state: None,
            });
            writer.hard_state(&HardState {
                term: 1,
                vote: 1,
                commit: 6,
            });
            entries(&mut writer, 7..=8);
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(first_segment()), writer.as_bytes()).unwrap();
            let done = commit_to_the_end(dir.path());
            assert_eq!(
                matches!(done, Err(Error::Refused { .. })),
                refused,
                "{done:?}"
            );
        }
    }

    #[test]
    fn everything_is_committed_afterwards_whatever_the_tail() {
        let mut writer = WalWriter::new(&WalMetadata {
            member_id: MemberId(1),
            cluster_id: ClusterId(2),
        });
        writer.hard_state(&HardState {
            term: 3,
            vote: 1,
            commit: 1,
        });
        for index in 1..=4 {
            let position = LogPosition { term: 3, index };
            writer.entry(&Entry {
                kind: EntryKind::Normal,
                position,
                data: &[7; 100],
            });
        }
        let whole = writer.as_bytes();
        for (bytes, last) in [(whole, 4), (&whole[..whole.len() - 3], 3)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(first_segment());
            std::fs::write(
                &path,
                [
                    bytes,
                    &[0; 512][..usize::from(bytes.len() == whole.len()) * 512],
                ]
                .concat(),
            )
            .unwrap();
            assert_eq!(
                commit_to_the_end(dir.path()).unwrap(),
                LogPosition {
                    term: 3,
                    index: last
                }
            );
            let read = read_wal(dir.path(), &mut ignore).unwrap().unwrap();
            assert_eq!((read.commit(), read.last.index), (last, last));
            assert_eq!(
                read.hard_state,
                Some(HardState {
                    term: 3,
                    vote: 1,
                    commit: last
                })
            );
            assert_eq!((read.tail, read.damage), (Tail::Clean, None));
        }
    }
}
